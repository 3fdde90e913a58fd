"""Keeping a failing cache out of the way: it is left alone for a while, said once a minute, and never fails a run."""

import threading
import time
from collections.abc import Callable, Iterator

from loguru import logger

from mcp_core.cache.base import Cache, CacheSize, Entry
from mcp_core.errors import CacheError

__all__ = ["Outage", "SafeCache"]

_PAUSE_SECONDS = 5.0
_WARN_SECONDS = 60.0


class Outage:
    """Remembers that something failed: when to try it again, and whether that was said already. Thread-safe.

    Args:
        what: names it in the log, as the subject of a sentence.
        clock: seconds that never go back.
    """

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._clock = clock
        self._lock = threading.Lock()
        self._until: float | None = None
        self._warned: float | None = None

    def is_down(self) -> bool:
        """Whether it failed less than 5 seconds ago and is better left alone."""
        until = self._until
        return until is not None and self._clock() < until

    def failed(self, error: CacheError) -> None:
        """Note a failure; warns at most once a minute."""
        now = self._clock()
        with self._lock:
            self._until = now + _PAUSE_SECONDS
            if self._warned is not None and now - self._warned < _WARN_SECONDS:
                return
            self._warned = now
        logger.warning("{} does not work, so the panel goes on without it: {}", self._what, error)

    def worked(self) -> None:
        """Note that it works (again)."""
        if self._until is not None:
            with self._lock:
                self._until = None
            logger.info("{} works again", self._what)


class SafeCache(Cache):
    """A cache that cannot fail a run: where `inner` fails, `get` finds nothing and `set` does nothing.

    What a person asks for (`delete`, `clear`, `size`, `entries`) still raises `CacheError`, so that nobody believes
    a cache cleared that is not.
    """

    def __init__(self, inner: Cache) -> None:
        self.inner = inner
        self.name = inner.name
        self._reads = Outage(f"Reading the {inner.name} cache")
        self._writes = Outage(f"Writing the {inner.name} cache")

    @property
    def evictions(self) -> int:  # type: ignore[override]
        """Entries the inner cache pushed out."""
        return self.inner.evictions

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

    def close(self) -> None:
        """Release connections and files."""
        self.inner.close()
