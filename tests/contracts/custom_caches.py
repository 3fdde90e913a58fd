"""Caches as a plugin may bring them: with what `Cache` asks for and no more."""

import threading
from collections.abc import AsyncIterator, Iterator

from mcp_core.cache.base import Cache, CacheSize, Entry
from mcp_core.cache.notes import Notes

__all__ = ["AwaitedCache", "PlainCache"]


class PlainCache(Cache):
    """A dictionary, least recently used first, that heeds the pins it is told of."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held: dict[str, Entry] = {}
        self.lock_held = threading.RLock()

    def get(self, key: str) -> Entry | None:
        with self.lock_held:
            entry = self.held.get(key)
            if entry is not None:
                self.held[key] = self.held.pop(key)
            return entry

    def peek(self, key: str) -> Entry | None:
        return self.held.get(key)

    def set(self, entry: Entry) -> None:
        with self.lock_held:
            self.held.pop(entry.key, None)
            pinned = self.notes.pinned()
            kept = sum(len(self.held[key].body) for key in pinned if key in self.held)
            if entry.key not in pinned and len(entry.body) + kept > self.max_bytes:
                return
            self.held[entry.key] = entry
            while self.size().size_bytes > self.max_bytes:
                oldest = next((key for key in self.held if key not in pinned), None)
                if oldest is None:
                    return
                gone = self.held.pop(oldest)
                self.pushed_out(gone.labels, len(gone.body))

    def delete(self, key: str) -> bool:
        with self.lock_held:
            return self.held.pop(key, None) is not None

    def clear(self) -> int:
        with self.lock_held:
            count = len(self.held)
            self.held.clear()
            return count

    def size(self) -> CacheSize:
        with self.lock_held:
            bodies = [len(entry.body) + 100 for entry in self.held.values()]
        return CacheSize(len(bodies), sum(bodies))

    def entries(self, *, limit: int = 1000, offset: int = 0) -> Iterator[Entry]:
        with self.lock_held:
            held = [*self.held.values()]
        newest = sorted(held, key=lambda entry: entry.created_at, reverse=True)
        return iter(newest[offset : offset + limit])


class AwaitedCache:
    """The same with coroutines, and without a base class."""

    def __init__(self, max_bytes: int) -> None:
        self.inner = PlainCache(max_bytes)

    @property
    def notes(self) -> Notes:
        return self.inner.notes

    @notes.setter
    def notes(self, notes: Notes) -> None:
        self.inner.notes = notes

    @property
    def evictions(self) -> int:
        return self.inner.evictions

    async def get(self, key: str) -> Entry | None:
        return self.inner.get(key)

    async def set(self, entry: Entry) -> None:
        self.inner.set(entry)

    async def delete(self, key: str) -> bool:
        return self.inner.delete(key)

    async def clear(self) -> int:
        return self.inner.clear()

    async def size(self) -> CacheSize:
        return self.inner.size()

    async def entries(self, *, limit: int = 1000, offset: int = 0) -> AsyncIterator[Entry]:
        for entry in self.inner.entries(limit=limit, offset=offset):
            yield entry
