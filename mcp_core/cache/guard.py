"""Keeping a failing cache out of the way: it is left alone for a while, told of once, and never fails a run."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable
from weakref import WeakValueDictionary

from loguru import logger

from mcp_core.cache.base import EVERYTHING, Cache, CacheSize, Entry, EntryFilter, Item, Order
from mcp_core.cache.ledger import Ledger
from mcp_core.errors import CacheError

__all__ = ["Checked", "Health", "Outage", "SafeCache", "health_of_server"]

_PAUSE_SECONDS = 5.0
_TOLD_SECONDS = 60.0


class Health:
    """What is told of one cache: that it fails, and that it works again, once each. Thread-safe.

    Reading and writing fail apart and are tried apart, but one thing is wrong with the cache: the first part that
    fails is told of, and that all of them work again. An outage that begins within a minute of the last one told of
    is not told of again.

    Args:
        what: names the cache in the log, as the subject of a sentence.
        clock: seconds that never go back.
    """

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._what = what
        self._lock = threading.Lock()
        self._failing: set[str] = set()
        self._told = False
        self._told_at: float | None = None

    def failed(self, part: str, error: CacheError) -> None:
        """Note that a part fails."""
        now = self.clock()
        with self._lock:
            first, tell = not self._failing, False
            self._failing.add(part)
            if first:
                tell = self._told_at is None or now - self._told_at >= _TOLD_SECONDS
                self._told = tell
                self._told_at = now if tell else self._told_at
        if tell:
            logger.warning("{} does not work, so the panel goes on without it: {}", self._what, error)
        else:
            logger.debug("{}: {} still fails: {}", self._what, part, error)

    def worked(self, part: str) -> None:
        """Note that a part works (again)."""
        with self._lock:
            self._failing.discard(part)
            if self._failing or not self._told:
                return
            self._told = False
        logger.info("{} works again", self._what)


_servers: WeakValueDictionary[str, Health] = WeakValueDictionary()


def health_of_server(url: str, what: str) -> Health:
    """What is told of the server at `url`, whatever this process uses it for: it fails for all of that at once."""
    found = _servers.get(url)
    return found if found is not None else _servers.setdefault(url, Health(what))


class Outage:
    """Remembers that a part of a cache failed, and so when to try it again. Thread-safe.

    Args:
        health: tells of it.
        part: what of it: `reading`, `writing` or `sharing`.
    """

    def __init__(self, health: Health, part: str) -> None:
        self._health = health
        self._part = part
        self._until: float | None = None

    def is_down(self) -> bool:
        """Whether it failed less than 5 seconds ago and is better left alone."""
        until = self._until
        return until is not None and self._health.clock() < until

    def failed(self, error: CacheError) -> None:
        """Note a failure."""
        self._until = self._health.clock() + _PAUSE_SECONDS
        self._health.failed(self._part, error)

    def worked(self) -> None:
        """Note that it works (again)."""
        if self._until is not None:
            self._until = None
            self._health.worked(self._part)


@runtime_checkable
class Checked(Protocol):
    """A cache on a server, which can be asked whether it is there.

    Attributes:
        health: tells of the server.
    """

    health: Health

    def check(self) -> None:
        """Raise `CacheError` where the server cannot be used."""
        ...


class SafeCache(Cache):
    """A cache that cannot fail a run: where `inner` fails, `get` finds nothing and `set` does nothing.

    What a person asks for (`delete`, `clear`, `size`, `find` and the like) still raises `CacheError`, so that nobody
    believes a cache cleared that is not.
    """

    def __init__(self, inner: Cache) -> None:
        self.inner = inner
        self.name = inner.name
        health = inner.health if isinstance(inner, Checked) else Health(f"The {inner.name} cache")
        self._reads = Outage(health, "reading")
        self._writes = Outage(health, "writing")
        # One ledger, whoever wraps the cache a second time.
        self._ledger = inner.ledger or Ledger()
        self.ledger = inner.ledger = self._ledger

    @property
    def evictions(self) -> int:  # type: ignore[override]
        """Entries the inner cache pushed out."""
        return self.inner.evictions

    def check(self) -> None:
        """Ask the server of the cache, where it has one, whether it is there; where not, that is told."""
        if isinstance(self.inner, Checked):
            try:
                self.inner.check()
            except CacheError as error:
                self._reads.failed(error)
                self._writes.failed(error)

    def get(self, key: str) -> Entry | None:
        """The entry under `key`, fresh or expired; None where there is none or the cache does not work."""
        if self._reads.is_down():
            return None
        try:
            entry = self.inner.get(key)
        except CacheError as error:
            self._reads.failed(error)
            return None
        self._reads.worked()
        return entry

    def set(self, entry: Entry) -> None:
        """Store `entry` under its key, if the cache works."""
        if self._writes.is_down():
            return
        try:
            self.inner.set(entry)
        except CacheError as error:
            self._writes.failed(error)
            return
        self._writes.worked()
        self._ledger.stored(entry.labels, len(entry.body))

    def touch(self, key: str) -> None:
        """Note that `key` was used."""
        self.inner.touch(key)

    def delete(self, key: str) -> bool:
        """Forget `key`; returns whether it was there."""
        return self.inner.delete(key)

    def clear(self) -> int:
        """Forget everything; returns how many entries that were."""
        return self.inner.clear()

    def size(self) -> CacheSize:
        """How much it holds."""
        return self.inner.size()

    def entries(self, *, limit: int = 1000, offset: int = 0) -> Iterator[Entry]:
        """Entries, newest first, at most `limit` after skipping `offset`."""
        return self.inner.entries(limit=limit, offset=offset)

    def peek(self, key: str) -> Entry | None:
        """The entry under `key`, without counting as a use."""
        return self.inner.peek(key)

    def items(self, wanted: EntryFilter = EVERYTHING) -> Iterator[Item]:
        """All entries that are meant, in no particular order."""
        return self.inner.items(wanted)

    def find(
        self, wanted: EntryFilter = EVERYTHING, *, order: Order = "newest", limit: int = 50, offset: int = 0
    ) -> list[Item]:
        """Entries that are meant, in that order, at most `limit` after skipping `offset`."""
        return self.inner.find(wanted, order=order, limit=limit, offset=offset)

    def item(self, key: str) -> Item | None:
        """What a list shows of one entry; None where there is none."""
        return self.inner.item(key)

    def count(self, wanted: EntryFilter = EVERYTHING) -> CacheSize:
        """How many entries are meant, and their size."""
        return self.inner.count(wanted)

    def forget(self, wanted: EntryFilter) -> int:
        """Forget all entries that are meant; returns how many."""
        return self.inner.forget(wanted)

    def pin(self, key: str, *, pinned: bool = True) -> bool:
        """Keep an entry whatever comes, or no longer; returns whether it is there."""
        return self.inner.pin(key, pinned=pinned)

    def flush(self) -> None:
        """As the inner cache does it, while that works."""
        if not self._reads.is_down():
            self.inner.flush()

    def pins(self) -> int:
        """How many entries are pinned."""
        return self.inner.pins()

    def lock(self, key: str) -> AbstractContextManager[Callable[[], bool]]:
        """As `Cache.lock`; everybody is granted the lock of a cache that does not work."""
        return nullcontext(_granted) if self._reads.is_down() else self.inner.lock(key)

    def close(self) -> None:
        """Release connections and files."""
        self.inner.close()


def _granted() -> bool:
    return True
