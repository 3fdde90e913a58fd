"""Caches that plugins bring: any object with the methods of `Cache`, each plain or `async def`."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

from mcp_core.cache.base import Cache, CacheSize, Entry
from mcp_core.errors import CacheError, ConfigurationError

__all__ = ["adapted"]

_REQUIRED = ("get", "set", "delete", "clear", "size", "entries")
_ANSWER_SECONDS = 10.0


def adapted(cache: Any, name: str) -> Cache:
    """`cache` as a `Cache` whose failures are `CacheError`; coroutines run on an event loop of their own thread.

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
    return _AdaptedCache(cache, name)


class _AdaptedCache(Cache):
    def __init__(self, inner: Any, name: str) -> None:
        self.inner = inner
        self.name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def evictions(self) -> int:  # type: ignore[override]
        return int(getattr(self.inner, "evictions", 0))

    def get(self, key: str) -> Entry | None:
        return self._call(lambda: self.inner.get(key))  # type: ignore[no-any-return]

    def set(self, entry: Entry) -> None:
        self._call(lambda: self.inner.set(entry))

    def touch(self, key: str) -> None:
        # Only a plain one: waiting for a coroutine would cost more than the hit it reports.
        touch = getattr(self.inner, "touch", None)
        if touch is not None and not inspect.iscoroutinefunction(touch):
            touch(key)

    def delete(self, key: str) -> bool:
        return bool(self._call(lambda: self.inner.delete(key)))

    def clear(self) -> int:
        return int(self._call(self.inner.clear))

    def size(self) -> CacheSize:
        return self._call(self.inner.size)  # type: ignore[no-any-return]

    def entries(self, *, limit: int = 1000, offset: int = 0) -> Iterator[Entry]:
        return iter(self._call(lambda: _listed(self.inner.entries(limit=limit, offset=offset))))

    def close(self) -> None:
        close = getattr(self.inner, "close", None)
        try:
            if close is not None:
                self._call(close)
        finally:
            self._stop_loop()

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
