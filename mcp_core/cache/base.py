"""The one interface of everything that remembers an answer."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext

from mcp_core.cache.entry import CacheSize, Entry, EntryFilter, Item, Order, sort_items
from mcp_core.cache.ledger import Ledger
from mcp_core.cache.notes import Notes
from mcp_core.errors import CacheError

__all__ = ["EVERYTHING", "Cache", "CacheSize", "Entry", "EntryFilter", "Item", "Order"]

EVERYTHING = EntryFilter()
_ALL = 2**31 - 1


class Cache(ABC):
    """A store of entries by key. All methods are thread-safe; none may fail a run.

    A backend raises `CacheError` when it cannot work; callers log it and go on without the cache. A damaged entry is
    dropped, logged and reported as missing. `get` also returns expired entries: freshness is the caller's policy.

    A backend of one's own has to bring `get`, `set`, `delete`, `clear`, `size` and `entries`. What people search,
    count, pin and delete by filter with is built on these; a backend that can do it faster overrides `items`.
    """

    name: str = "custom"
    evictions: int = 0
    """Entries this process pushed out to stay below the largest size."""
    ledger: Ledger | None = None
    """Where evictions are counted for the statistics."""
    _notes: Notes | None = None

    @abstractmethod
    def get(self, key: str) -> Entry | None:
        """The entry under `key`, fresh or expired; None where there is none. Counts as a use."""

    @abstractmethod
    def set(self, entry: Entry) -> None:
        """Store `entry` under its key, replacing what was there."""

    @abstractmethod
    def delete(self, key: str) -> bool:
        """Forget `key`, pinned or not; returns whether it was there."""

    @abstractmethod
    def clear(self) -> int:
        """Forget everything, pinned or not; returns how many entries that were."""

    @abstractmethod
    def size(self) -> CacheSize:
        """How much it holds."""

    @abstractmethod
    def entries(self, *, limit: int = 1000, offset: int = 0) -> Iterator[Entry]:
        """Entries, newest first, at most `limit` after skipping `offset`."""

    def touch(self, key: str) -> None:  # noqa: B027  (a backend that evicts nothing need not know)
        """Note that the entry under `key` was used, though a cache in front of this one answered. Never raises."""

    def flush(self) -> None:
        """Write down the hits and uses that were counted in memory. Never raises."""
        self.notes.flush()

    def close(self) -> None:  # noqa: B027  (a backend without resources has nothing to close)
        """Release connections and files."""

    # What people look at. The defaults read every entry.

    @property
    def notes(self) -> Notes:
        """Hits and pins of a backend that does not keep them itself; those of this process where nobody set others."""
        if self._notes is None:
            self._notes = Notes()
        return self._notes

    @notes.setter
    def notes(self, notes: Notes) -> None:
        self._notes = notes

    def peek(self, key: str) -> Entry | None:
        """The entry under `key`, without counting as a use."""
        return self.get(key)

    def items(self, wanted: EntryFilter = EVERYTHING) -> Iterator[Item]:
        """All entries that are meant, in no particular order."""
        hits, pinned = self.notes.hits(), self.notes.pinned()
        for entry in self.entries(limit=_ALL):
            item = Item.of(
                entry, len(entry.body), hits=hits.get(entry.key, 0), used_at=None, pinned=entry.key in pinned
            )
            if self.is_meant(item, wanted, lambda: entry):  # noqa: B023  (called before the loop goes on)
                yield item

    def find(
        self, wanted: EntryFilter = EVERYTHING, *, order: Order = "newest", limit: int = 50, offset: int = 0
    ) -> list[Item]:
        """Entries that are meant, in that order, at most `limit` after skipping `offset`."""
        return sort_items(list(self.items(wanted)), order)[offset : offset + max(0, limit)]

    def item(self, key: str) -> Item | None:
        """What a list shows of one entry; None where there is none."""
        return next((item for item in self.items() if item.key == key), None)

    def count(self, wanted: EntryFilter = EVERYTHING) -> CacheSize:
        """How many entries are meant, and their size."""
        sizes = [item.size_bytes for item in self.items(wanted)]
        return CacheSize(len(sizes), sum(sizes))

    def forget(self, wanted: EntryFilter) -> int:
        """Forget all entries that are meant, pinned ones unless `wanted.pinned` is False; returns how many."""
        return sum(self.delete(item.key) for item in list(self.items(wanted)))

    def pin(self, key: str, *, pinned: bool = True) -> bool:
        """Keep an entry whatever comes, or no longer; returns whether it is there.

        The default only notes it: a backend that evicts leaves out those in `self.notes.pinned()`.
        """
        there = self.peek(key) is not None
        if not self.notes.pin(key, pinned=pinned and there):
            raise CacheError(
                "The pin cannot be noted, so nothing was changed.",
                hint="Look into the log, and see that there is room on the disk of the cache.",
            )
        return there

    def pins(self) -> int:
        """How many entries are pinned."""
        return len(self.notes.pinned())

    def lock(self, key: str) -> "AbstractContextManager[Callable[[], bool]]":  # noqa: ARG002
        """A block whose value tries, without waiting, to be the only one of all processes that makes `key`.

        It returns whether it is by now; after the block, or with the process, somebody else may be. By default there
        is no telling, so everybody is.
        """
        return nullcontext(_granted)

    def is_meant(self, item: Item, wanted: EntryFilter, entry: Callable[[], Entry | None]) -> bool:
        """Whether `wanted` means `item`; asks for the entry itself only where it has to."""
        return wanted.fits(item) and (not wanted.text or wanted.names(item) or wanted.is_about(entry()))

    def pushed_out(self, labels: Mapping[str, str], size_bytes: int) -> None:
        """Count an eviction. Called by backends, for each."""
        self.evictions += 1
        if self.ledger is not None:
            self.ledger.evicted(labels, size_bytes)


def _granted() -> bool:
    return True
