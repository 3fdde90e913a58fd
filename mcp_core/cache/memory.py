"""Answers in the memory of this process: gone when it ends, a microsecond away until then."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice
from operator import attrgetter

from mcp_core.cache.base import Cache, CacheSize, Entry

__all__ = ["MemoryCache"]

_OVERHEAD = 600
"""Bytes an entry takes besides its texts: the objects themselves, as measured with sys.getsizeof."""


class MemoryCache(Cache):
    """Keeps the most recently used entries of at most `max_bytes` in all. Thread-safe.

    An entry larger than `max_bytes` is not kept, and pushes nothing else out.

    Attributes:
        evictions: entries pushed out by newer ones since the start.
    """

    name = "memory"

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.evictions = 0
        self._entries: OrderedDict[str, tuple[Entry, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> Entry | None:
        """The entry under `key`, fresh or expired; None where there is none."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found[0]

    def set(self, entry: Entry) -> None:
        """Store `entry` under its key, replacing what was there."""
        size = _size_of(entry)
        with self._lock:
            self._remove(entry.key)
            if size > self.max_bytes:
                return
            self._entries[entry.key] = (entry, size)
            self._bytes += size
            while self._bytes > self.max_bytes:
                _, (_, freed) = self._entries.popitem(last=False)
                self._bytes -= freed
                self.evictions += 1

    def touch(self, key: str) -> None:
        """Note that `key` was used."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)

    def delete(self, key: str) -> bool:
        """Forget `key`; returns whether it was there."""
        with self._lock:
            return self._remove(key)

    def clear(self) -> int:
        """Forget everything; returns how many entries that were."""
        with self._lock:
            count = len(self._entries)
            self._entries.clear()
            self._bytes = 0
            return count

    def size(self) -> CacheSize:
        """How much it holds."""
        with self._lock:
            return CacheSize(entries=len(self._entries), size_bytes=self._bytes)

    def entries(self, *, limit: int = 1000, offset: int = 0) -> Iterator[Entry]:
        """Entries, newest first, at most `limit` after skipping `offset`."""
        with self._lock:
            held = [entry for entry, _ in self._entries.values()]
        held.sort(key=attrgetter("created_at", "key"), reverse=True)
        return islice(held, offset, offset + limit)

    def _remove(self, key: str) -> bool:
        found = self._entries.pop(key, None)
        if found is None:
            return False
        self._bytes -= found[1]
        return True


def _size_of(entry: Entry) -> int:
    texts = len(entry.key) + len(entry.content_type) + len(entry.run_id)
    labels = sum(len(name) + len(label) for name, label in entry.labels.items())
    return len(entry.body) + texts + labels + _OVERHEAD
