"""Caches that plugins bring: any object with the methods of `Cache`, each plain or `async def`."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

from mcp_core.cache.base import EVERYTHING, Cache, CacheSize, Entry, EntryFilter, Item, Order
from mcp_core.cache.notes import Notes
from mcp_core.errors import CacheError, ConfigurationError

__all__ = ["adapted"]

_REQUIRED = ("get", "set", "delete", "clear", "size", "entries")
_ANSWER_SECONDS = 10.0


def adapted(cache: Any, name: str, notes: Notes | None = None) -> Cache:
    """`cache` as a `Cache` whose failures are `CacheError`; coroutines run on an event loop of their own thread.

    What it does not bring itself of searching, pinning and the like is done with its entries and with `notes`
    (default: of this process's memory), which it finds as its own `notes`.

    Raises:
        ConfigurationError: it lacks a method.
    """
    missing = [method for method in _REQUIRED if not callable(getattr(cache, method, None))]
    if missing:
        raise ConfigurationError(
            f"The cache {name!r} lacks the methods {', '.join(missing)}.",
            hint="Let its class inherit from mcp_core.cache.Cache, which names them all.",
            field="MCP_CACHE_BACKEND",
        )
    return _AdaptedCache(cache, name, notes or Notes())


class _AdaptedCache(Cache):
    def __init__(self, inner: Any, name: str, notes: Notes) -> None:
        self.inner = inner
        self.name = name
        self.notes = notes
        if isinstance(inner, Cache) or hasattr(inner, "notes"):
            inner.notes = notes
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def evictions(self) -> int:  # type: ignore[override]
        return int(getattr(self.inner, "evictions", 0))

    def get(self, key: str) -> Entry | None:
        entry: Entry | None = self._call(lambda: self.inner.get(key))
        if entry is not None:
            self.notes.hit(key)
        return entry

    def peek(self, key: str) -> Entry | None:
        peek = self.inner.peek if self._brings("peek") else self.inner.get
        return self._call(lambda: peek(key))  # type: ignore[no-any-return]

    def set(self, entry: Entry) -> None:
        before = self.evictions
        self._call(lambda: self.inner.set(entry))
        self.notes.forget(entry.key)
        if self.ledger is not None:
            for _ in range(self.evictions - before):
                self.ledger.evicted({}, 0)  # which ones they were, and how large, it does not say

    def touch(self, key: str) -> None:
        self.notes.hit(key)
        # Only a plain one: waiting for a coroutine would cost more than the hit it reports.
        touch = getattr(self.inner, "touch", None)
        if touch is not None and not inspect.iscoroutinefunction(touch):
            touch(key)

    def delete(self, key: str) -> bool:
        there = bool(self._call(lambda: self.inner.delete(key)))
        if there:
            self.notes.gone(key)
        return there

    def clear(self) -> int:
        count = int(self._call(self.inner.clear))
        self.notes.clear()
        return count

    def size(self) -> CacheSize:
        return self._call(self.inner.size)  # type: ignore[no-any-return]

    def entries(self, *, limit: int = 1000, offset: int = 0) -> Iterator[Entry]:
        return iter(self._call(lambda: _listed(self.inner.entries(limit=limit, offset=offset))))

    def items(self, wanted: EntryFilter = EVERYTHING) -> Iterator[Item]:
        if self._brings("items"):
            return iter(self._call(lambda: _listed(self.inner.items(wanted))))
        return super().items(wanted)

    def find(
        self, wanted: EntryFilter = EVERYTHING, *, order: Order = "newest", limit: int = 50, offset: int = 0
    ) -> list[Item]:
        if self._brings("find"):
            return list(self._call(lambda: self.inner.find(wanted, order=order, limit=limit, offset=offset)))
        return super().find(wanted, order=order, limit=limit, offset=offset)

    def count(self, wanted: EntryFilter = EVERYTHING) -> CacheSize:
        if self._brings("count"):
            return self._call(lambda: self.inner.count(wanted))  # type: ignore[no-any-return]
        return super().count(wanted)

    def forget(self, wanted: EntryFilter) -> int:
        if self._brings("forget"):
            return int(self._call(lambda: self.inner.forget(wanted)))
        return super().forget(wanted)

    def pin(self, key: str, *, pinned: bool = True) -> bool:
        if self._brings("pin"):
            return bool(self._call(lambda: self.inner.pin(key, pinned=pinned)))
        return super().pin(key, pinned=pinned)

    def pins(self) -> int:
        return int(self._call(self.inner.pins)) if self._brings("pins") else super().pins()

    def close(self) -> None:
        self.notes.flush()
        close = getattr(self.inner, "close", None)
        try:
            if close is not None:
                self._call(close)
        finally:
            self._stop_loop()

    def _brings(self, method: str) -> bool:
        """Whether it has a method of its own for that, not the one it inherits."""
        own = getattr(type(self.inner), method, None)
        return own is not None and own is not getattr(Cache, method)

    def _call(self, work: Callable[[], Any]) -> Any:
        try:
            result = work()
            return self._wait(result) if inspect.isawaitable(result) else result
        except CacheError:
            raise
        except Exception as error:
            raise CacheError(
                f"The {self.name} cache failed: {type(error).__name__}: {error}.",
                hint="Look at the package it is from.",
            ) from error

    def _wait(self, awaitable: Any) -> Any:
        async def answer() -> Any:
            return await awaitable

        future = asyncio.run_coroutine_threadsafe(answer(), self._running_loop())
        try:
            return future.result(_ANSWER_SECONDS)
        except TimeoutError:
            future.cancel()
            raise CacheError(
                f"The {self.name} cache did not answer within {_ANSWER_SECONDS:g} seconds.",
                hint="Look at the server behind it.",
            ) from None

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name=f"cache-{self.name}", daemon=True)
                self._thread.start()
            return self._loop

    def _stop_loop(self) -> None:
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_ANSWER_SECONDS)
            loop.close()


def _listed(entries: Any) -> Any:
    """Entries as a list, or as an awaitable of one where they come asynchronously."""
    if inspect.isasyncgen(entries) or hasattr(entries, "__aiter__"):

        async def collect() -> list[Entry]:
            return [entry async for entry in entries]

        return collect()
    if inspect.isawaitable(entries):
        return entries
    return list(entries)
