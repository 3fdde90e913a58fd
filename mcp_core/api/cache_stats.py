"""What the cache did, out of the history's hourly sums, and the counts that go there."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from mcp_core.cache.base import CacheSize
from mcp_core.cache.ledger import LedgerRow
from mcp_core.models import utcnow
from mcp_core.settings import Settings
from mcp_core.store import Store
from mcp_core.store.filters import CacheCounts, CacheUse, Group

__all__ = ["CacheStats"]

_GROUPS: tuple[Group, ...] = ("type", "provider", "model", "task")


class CacheStats:
    """Reads and adds to the statistics, which outlive the process."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def count(self, rows: Sequence[LedgerRow], held: CacheSize | None) -> None:
        """Leave counts, and what the cache holds where that was looked up, to the next writer of the history."""
        hour = int(time.time() // 3600)
        self._store.cache_counts.add(
            [(row.hour, *row.labels, row.stored, row.stored_bytes, row.evicted, row.evicted_bytes) for row in rows],
            None if held is None else (hour, held.entries, held.size_bytes),
        )

    def read(
        self, held: CacheSize | None, pinned: int | None, *, since: datetime | None, until: datetime | None
    ) -> dict[str, Any]:
        """All figures of a span, JSON-compatible; see `CacheService.stats`."""
        until = until or utcnow()
        since = since or until - timedelta(days=30)
        totals = self._store.totals(since, until)
        use = CacheUse(totals.hits, totals.misses, totals.stale, totals.bypass, totals.saved_usd, totals.saved_seconds)
        return {
            "backend": self._settings.cache_backend,
            "entries": held.entries if held else None,
            "pinned": pinned,
            "size_bytes": held.size_bytes if held else None,
            "max_bytes": self._settings.cache_max_bytes,
            "ttl_seconds": self._settings.cache_ttl,
            "since": since.isoformat(),
            "until": until.isoformat(),
            **_figures(use, self._store.cache_counts.totals(since, until)),
            "by": {group: self._by(group, since, until) for group in _GROUPS},
        }

    def _by(self, group: Group, since: datetime, until: datetime) -> list[dict[str, Any]]:
        used = self._store.cache_by(group, since, until)
        counted = self._store.cache_counts.by(group, since, until)
        rows = [
            {"name": name, **_figures(used.get(name, CacheUse()), counted.get(name, CacheCounts()))}
            for name in used.keys() | counted.keys()
        ]
        return sorted(rows, key=lambda row: (-(row["hits"] + row["stale"] + row["misses"]), row["name"]))


def _figures(use: CacheUse, counts: CacheCounts) -> dict[str, Any]:
    return {
        "hits": use.hits,
        "misses": use.misses,
        "stale": use.stale,
        "bypass": use.bypass,
        "hit_ratio": use.hit_ratio,
        "saved_usd": str(use.saved_usd),
        "saved_seconds": use.saved_seconds,
        "stored": counts.stored,
        "stored_bytes": counts.stored_bytes,
        "evictions": counts.evictions,
        "evicted_bytes": counts.evicted_bytes,
    }
