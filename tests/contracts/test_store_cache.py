"""What every history answers about the cache: what it did by name, and what it stored and held by the hour."""

from datetime import timedelta
from decimal import Decimal

import pytest

from mcp_core.models import CacheOutcome
from mcp_core.store import Store
from mcp_core.store.filters import CacheCounts, CacheUse
from tests.store.backends import OnPostgreSQL, OnSQLite
from tests.store.samples import NOON, finished

pytestmark = [pytest.mark.integration, pytest.mark.cache]

HOUR = int(NOON.timestamp() // 3600)
DAY = (NOON - timedelta(hours=12), NOON + timedelta(hours=12))
GREET = ("llm_prompt", "acme", "acme/m", "Greet")
SUM_UP = ("llm_prompt", "acme", "acme/m", "Sum up")


class CacheCountsContract:
    def test_counts_add_up_by_hour_and_name(self, store: Store) -> None:
        counts = store.cache_counts
        counts.add([(HOUR, *GREET, 2, 200, 0, 0), (HOUR, *SUM_UP, 1, 50, 1, 70)])
        counts.add([(HOUR, *GREET, 1, 100, 0, 0), (HOUR + 1, *GREET, 4, 400, 3, 300)])
        counts.add([])
        store.flush()
        assert counts.totals(*DAY) == CacheCounts(stored=8, stored_bytes=750, evictions=4, evicted_bytes=370)
        assert counts.totals(NOON, NOON + timedelta(minutes=1)) == CacheCounts(4, 350, 1, 70)
        assert counts.totals(NOON - timedelta(hours=5), NOON - timedelta(hours=3)) == CacheCounts()
        assert counts.by("task", *DAY) == {"Greet": CacheCounts(7, 700, 3, 300), "Sum up": CacheCounts(1, 50, 1, 70)}
        assert counts.by("provider", *DAY) == {"acme": CacheCounts(8, 750, 4, 370)}
        assert counts.by("actor", *DAY) == {}
        by_hour = counts.frame(*DAY, "hour")
        assert by_hour["stored"].tolist() == [4, 4]
        assert by_hour["evicted_bytes"].tolist() == [70, 300]
        assert counts.frame(*DAY, "day")["stored_bytes"].tolist() == [750]

    def test_the_size_of_a_period_is_the_last_one_seen_in_it(self, store: Store) -> None:
        counts = store.cache_counts
        for hour, entries, size in ((HOUR, 5, 500), (HOUR, 6, 600), (HOUR + 2, 9, 900), (HOUR + 30, 1, 100)):
            counts.add([], (hour, entries, size))
        store.flush()
        span = (DAY[0], DAY[1] + timedelta(days=1))
        assert counts.sizes(*span, "hour")["size_bytes"].tolist() == [600, 900, 100]
        assert counts.sizes(*span, "day")[["entries", "size_bytes"]].to_numpy().tolist() == [[9, 900], [1, 100]]
        assert counts.sizes(DAY[0], DAY[0] + timedelta(hours=1), "hour").empty

    def test_text_no_database_takes_is_made_plain(self, store: Store) -> None:
        store.cache_counts.add([(HOUR, "llm_prompt", "acme", "acme/m", "a\x00b", 1, 10, 0, 0)])
        store.flush()
        assert store.cache_counts.totals(*DAY).stored == 1

    def test_use_is_told_by_name(self, store: Store) -> None:
        hit = CacheOutcome(outcome="hit", saved_usd=Decimal("0.25"), saved_seconds=1.5, key="k")
        for run in (
            finished(at=NOON, model="acme/m", name="Greet", cache=CacheOutcome(outcome="miss", key="k")),
            finished(at=NOON, model="acme/m", name="Greet", cache=hit),
            finished(at=NOON, model="acme/m", name="Sum up", cache=hit),
        ):
            assert store.save_run(run) is True
        store.flush()
        used = store.cache_by("task", *DAY)
        assert used["Greet"] == CacheUse(1, 1, 0, 0, Decimal("0.25"), 1.5)
        assert used["Sum up"] == CacheUse(1, 0, 0, 0, Decimal("0.25"), 1.5)
        assert used["Sum up"].hit_ratio == 1.0
        assert CacheUse().hit_ratio is None
        assert store.cache_by("model", *DAY)["acme/m"].hits == 2

    def test_a_heartbeat_takes_counts_along(self, store: Store) -> None:
        told: list[str] = []

        def count() -> None:
            told.append("asked")
            store.cache_counts.add([(HOUR, *GREET, 1, 10, 0, 0)])

        store.before_heartbeat = count
        store.heartbeat("somebody")
        assert told == ["asked"]
        assert store.cache_counts.totals(*DAY).stored == 1


class TestOnSQLite(OnSQLite, CacheCountsContract):
    pass


class TestOnPostgreSQL(OnPostgreSQL, CacheCountsContract):
    pass
