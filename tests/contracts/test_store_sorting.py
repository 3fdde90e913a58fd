"""What every history answers when it is asked for an order: all runs sorted, page by page, whatever comes meanwhile."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from mcp_core.errors import ConfigurationError
from mcp_core.models import Attempt, CacheOutcome, Run, RunError, RunStatus, Usage
from mcp_core.store import SORTS, RunFilter, RunSort, Store
from tests.store.backends import OnPostgreSQL, OnSQLite
from tests.store.samples import NOON, finished, running

pytestmark = pytest.mark.integration

BOTH_WAYS = [RunSort(name, down) for name in SORTS for down in (True, False)]

MADE_UP_PLACES: list[Any] = [
    ["cost"],
    ["cost", "1.5", "a"],
    ["cost", True, "a"],
    ["cost", float("nan"), "a"],
    ["cost", float("inf"), "a"],
    ["cost", 1.5, None],
    ["cost", 2**63, "a"],
    ["cost", 10**400, "a"],
    ["cost", [], "a"],
    {"cost": 1},
    ["tokens_out", 1.5, "a"],
    ["tokens_out", 2**63, "a"],
    ["tokens_out", None, "a"],
    ["task", 3, "a"],
    "cost",
    5,
]

VALUES: dict[str, Callable[[Run], Any]] = {
    "created": lambda run: run.created_at,
    "finished": lambda run: run.finished_at,
    "duration": lambda run: run.duration_seconds,
    "waited": lambda run: run.queued_seconds if run.started_at else None,
    "cost": lambda run: run.cost_usd,
    "saved": lambda run: run.cache.saved_usd,
    "time_saved": lambda run: run.cache.saved_seconds,
    "tokens_in": lambda run: run.usage.input_tokens,
    "tokens_out": lambda run: run.usage.output_tokens,
    "attempts": lambda run: len(run.attempts),
    "task": lambda run: run.name,
    "status": lambda run: run.status.value,
    "model": lambda run: run.model,
    "cache": lambda run: run.cache.outcome,
    "type": lambda run: run.type,
    "error": lambda run: run.error.type if run.error else None,
    "actor": lambda run: run.actor_id,
}


def in_order(found: list[Run], sort: RunSort) -> list[str]:
    """Ids of the runs as they should come."""
    value = VALUES[sort.by]
    known = [run for run in found if value(run) is not None]
    unknown = [run for run in found if value(run) is None]
    known.sort(key=lambda run: (value(run), run.id), reverse=sort.descending)
    unknown.sort(key=lambda run: run.id, reverse=sort.descending)
    return [run.id for run in (*known, *unknown)]


class SortingContract:
    @pytest.fixture
    def written(self, store: Store) -> list[Run]:
        """Runs with equal, very different and missing values."""
        found = []
        for number in range(11):
            at = NOON + timedelta(minutes=number * 7 % 11)
            attempt = Attempt(number=1, provider="acme", model="large", started_at=at, duration_seconds=1.0)
            found.append(
                finished(
                    at=at,
                    started_at=at - timedelta(seconds=(2, 2, 0.125, 1 / 3)[number % 4]),
                    name=("beta", "Alpha", "äpfel", "", 'it\'s "quoted"\n%_')[number % 5],
                    model=("acme/large", None, "local/small")[number % 3],
                    actor_id=("ann", "Bob")[number % 2],
                    usage=Usage(input_tokens=number % 3, output_tokens=2**40 if number == 4 else number),
                    cost_usd=(Decimal("0.1"), None, Decimal("9E-7"), Decimal(0), Decimal("12.5"))[number % 5],
                    cache=CacheOutcome(
                        outcome=("hit", "miss", "stale", "bypass")[number % 4],
                        saved_usd=Decimal("0.3") if number % 4 == 0 else None,
                        saved_seconds=number / 3 if number % 4 == 0 else None,
                    ),
                    attempts=(attempt,) * (number % 2),
                    status=RunStatus.FAILED if number % 5 == 2 else RunStatus.SUCCEEDED,
                    error=RunError(type="APIError", message="Down.") if number % 5 == 2 else None,
                )
            )
        found.append(running(created_at=NOON, started_at=None, status=RunStatus.QUEUED, owner=None))
        found.append(running(created_at=NOON, started_at=NOON))
        for run in found:
            assert store.create_run(run)
        return found

    def test_all_runs_are_sorted_whatever_the_page(
        self, store: Store, written: list[Run], subtests: pytest.Subtests
    ) -> None:
        for sort in BOTH_WAYS:
            with subtests.test(sort=str(sort)):
                self.check_pages(store, sort, in_order(written, sort))

    def check_pages(self, store: Store, sort: RunSort, expected: list[str]) -> None:
        assert [run.id for run in store.list_runs(sort=sort)[0]] == expected
        for size in (1, 4):
            listed: list[str] = []
            framed: list[str] = []
            cursor = None
            while True:
                page, following = store.list_runs(limit=size, cursor=cursor, sort=sort)
                frame, same = store.runs_page(limit=size, cursor=cursor, sort=sort)
                assert following == same
                listed += [run.id for run in page]
                framed += [str(run_id) for run_id in frame["id"]]
                if (cursor := following) is None:
                    break
            assert listed == expected
            assert framed == expected

    @pytest.mark.parametrize("sort", [RunSort("cost"), RunSort("cost", False), RunSort("task")], ids=str)
    def test_a_page_goes_on_where_the_last_ended_while_runs_come_and_go(
        self, store: Store, written: list[Run], sort: RunSort
    ) -> None:
        expected = in_order(written, sort)
        page, cursor = store.list_runs(limit=5, sort=sort)
        store.delete_runs([expected[0], expected[4]])
        first = next(run for run in written if run.id == expected[1])
        # As the second in the order, but with a later id: it belongs on the page that was read.
        store.create_run(first.model_copy(update={"id": first.id + "x"}))
        rest, end = store.list_runs(limit=100, cursor=cursor, sort=sort)
        assert [run.id for run in page] + [run.id for run in rest] == expected
        assert end is None

    @pytest.mark.parametrize("sort", [RunSort("duration"), RunSort("created", False)], ids=str)
    def test_filters_hold_in_any_order(self, store: Store, written: list[Run], sort: RunSort) -> None:
        wanted = RunFilter(statuses=(RunStatus.FAILED, RunStatus.RUNNING), types=("llm_prompt",))
        meant = [run for run in written if run.status in wanted.statuses]
        assert [run.id for run in store.list_runs(wanted, sort=sort)[0]] == in_order(meant, sort)
        assert store.list_runs(RunFilter(names=("none such",)), sort=sort) == ([], None)

    def test_what_is_written_comes_back_whole(self, store: Store, written: list[Run]) -> None:
        found = store.list_runs(sort=RunSort("cost"))[0]
        assert {run.id: run for run in found} == {run.id: run for run in written}

    def test_a_place_in_another_order_is_refused(self, store: Store, written: list[Run]) -> None:
        _, by_cost = store.list_runs(limit=2, sort=RunSort("cost"))
        _, newest = store.list_runs(limit=2)
        for sort, cursor in ((RunSort("duration"), by_cost), (RunSort(), by_cost), (RunSort("cost", False), by_cost)):
            with pytest.raises(ConfigurationError, match="not a place in a list of runs in this order"):
                store.list_runs(cursor=cursor, sort=sort)
        with pytest.raises(ConfigurationError, match="not a place"):
            store.list_runs(cursor=newest, sort=RunSort("cost"))

    def test_a_made_up_place_is_refused(self, store: Store, subtests: pytest.Subtests) -> None:
        for place in MADE_UP_PLACES:
            sort = RunSort.parse(place[0]) if isinstance(place, list) else RunSort("cost")
            cursor = base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")
            with subtests.test(place=json.dumps(place)[:40]), pytest.raises(ConfigurationError, match="not a place"):
                store.list_runs(cursor=cursor, sort=sort)

    def test_what_is_no_place_at_all_is_refused(self, store: Store, subtests: pytest.Subtests) -> None:
        for cursor in ("", "x", "[]", "é", "W" * 5, "12.a", "[" * 5000):
            with subtests.test(cursor=cursor[:40]), pytest.raises(ConfigurationError, match="not a place"):
                store.list_runs(cursor=cursor, sort=RunSort("cost"))

    def test_a_place_may_hold_what_no_database_keeps(self, store: Store, written: list[Run]) -> None:
        place = json.dumps(["task", "a\0\ud800", "b\0"])
        cursor = base64.urlsafe_b64encode(place.encode()).decode()
        assert store.list_runs(cursor=cursor, sort=RunSort.parse("task"))[0]


class TestOnSQLite(OnSQLite, SortingContract):
    pass


class TestOnPostgreSQL(OnPostgreSQL, SortingContract):
    pass
