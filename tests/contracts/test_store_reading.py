"""What every history answers: runs by id and likeness, typed tables, figures over time, and all of it by index."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import select, text

from mcp_core.errors import ConfigurationError
from mcp_core.models import Attempt, CacheOutcome, Run, RunError, RunStatus, Usage, new_id
from mcp_core.store import RunFilter, Store
from mcp_core.store.schema import rollup_latency
from mcp_core.store.schema import runs as runs_table
from tests.store.backends import OnPostgreSQL, OnSQLite
from tests.store.samples import NOON, finished, running

pytestmark = pytest.mark.integration

_DAY = (NOON - timedelta(hours=12), NOON + timedelta(hours=12))


def _hit(**changes: Any) -> Run:
    cache = CacheOutcome(outcome="hit", age_seconds=60, saved_usd=Decimal("0.25"), saved_seconds=1.5, key="k1")
    return finished(**{"cache": cache, "cost_usd": Decimal(0), **changes})


def _failed(**changes: Any) -> Run:
    error = RunError(type="APIError", message="The server is down.")
    values = {"status": RunStatus.FAILED, "error": error, "cost_usd": None, "cache": CacheOutcome()}
    return finished(**{**values, **changes})


class ReadingContract:
    @pytest.fixture
    def history(self, store: Store) -> list[Run]:
        """Two hits and a miss at noon, a failure an hour later, a cancelled and an interrupted run the next day."""
        tomorrow = NOON + timedelta(days=1)
        written = [
            finished(at=NOON),
            _hit(at=NOON + timedelta(minutes=1)),
            _hit(at=NOON + timedelta(minutes=2), model="acme/large", actor_id="ann"),
            _failed(at=NOON + timedelta(hours=1), type="python_script", model=None, name="script"),
            finished(at=tomorrow, status=RunStatus.CANCELLED, cache=CacheOutcome(outcome="stale")),
            finished(at=tomorrow, status=RunStatus.INTERRUPTED),
        ]
        for run in written:
            assert store.save_run(run) is True
        return written

    def test_runs_are_found_by_the_beginning_of_their_id(self, store: Store) -> None:
        first, second = running(id="abc1"), running(id="abc2")
        longer = running(id="abc12")
        for run in (first, second, longer):
            store.create_run(run)
        assert store.find_run("abc2") == second
        assert store.find_run("abc1") == first
        assert store.find_run("abc12") == longer
        assert store.find_run("abd") is None
        assert store.find_run("") is None
        assert store.get_run("abc") is None
        with pytest.raises(ConfigurationError, match="Several runs"):
            store.find_run("ab")

    def test_pages_are_stable_while_runs_are_added(self, store: Store) -> None:
        old = [finished(at=NOON + timedelta(seconds=number)) for number in range(5)]
        for run in old:
            store.create_run(run)
        page, cursor = store.list_runs(limit=2)
        store.create_run(finished())
        rest, end = store.list_runs(limit=10, cursor=cursor)
        assert page + rest == old[::-1]
        assert end is None

    def test_pages_of_the_table_go_on_where_the_last_one_ended(self, store: Store, history: list[Run]) -> None:
        whole = store.runs_frame()
        first, cursor = store.runs_page(limit=4)
        rest, end = store.runs_page(limit=4, cursor=cursor)
        assert list(first["id"]) + list(rest["id"]) == list(whole["id"])
        assert (len(first), end) == (4, None)
        assert list(rest.dtypes.index) == list(whole.columns)
        nothing, end = store.runs_page(RunFilter(names=("none such",)))
        assert nothing.empty
        assert end is None

    @pytest.mark.parametrize("cursor", ["", "x", "12", "12.", "zz.abc", "'; DROP TABLE runs; --"])
    def test_a_made_up_cursor_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(ConfigurationError, match="not a place"):
            store.list_runs(cursor=cursor)

    def test_bounds_hold_whatever_is_asked(self, store: Store, history: list[Run]) -> None:
        assert len(store.list_runs(limit=-5)[0]) == 1
        assert len(store.list_runs(limit=10**9)[0]) == len(history)
        assert len(store.runs_frame(limit=2)) == 2
        assert len(store.runs_frame(limit=-1)) == 0

    def test_children_come_oldest_first(self, store: Store) -> None:
        parent = running()
        children = [finished(parent_id=parent.id, at=NOON + timedelta(seconds=n)) for n in range(4)]
        for run in (parent, *children):
            store.create_run(run)
        assert store.children(parent.id) == children
        assert store.children(parent.id, limit=2) == children[2:]
        assert store.children(children[0].id) == []

    def test_runs_by_id(self, store: Store, history: list[Run]) -> None:
        wanted = RunFilter(ids=(history[0].id, history[3].id, new_id()))
        assert {run.id for run in store.list_runs(wanted)[0]} == {history[0].id, history[3].id}

    def test_the_last_like_run(self, store: Store, history: list[Run]) -> None:
        assert store.last_like(finished()) == history[5]
        assert store.last_like(finished(at=NOON + timedelta(seconds=30))) == history[0]
        assert store.last_like(history[0]) is None
        assert store.last_like(finished(name="other")) is None
        assert store.last_like(finished(model=None)) is None
        unnamed = finished(model=None, name="", at=NOON)
        store.save_run(unnamed)
        assert store.last_like(finished(model=None, name="")) == unnamed

    def test_how_long_it_will_take(self, store: Store, history: list[Run]) -> None:
        assert store.expected_seconds("llm_prompt", "summarise", "local/small") == 2.0
        assert store.expected_seconds("llm_prompt", "summarise") == 2.0
        assert store.expected_seconds("llm_prompt", "summarise", "acme/large") is None
        assert store.expected_seconds("python_script", "script") is None
        for seconds in (5, 5, 5):
            started = NOON - timedelta(seconds=seconds)
            store.save_run(finished(at=NOON, started_at=started))
        assert store.expected_seconds("llm_prompt", "summarise", "local/small") == 5.0

    def test_the_table_is_typed(self, store: Store, history: list[Run]) -> None:
        queued = running(status=RunStatus.QUEUED, started_at=None, owner=None)
        store.save_run(queued)
        for found in (store.runs_frame(), store.runs_frame(RunFilter(names=("none such",)))):
            for name in ("created_at", "started_at", "finished_at"):
                assert str(found[name].dtype) == "datetime64[us, UTC]"
            for name in ("duration_seconds", "queued_seconds", "cost_usd", "saved_usd", "saved_seconds"):
                assert found[name].dtype == "float64"
            for name in ("input_tokens", "output_tokens", "attempts"):
                assert found[name].dtype == "int64"
            for name in ("type", "name", "status", "actor_id", "team", "model", "provider", "cache", "error_type"):
                assert isinstance(found[name].dtype, pd.CategoricalDtype)
        found = store.runs_frame().set_index("id")
        first, waiting, failed = found.loc[history[0].id], found.loc[queued.id], found.loc[history[3].id]
        assert first["created_at"] == history[0].created_at
        assert (first["duration_seconds"], first["queued_seconds"], first["cost_usd"]) == (2.0, 1.0, 0.25)
        assert (first["provider"], first["cache"], first["input_tokens"]) == ("local", "miss", 10)
        assert pd.isna(waiting["started_at"])
        assert pd.isna(waiting["duration_seconds"])
        assert pd.isna(failed["cost_usd"])
        assert failed["error_type"] == "APIError"
        assert store.runs_frame(RunFilter(names=("none such",))).empty

    def test_sums_by_day_and_group(self, store: Store, history: list[Run]) -> None:
        until = NOON + timedelta(days=2)
        days = store.rollup_frame(_DAY[0], until, by="day")
        assert list(days["time"]) == [datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)]
        assert list(days["runs"]) == [4, 2]
        assert list(days["errors"]) == [1, 1]
        assert list(days["hits"]) == [2, 0]
        assert list(days["cost_usd"]) == [0.25, 0.5]
        assert list(days["unknown_cost"]) == [1, 0]
        assert list(days["saved_usd"]) == [0.5, 0.0]
        assert list(days["saved_seconds"]) == [3.0, 0.0]
        assert list(days["input_tokens"]) == [40, 20]
        assert list(days["duration_seconds"]) == [8.0, 4.0]
        hours = store.rollup_frame(*_DAY)
        assert list(hours["time"]) == [NOON, NOON + timedelta(hours=1)]
        assert list(hours["runs"]) == [3, 1]
        for group, expected in {
            "type": {"llm_prompt": 5, "python_script": 1},
            "model": {"local/small": 4, "acme/large": 1, "": 1},
            "provider": {"local": 4, "acme": 1, "": 1},
            "status": {"succeeded": 3, "failed": 1, "cancelled": 1, "interrupted": 1},
            "actor": {"local": 5, "ann": 1},
            "task": {"summarise": 5, "script": 1},
        }.items():
            found = store.rollup_frame(_DAY[0], until, "day", group)  # type: ignore[arg-type]  # the keys are groups
            assert dict(found.groupby(group, observed=True)["runs"].sum()) == expected

    def test_spans_are_widened_to_whole_hours(self, store: Store, history: list[Run]) -> None:
        assert store.totals(NOON + timedelta(minutes=30), NOON + timedelta(minutes=31)).runs == 3
        assert store.totals(NOON - timedelta(hours=1), NOON).runs == 0
        assert store.totals(NOON + timedelta(hours=1), NOON + timedelta(hours=1, microseconds=1)).runs == 1
        assert store.totals(NOON, NOON - timedelta(days=1)).runs == 0

    def test_totals(self, store: Store, history: list[Run]) -> None:
        found = store.totals(_DAY[0], NOON + timedelta(days=2))
        assert (found.runs, found.hits, found.misses, found.stale, found.bypass) == (6, 2, 2, 1, 1)
        assert found.hit_ratio == 0.6
        assert found.errors == 2
        assert (found.input_tokens, found.output_tokens) == (60, 30)
        assert (found.cost_usd, found.unknown_cost) == (Decimal("0.75"), 1)
        assert (found.saved_usd, found.saved_seconds) == (Decimal("0.5"), 3.0)
        assert found.p50_seconds == pytest.approx(2.0, rel=0.011)
        nothing = store.totals(NOON + timedelta(days=30), NOON + timedelta(days=31))
        assert nothing.runs == 0
        assert nothing.cost_usd == Decimal(0)
        assert nothing.hit_ratio is None
        assert nothing.p50_seconds is None

    def test_a_price_is_unknown_only_where_a_model_has_answered(self, store: Store) -> None:
        nothing = {"cost_usd": None, "usage": Usage(), "cache": CacheOutcome(), "at": NOON}
        tried = Attempt(number=1, provider="acme", model="large", status=500, started_at=NOON, duration_seconds=1)
        answered = tried.model_copy(update={"number": 2, "status": 200})
        script = finished(**nothing, type="python_script", model=None)
        refused = finished(**nothing, status=RunStatus.FAILED, attempts=(tried,))
        silent = finished(**nothing, attempts=(tried, answered))
        stopped = finished(**{**nothing, "usage": Usage(output_tokens=3)}, status=RunStatus.CANCELLED)
        for run, unknown in ((script, 0), (refused, 0), (silent, 1), (stopped, 2), (finished(at=NOON), 2)):
            store.save_run(run)
            assert store.totals(*_DAY).unknown_cost == unknown
        saved = store.get_run(script.id)
        assert saved is not None
        assert saved.cost_usd is None

    def test_money_adds_up_exactly(self, store: Store) -> None:
        for _ in range(30):
            store.save_run(finished(at=NOON, cost_usd=Decimal("0.000000123")), wait=False)
        store.flush()
        assert store.totals(*_DAY).cost_usd == Decimal("0.00000369")

    def test_latency_quantiles(self, store: Store) -> None:
        for number in range(1, 101):
            run = finished(at=NOON, started_at=NOON - timedelta(milliseconds=10 * number))
            store.save_run(run, wait=False)
        store.save_run(_hit(at=NOON, started_at=NOON - timedelta(milliseconds=1), model="acme/large"))
        misses = store.latency_frame(*_DAY, cached=False)
        assert list(misses.columns) == ["time", "runs", "p50", "p95", "p99"]
        assert list(misses["runs"]) == [100]
        assert misses["p50"][0] == pytest.approx(0.50, rel=0.021)
        assert misses["p95"][0] == pytest.approx(0.95, rel=0.021)
        assert misses["p99"][0] == pytest.approx(0.99, rel=0.021)
        hits = store.latency_frame(*_DAY, by="day", quantiles=(0.0, 1.0), cached=True)
        assert list(hits.columns) == ["time", "runs", "p0", "p100"]
        assert hits["p100"][0] == pytest.approx(0.001, rel=0.011)
        by_model = store.latency_frame(*_DAY, group="model").set_index("model")
        assert dict(by_model["runs"]) == {"acme/large": 1, "local/small": 100}
        assert list(store.latency_frame(*_DAY)["runs"]) == [101]

    def test_no_period_is_left_out_however_many_there_are(self, store: Store) -> None:
        first = 500_000
        rows = [
            {"hour": first + 24 * day, "type": "t", "provider": "", "model": "m", "cached": 0, "bucket": b, "runs": 1}
            for day in range(365)
            for b in range(300)
        ]
        with store._database.engine.begin() as connection:
            connection.execute(rollup_latency.insert(), rows)
        since = datetime.fromtimestamp(first * 3600, UTC)
        found = store.latency_frame(since, since + timedelta(days=365), by="day", quantiles=(0.5,))
        assert len(found) == 365
        assert set(found["runs"]) == {300}
        assert found["p50"].nunique() == 1

    def test_errors_by_kind(self, store: Store, history: list[Run]) -> None:
        found = store.error_frame(_DAY[0], NOON + timedelta(days=2), by="day")
        assert list(found["error_type"]) == ["APIError", "interrupted"]
        assert list(found["errors"]) == [1, 1]

    def test_the_cache_over_time(self, store: Store, history: list[Run]) -> None:
        found = store.cache_frame(_DAY[0], NOON + timedelta(days=2))
        assert list(found["hits"]) == [2, 0, 0]
        assert list(found["stale"]) == [0, 0, 1]
        assert found["hit_ratio"][0] == pytest.approx(2 / 3)
        assert pd.isna(found["hit_ratio"][1])
        assert list(found["saved_usd"]) == [0.5, 0.0, 0.0]
        by_model = store.cache_frame(*_DAY, group="model")
        assert set(by_model["model"]) == {"local/small", "acme/large", ""}

    def test_frames_without_runs_are_typed(self, store: Store) -> None:
        for found in (
            store.rollup_frame(*_DAY, group="task"),
            store.cache_frame(*_DAY),
            store.error_frame(*_DAY),
            store.latency_frame(*_DAY, group="type"),
        ):
            assert found.empty
            assert str(found["time"].dtype) == "datetime64[us, UTC]"

    def test_usage_beyond_32_bits_adds_up(self, store: Store) -> None:
        for _ in range(3):
            store.save_run(finished(at=NOON, usage=Usage(input_tokens=2**40)))
        assert store.totals(*_DAY).input_tokens == 3 * 2**40

    @pytest.mark.parametrize(
        "wanted",
        [
            RunFilter(),
            RunFilter(types=("a",)),
            RunFilter(models=("a",)),
            RunFilter(actors=("a",)),
            RunFilter(names=("a",)),
            RunFilter(outcomes=("hit",)),
            RunFilter(parent_id="a"),
            RunFilter(statuses=(RunStatus.FAILED,), since=NOON, until=NOON + timedelta(days=1)),
            RunFilter(statuses=(RunStatus.FAILED, RunStatus.RUNNING, RunStatus.QUEUED)),
            RunFilter(models=("a", "b"), types=("c", "d")),
        ],
        ids=lambda wanted: " ".join(name for name in wanted.__slots__ if getattr(wanted, name)) or "all",
    )
    def test_a_page_is_read_in_order_from_an_index(self, store: Store, wanted: RunFilter) -> None:
        """Nothing as long as the history is sorted or scanned, so that a million runs page as fast as a hundred."""
        plan = self.plan_of_page(store, wanted)
        assert "ix_runs_" in plan
        assert not self.sorts_everything(plan), plan

    def plan_of_page(self, store: Store, wanted: RunFilter) -> str:
        """How the database would read the second page."""
        raise NotImplementedError

    def sorts_everything(self, plan: str) -> bool:
        """Whether it would sort or scan all runs."""
        raise NotImplementedError


class _Recorder:
    """Compiles the statement a page is read with, as the database is sent it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._engine = store._database.engine

    def statement(self, wanted: RunFilter) -> str:
        sent = self._store._queries.statement(select(runs_table), wanted, 50, "1.a")
        return str(sent.compile(self._engine, compile_kwargs={"literal_binds": True}))

    def explain(self, prefix: str, wanted: RunFilter) -> list[Any]:
        with self._engine.connect() as connection:
            if self._engine.dialect.name == "postgresql":
                # An empty table would be scanned whole; the question is what an index can do.
                connection.execute(text("SET enable_seqscan = off"))
                connection.execute(text("SET enable_bitmapscan = off"))
            return list(connection.exec_driver_sql(f"{prefix} {self.statement(wanted)}"))


class TestOnSQLite(OnSQLite, ReadingContract):
    def plan_of_page(self, store: Store, wanted: RunFilter) -> str:
        return "\n".join(row[3] for row in _Recorder(store).explain("EXPLAIN QUERY PLAN", wanted))

    def sorts_everything(self, plan: str) -> bool:
        return any("SCAN runs" in line and "USING" not in line for line in plan.splitlines()) or (
            # The merge of several short pages sorts those, and no more.
            "TEMP B-TREE" in plan and "MATERIALIZE" not in plan and "CO-ROUTINE" not in plan
        )


class TestOnPostgreSQL(OnPostgreSQL, ReadingContract):
    def plan_of_page(self, store: Store, wanted: RunFilter) -> str:
        return "\n".join(row[0] for row in _Recorder(store).explain("EXPLAIN", wanted))

    def sorts_everything(self, plan: str) -> bool:
        return "Seq Scan on runs" in plan or ("Sort" in plan and "Append" not in plan)
