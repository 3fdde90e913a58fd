"""Memory in front of a cache that lasts: answers of this process at once, those of others and of yesterday too."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

from loguru import logger

from mcp_core.cache.base import EVERYTHING, Cache, CacheSize, Entry, EntryFilter, Item, Order
from mcp_core.cache.guard import Checked, Health, Outage
from mcp_core.cache.ledger import Ledger
from mcp_core.errors import CacheError

__all__ = ["Counted", "TieredCache", "Watched"]

_CHECK_SECONDS = 1.0


@runtime_checkable
class Counted(Protocol):
    """A cache that counts what others change in it; the tier asks once a second."""

    def foreign_changes(self) -> int:
        """A number that differs from before once others have replaced or deleted entries."""
        ...


@runtime_checkable
class Watched(Protocol):
    """A cache that tells what others change in it."""

    def watch(self, forget: Callable[[str | None], None]) -> Callable[[], None]:
        """Call `forget(key)` for what others replaced or deleted (None: everything); returns how to stop."""
        ...


class TieredCache(Cache):
    """`front` (fast, of this process) before `back` (shared, lasting). Thread-safe.

    A hit in the back fills the front. While the back fails, the front goes on alone, which is logged once.
    What another process deletes or replaces in the back is forgotten by the front: within a second where the back
    counts its changes (SQLite), at once where it tells them (Redis).
    """

    name = "tiered"

    def __init__(self, front: Cache, back: Cache) -> None:
        self.front = front
        self.back = back
        self.name = back.name
        self.health = back.health if isinstance(back, Checked) else Health(f"The {back.name} cache")
        self._reads = Outage(self.health, "reading")
        self._writes = Outage(self.health, "writing")
        # Raised by every change, so that an entry read from the back before it is not put in front after it.
        self._changes = 0
        self._lock = threading.Lock()
        self._counted = back if isinstance(back, Counted) else None
        self._next_check = 0.0
        self._last_count: int | None = None
        self._unwatch = back.watch(self._forget) if isinstance(back, Watched) else None

    @property
    def evictions(self) -> int:  # type: ignore[override]
        """Entries the back pushed out; the front pushes out only copies."""
        return self.back.evictions

    @property
    def ledger(self) -> Ledger | None:
        """Where the back counts what it pushes out."""
        return self.back.ledger

    @ledger.setter
    def ledger(self, ledger: Ledger | None) -> None:
        self.back.ledger = ledger

    def check(self) -> None:
        """Ask the server of the back, where it has one, whether it is there; where not, that is told."""
        if isinstance(self.back, Checked):
            try:
                self.back.check()
            except CacheError as error:
                self._reads.failed(error)
                self._writes.failed(error)

    def get(self, key: str) -> Entry | None:
        """The entry under `key`, fresh or expired; None where there is none."""
        if self._counted is not None and time.monotonic() >= self._next_check:
            self._compare_counts(self._counted)
        entry = self.front.get(key)
        if entry is not None and entry.is_fresh():
            self.back.touch(key)
            return entry
        # Somebody else may have refreshed what expired here.
        return self._from_back(key) or entry

    def set(self, entry: Entry) -> None:
        """Store `entry` under its key in both."""
        if not self._writes.is_down():
            try:
                self.back.set(entry)
                self._writes.worked()
            except CacheError as error:
                self._writes.failed(error)
        with self._lock:
            self._changes += 1
            self.front.set(entry)

    def touch(self, key: str) -> None:
        """Note that `key` was used."""
        self.front.touch(key)
        self.back.touch(key)

    def delete(self, key: str) -> bool:
        """Forget `key` in both; returns whether it was there.

        Raises:
            CacheError: the back could not forget it; the front has.
        """
        there = False
        try:
            there = self.back.delete(key)
        finally:
            with self._lock:
                self._changes += 1
                there = self.front.delete(key) or there
        return there

    def clear(self) -> int:
        """Forget everything in both; returns how many entries that were.

        Raises:
            CacheError: the back could not be cleared; the front is.
        """
        count = 0
        try:
            count = self.back.clear()
        finally:
            with self._lock:
                self._changes += 1
                count = max(count, self.front.clear())
        return count

    def size(self) -> CacheSize:
        """How much the back holds; the front, while the back does not work."""
        if not self._reads.is_down():
            try:
                return self.back.size()
            except CacheError as error:
                self._reads.failed(error)
        return self.front.size()

    def entries(self, *, limit: int = 1000, offset: int = 0) -> Iterator[Entry]:
        """Entries of the back, newest first; of the front, while the back does not work."""
        if not self._reads.is_down():
            given = 0
            try:
                for entry in self.back.entries(limit=limit, offset=offset):
                    given += 1
                    yield entry
                return
            except CacheError as error:
                self._reads.failed(error)
                if given:
                    return
        yield from self.front.entries(limit=limit, offset=offset)

    def peek(self, key: str) -> Entry | None:
        """The entry under `key`, without counting as a use."""
        return self.front.peek(key) if self._reads.is_down() else self.back.peek(key)

    def items(self, wanted: EntryFilter = EVERYTHING) -> Iterator[Item]:
        """All entries of the back that are meant; of the front, while the back does not work."""
        return self._working().items(wanted)

    def find(
        self, wanted: EntryFilter = EVERYTHING, *, order: Order = "newest", limit: int = 50, offset: int = 0
    ) -> list[Item]:
        """Entries that are meant, in that order, at most `limit` after skipping `offset`."""
        return self._working().find(wanted, order=order, limit=limit, offset=offset)

    def item(self, key: str) -> Item | None:
        """What a list shows of one entry; None where there is none."""
        return self._working().item(key)

    def count(self, wanted: EntryFilter = EVERYTHING) -> CacheSize:
        """How many entries are meant, and their size."""
        return self._working().count(wanted)

    def forget(self, wanted: EntryFilter) -> int:
        """Forget all entries that are meant, in both; returns how many.

        Raises:
            CacheError: the back could not forget them; the front has.
        """
        try:
            return self.back.forget(wanted)
        finally:
            with self._lock:
                self._changes += 1
                self.front.clear()

    def pin(self, key: str, *, pinned: bool = True) -> bool:
        """Keep an entry of the back whatever comes, or no longer; returns whether it is there."""
        return self.back.pin(key, pinned=pinned)

    def flush(self) -> None:
        """As the back does it, while that works."""
        if not self._reads.is_down():
            self.back.flush()

    def pins(self) -> int:
        """How many entries are pinned."""
        return self._working().pins()

    def lock(self, key: str) -> AbstractContextManager[Callable[[], bool]]:
        """As the back does it; everybody is granted the lock while that does not work."""
        return nullcontext(_granted) if self._reads.is_down() else self.back.lock(key)

    def close(self) -> None:
        """Release both."""
        if self._unwatch is not None:
            self._unwatch()
        self.back.close()
        self.front.close()

    def _working(self) -> Cache:
        return self.front if self._reads.is_down() else self.back

    def _from_back(self, key: str) -> Entry | None:
        if self._reads.is_down():
            return None
        seen = self._changes
        try:
            entry = self.back.get(key)
        except CacheError as error:
            self._reads.failed(error)
            return None
        self._reads.worked()
        if entry is not None:
            with self._lock:
                if seen == self._changes:
                    self.front.set(entry)
        return entry

    def _compare_counts(self, back: Counted) -> None:
        self._next_check = time.monotonic() + _CHECK_SECONDS
        if self._reads.is_down():
            return
        try:
            count = back.foreign_changes()
        except CacheError as error:
            self._reads.failed(error)
            return
        if count != self._last_count:
            if self._last_count is not None:
                self._forget(None)
            self._last_count = count

    def _forget(self, key: str | None) -> None:
        with self._lock:
            self._changes += 1
            if key is None:
                self.front.clear()
            else:
                self.front.delete(key)
        logger.debug("Another process changed the {} cache: forgot {} here", self.back.name, key or "everything")


def _granted() -> bool:
    return True
