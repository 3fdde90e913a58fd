"""Answers in the memory of this process: gone when it ends, a microsecond away until then."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter

from mcp_core.cache.base import EVERYTHING, Cache, CacheSize, Entry, EntryFilter, Item

__all__ = ["MemoryCache"]

_OVERHEAD = 600
"""Bytes an entry takes besides its texts: the objects themselves, as measured with sys.getsizeof."""


@dataclass(slots=True)
class _Held:
    entry: Entry
    size: int
    hits: int = 0
    pinned: bool = False


class MemoryCache(Cache):
    """Keeps the most recently used entries of at most `max_bytes` in all, and the pinned ones. Thread-safe.

    An entry larger than `max_bytes`, or than what pinned ones leave of it, is not kept, and pushes nothing else out.

    Attributes:
        evictions: entries pushed out by newer ones since the start.
    """

    name = "memory"

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.evictions = 0
        # Pinned ones are in a place of their own, so that eviction need not step over them.
        self._entries: OrderedDict[str, _Held] = OrderedDict()
        self._pins: dict[str, _Held] = {}
        self._bytes = self._pinned_bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> Entry | None:
        """The entry under `key`, fresh or expired; None where there is none."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                found = self._pins.get(key)
                if found is None:
                    return None
            else:
                self._entries.move_to_end(key)
            found.hits += 1
            return found.entry

    def peek(self, key: str) -> Entry | None:
        """The entry under `key`, without counting as a use."""
        with self._lock:
            found = self._entries.get(key) or self._pins.get(key)
            return None if found is None else found.entry

    def set(self, entry: Entry) -> None:
        """Store `entry` under its key, replacing what was there."""
        size = _size_of(entry)
        with self._lock:
            pinned = entry.key in self._pins
            self._remove(entry.key)
            if size > self.max_bytes - (0 if pinned else self._pinned_bytes):
                return
            self._add(_Held(entry, size, pinned=pinned))
            while self._bytes > self.max_bytes and self._entries:
                _, gone = self._entries.popitem(last=False)
                self._bytes -= gone.size
                self.pushed_out(gone.entry.labels, gone.size)

    def touch(self, key: str) -> None:
        """Note that `key` was used."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            else:
                found = self._pins.get(key)
            if found is not None:
                found.hits += 1

    def delete(self, key: str) -> bool:
        """Forget `key`; returns whether it was there."""
        with self._lock:
            return self._remove(key)

    def clear(self) -> int:
        """Forget everything; returns how many entries that were."""
        with self._lock:
            count = len(self._entries) + len(self._pins)
            self._entries.clear()
            self._pins.clear()
            self._bytes = self._pinned_bytes = 0
            return count

    def size(self) -> CacheSize:
        """How much it holds."""
        with self._lock:
            return CacheSize(entries=len(self._entries) + len(self._pins), size_bytes=self._bytes)

    def entries(self, *, limit: int = 1000, offset: int = 0) -> Iterator[Entry]:
        """Entries, newest first, at most `limit` after skipping `offset`."""
        held = [found.entry for found in self._all()]
        held.sort(key=attrgetter("created_at", "key"), reverse=True)
        return islice(held, offset, offset + limit)

    def items(self, wanted: EntryFilter = EVERYTHING) -> Iterator[Item]:
        """All entries that are meant, in no particular order."""
        for found in self._all():
            entry = found.entry
            item = Item.of(entry, found.size, hits=found.hits, used_at=None, pinned=found.pinned)
            if self.is_meant(item, wanted, lambda: entry):  # noqa: B023  (called before the loop goes on)
                yield item

    def pin(self, key: str, *, pinned: bool = True) -> bool:
        """Keep an entry whatever comes, or no longer; returns whether it is there."""
        with self._lock:
            found = self._entries.get(key) or self._pins.get(key)
            if found is None:
                return False
            self._remove(key)
            found.pinned = pinned
            self._add(found)
            return True

    def pins(self) -> int:
        """How many entries are pinned."""
        return len(self._pins)

    def _all(self) -> list[_Held]:
        with self._lock:
            return [*self._entries.values(), *self._pins.values()]

    def _add(self, held: _Held) -> None:
        (self._pins if held.pinned else self._entries)[held.entry.key] = held
        self._bytes += held.size
        self._pinned_bytes += held.size if held.pinned else 0

    def _remove(self, key: str) -> bool:
        found = self._entries.pop(key, None) or self._pins.pop(key, None)
        if found is None:
            return False
        self._bytes -= found.size
        self._pinned_bytes -= found.size if found.pinned else 0
        return True


def _size_of(entry: Entry) -> int:
    texts = len(entry.key) + len(entry.content_type) + len(entry.run_id) + len(entry.about)
    labels = sum(len(name) + len(label) for name, label in entry.labels.items())
    return len(entry.body) + texts + labels + _OVERHEAD
