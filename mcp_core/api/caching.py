"""The cache as callers see it: what it holds, what it saved, and clearing it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from loguru import logger

from mcp_core.cache.base import Cache, CacheSize, Entry
from mcp_core.errors import CacheError
from mcp_core.models import Actor, utcnow
from mcp_core.security.permissions import check
from mcp_core.settings import Settings
from mcp_core.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from mcp_core.store.filters import Group, Period

__all__ = ["CacheService"]


class CacheService:
    """The cache of answers. Reached as `client.cache`."""

    def __init__(self, cache: Cache, store: Store, settings: Settings, actor: Actor) -> None:
        self._cache = cache
        self._store = store
        self._settings = settings
        self._actor = actor

    def size(self) -> CacheSize:
        """Entries and bytes held.

        Raises:
            CacheError: the backend cannot be read.
        """
        return self._cache.size()

    def stats(self, *, since: datetime | None = None, until: datetime | None = None) -> dict[str, Any]:
        """What the cache holds, and what it did from `since` to `until` (default: the last 30 days); JSON-compatible.

        `hit_ratio` is hits of hits and misses, None before the first of either.
        """
        until = until or utcnow()
        since = since or until - timedelta(days=30)
        totals = self._store.totals(since, until)
        try:
            held: CacheSize | None = self.size()
        except CacheError as error:
            logger.warning("The cache cannot be measured: {}", error)
            held = None
        return {
            "backend": self._settings.cache_backend,
            "entries": held.entries if held else None,
            "size_bytes": held.size_bytes if held else None,
            "max_bytes": self._settings.cache_max_bytes,
            "ttl_seconds": self._settings.cache_ttl,
            "since": since.isoformat(),
            "until": until.isoformat(),
            "hits": totals.hits,
            "misses": totals.misses,
            "stale": totals.stale,
            "bypass": totals.bypass,
            "hit_ratio": totals.hit_ratio,
            "saved_usd": str(totals.saved_usd),
            "saved_seconds": totals.saved_seconds,
        }

    def frame(
        self, since: datetime, until: datetime, *, by: "Period" = "day", group: "Group | None" = None
    ) -> "pd.DataFrame":
        """Hits, misses and savings over time, and by `group` where one is named."""
        return self._store.cache_frame(since, until, by=by, group=group)

    def entries(self, *, limit: int = 1000, offset: int = 0) -> Iterator[Entry]:
        """Entries, newest first."""
        return self._cache.entries(limit=limit, offset=offset)

    def delete(self, key: str, *, actor: Actor | None = None) -> bool:
        """Forget one entry; returns whether it was there."""
        who = actor or self._actor
        check(who, "clear_cache")
        logger.info("{} deleted the cache entry {}.", who.name, key[:12])
        return self._cache.delete(key)

    def clear(self, *, actor: Actor | None = None) -> int:
        """Forget all entries; returns how many there were."""
        who = actor or self._actor
        check(who, "clear_cache")
        count = self._cache.clear()
        logger.info("{} cleared the cache: {} entries.", who.name, count)
        return count
