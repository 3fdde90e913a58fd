"""What every history keeps to about money: no cap is passed and nothing held is lost, whoever reserves meanwhile."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mcp_core.errors import ConfigurationError
from mcp_core.models import RunStatus
from mcp_core.store import Store, budget_money, open_store
from mcp_core.store import budgets as budgets_module
from mcp_core.store.budget_shapes import Budget, Settlement, Shortfall, period_of, to_nano, to_usd
from tests.store.backends import OnPostgreSQL, OnSQLite
from tests.store.samples import NOON, finished, running

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
CENT = 10_000_000

RESERVE = """
import json, sys
from pathlib import Path
from datetime import datetime
from mcp_core.store import budget_money, open_store
budget_money.utcnow = lambda: datetime.fromisoformat(sys.argv[4])
with open_store(sys.argv[1], data_dir=Path(sys.argv[2])) as store:
    rules = store.budgets.rules()
    print("ready", flush=True)
    sys.stdin.readline()
    held = [f"{sys.argv[3]}-{n}" for n in range(25)]
    held = [run for run in held if store.budgets.reserve(run, "them", rules, 70_000_000) is None]
    print(json.dumps(held), flush=True)
"""


def only(store: Store) -> Budget:
    (budget,) = store.budgets.states()
    return budget


def spent_and_reserved(store: Store) -> list[str]:
    """In dollars, of the one budget there is."""
    return [str(only(store).spent_usd), str(only(store).reserved_usd)]


@pytest.fixture(autouse=True)
def _noon(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, NOON)


def clock(monkeypatch: pytest.MonkeyPatch, at: datetime) -> None:
    for module in (budget_money, budgets_module):
        monkeypatch.setattr(module, "utcnow", lambda: at)


class BudgetContract:
    def test_budgets_are_set_changed_listed_and_deleted(self, store: Store) -> None:
        assert store.budgets.states() == []
        assert store.budgets.rules() == ()
        store.budgets.set("team", "red", "month", Decimal("12.5"))
        store.budgets.set("actor", "ann", "day", Decimal(1))
        store.budgets.set("team", "red", "month", Decimal(100))
        ann, red = store.budgets.states()
        assert ann.as_json() == {
            "scope": "actor",
            "name": "ann",
            "period": "day",
            "limit_usd": "1",
            "spent_usd": "0",
            "reserved_usd": "0",
            "left_usd": "1",
            "unpriced_runs": 0,
            "starts_at": "2026-03-01T00:00:00+00:00",
            "resets_at": "2026-03-02T00:00:00+00:00",
        }
        assert str(red.limit_usd) == "100"
        assert store.budgets.delete("team", "red", "day") is False
        assert store.budgets.delete("team", "red", "month") is True
        assert [rule.name for rule in store.budgets.rules()] == ["ann"]

    @pytest.mark.parametrize("limit", [Decimal("-0.01"), Decimal(2_000_000_000)])
    def test_a_limit_out_of_bounds_is_refused(self, store: Store, limit: Decimal) -> None:
        with pytest.raises(ConfigurationError, match="limit_usd"):
            store.budgets.set("actor", "ann", "day", limit)

    def test_a_new_budget_counts_what_the_period_has_cost_already(self, store: Store) -> None:
        for cost in ("0.1", "0.1", "0.000000001", None):
            store.save_run(finished(actor_id="ann", cost_usd=None if cost is None else Decimal(cost), at=NOON))
        store.save_run(finished(actor_id="bob", cost_usd=Decimal(5), at=NOON))
        store.save_run(finished(actor_id="ann", cost_usd=Decimal(7), at=NOON - timedelta(days=2)))
        store.save_run(running(actor_id="ann", created_at=NOON))
        store.budgets.set("actor", "ann", "month", Decimal(1))
        assert spent_and_reserved(store) == ["0.200000001", "0"]
        store.budgets.set("actor", "ann", "month", Decimal(2))
        assert spent_and_reserved(store) == ["0.200000001", "0"], "and once"

    def test_what_is_reserved_is_settled_with_the_run(self, store: Store) -> None:
        store.budgets.set("task", "summarise", "day", Decimal(1))
        rules = store.budgets.rules()
        run = running()
        assert store.budgets.reserve(run.id, "me", rules, 40 * CENT) is None
        assert store.budgets.reserve(run.id, "me", rules, 30 * CENT) is None, "it holds enough"
        assert spent_and_reserved(store) == ["0", "0.4"]
        assert only(store).left_usd == Decimal("0.6")
        assert store.budgets.reserve(run.id, "me", rules, 50 * CENT) is None
        assert only(store).reserved_usd == Decimal("0.5")
        store.save_run(run)
        done = finished(id=run.id, created_at=run.created_at)
        settlement = Settlement(rules, to_nano(Decimal("0.25")))
        assert store.save_run(done, settlement=settlement) is True
        assert store.save_run(done, settlement=settlement) is False, "and no second time"
        assert spent_and_reserved(store) == ["0.25", "0"]

    def test_what_held_nothing_counts_all_the_same(self, store: Store) -> None:
        store.budgets.set("task", "summarise", "day", Decimal(1))
        rules = store.budgets.rules()
        store.save_run(finished(at=NOON), settlement=Settlement(rules, 2 * CENT))
        store.save_run(finished(at=NOON), settlement=Settlement(rules, 0, unpriced=True))
        store.save_run(finished(at=NOON), settlement=Settlement(rules, 0))
        store.save_run(finished(at=NOON - timedelta(days=1)), settlement=Settlement(rules, 90 * CENT))
        assert spent_and_reserved(store) == ["0.02", "0"]
        assert only(store).unpriced_runs == 1

    def test_the_tightest_of_several_budgets_refuses_and_none_of_them_holds_anything(self, store: Store) -> None:
        store.budgets.set("actor", "ann", "day", Decimal(10))
        store.budgets.set("actor", "ann", "month", Decimal(1))
        store.budgets.set("team", "red", "month", Decimal(10))
        rules = store.budgets.rules()
        short = store.budgets.reserve("r1", "me", rules, 101 * CENT)
        assert isinstance(short, Shortfall)
        assert short.budget.period == "month"
        assert (short.budget.left_usd, short.wanted_usd) == (Decimal(1), Decimal("1.01"))
        assert [budget.reserved_usd for budget in store.budgets.states()] == [0, 0, 0]
        assert store.budgets.reserve("r1", "me", rules, 100 * CENT) is None
        assert [budget.reserved_usd for budget in store.budgets.states()] == [1, 1, 1]

    def test_a_limit_that_was_lowered_binds_at_once(self, store: Store) -> None:
        store.budgets.set("actor", "ann", "day", Decimal(10))
        rules = store.budgets.rules()
        assert store.budgets.reserve("r1", "me", rules, 500 * CENT) is None
        store.budgets.set("actor", "ann", "day", Decimal(1))
        assert only(store).left_usd == 0
        assert store.budgets.reserve("r2", "me", rules, 1) is not None

    def test_a_deleted_budget_binds_nobody(self, store: Store) -> None:
        store.budgets.set("actor", "ann", "day", Decimal(1))
        rules = store.budgets.rules()
        assert store.budgets.reserve("r1", "me", rules, CENT) is None
        store.budgets.delete("actor", "ann", "day")
        assert store.budgets.reserve("r2", "me", rules, 900 * CENT) is None
        assert store.save_run(finished(id="r1", owner=None), settlement=Settlement(rules, CENT)) is True

    def test_a_run_is_counted_in_the_period_it_was_reserved_in(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        night = datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)
        clock(monkeypatch, night)
        store.budgets.set("actor", "ann", "day", Decimal(1))
        rules = store.budgets.rules()
        assert store.budgets.reserve("r1", "me", rules, 90 * CENT) is None
        clock(monkeypatch, night + timedelta(minutes=1))
        assert spent_and_reserved(store) == ["0", "0"]
        assert store.budgets.reserve("r2", "me", rules, 100 * CENT) is None, "a new day has a new dollar"
        assert store.budgets.reserve("r1", "me", rules, 95 * CENT) is None, "and the old one is held where it was"
        store.save_run(finished(id="r1", at=night, owner=None), settlement=Settlement(rules, 80 * CENT))
        assert spent_and_reserved(store) == ["0", "1"]
        clock(monkeypatch, night)
        assert spent_and_reserved(store) == ["0.8", "0"]

    def test_fifty_at_once_never_pass_the_cap(self, store: Store, url: str, tmp_path: Path) -> None:
        store.budgets.set("actor", "ann", "day", Decimal(1))
        store.budgets.set("team", "red", "month", Decimal(1))
        rules = store.budgets.rules()
        start = threading.Barrier(50)
        with open_store(url, data_dir=tmp_path) as other, ThreadPoolExecutor(50) as pool:

            def reserve(number: int) -> bool:
                start.wait(60)
                backend = (store, other)[number % 2]
                ordered = rules if number % 3 else rules[::-1]
                return backend.budgets.reserve(f"r{number}", "me", ordered, 7 * CENT) is None

            held = sum(pool.map(reserve, range(50)))
        assert held == 14
        assert [budget.reserved_usd for budget in store.budgets.states()] == [Decimal("0.98")] * 2

    def test_two_processes_never_pass_the_cap(self, store: Store, url: str, tmp_path: Path) -> None:
        store.budgets.set("actor", "ann", "day", Decimal(1))
        children = [
            subprocess.Popen(
                [sys.executable, "-c", RESERVE, url, str(tmp_path), name, NOON.isoformat()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            for name in ("a", "b")
        ]
        try:
            for child in children:
                assert child.stdout is not None
                assert child.stdout.readline() == "ready\n"
            answers = []
            for child in children:
                assert child.stdin is not None
                child.stdin.write("go\n")
                child.stdin.flush()
            answers = [json.loads(child.communicate(timeout=120)[0]) for child in children]
        finally:
            for child in children:
                child.kill()
                child.communicate()
        assert sum(len(held) for held in answers) == 14
        assert only(store).reserved_usd == Decimal("0.98")
        store.budgets.release([run for held in answers for run in held])
        assert only(store).reserved_usd == 0

    def test_what_the_dead_held_is_given_back(self, store: Store) -> None:
        store.budgets.set("task", "summarise", "day", Decimal(1))
        rules = store.budgets.rules()
        store.heartbeat("alive")
        ran, queued = running(owner="dead"), running(owner="dead", status=RunStatus.QUEUED)
        for run in (ran, queued):
            store.create_run(run)
        owners = {ran.id: "dead", queued.id: "dead", "never-stored": "dead", "about-to-be": "alive"}
        for run_id, owner in owners.items():
            assert store.budgets.reserve(run_id, owner, rules, 10 * CENT) is None
        assert only(store).reserved_usd == Decimal("0.4")
        assert store.budgets.release_orphans(60) == ["never-stored"]
        assert [run.id for run in store.interrupt_lapsed(60)] == [ran.id]
        assert only(store).reserved_usd == Decimal("0.2")
        assert [run.id for run in store.adopt_queued("alive", older_than_seconds=60)] == [queued.id]
        assert store.budgets.release_orphans(60) == []
        store.save_run(finished(id=queued.id, owner="alive"), settlement=Settlement(rules, CENT))
        assert only(store).reserved_usd == Decimal("0.1")


class TestOnSQLite(OnSQLite, BudgetContract):
    pass


class TestOnPostgreSQL(OnPostgreSQL, BudgetContract):
    pass


@pytest.mark.parametrize(
    ("period", "at", "expected"),
    [
        ("day", "2026-03-01T00:00:00+00:00", ("2026-03-01", "2026-03-02")),
        ("day", "2026-03-01T01:30:00+02:00", ("2026-02-28", "2026-03-01")),
        ("month", "2026-12-31T23:59:59+00:00", ("2026-12-01", "2027-01-01")),
        ("month", "2028-02-29T12:00:00+00:00", ("2028-02-01", "2028-03-01")),
    ],
)
def test_periods_are_those_of_utc(period: Any, at: str, expected: tuple[str, str]) -> None:
    begins, ends = period_of(period, datetime.fromisoformat(at))
    assert (begins.date().isoformat(), ends.date().isoformat()) == expected
    assert begins.tzinfo is UTC


def test_nano_dollars_are_exact_and_read_well() -> None:
    assert [str(to_usd(nano)) for nano in (0, 1, CENT, 100 * CENT, 10_000 * CENT)] == ["0", "1E-9", "0.01", "1", "100"]
    assert to_nano(Decimal("0.0000000001"), up=True) == 1
    assert to_nano(Decimal("0.0000000001")) == 0
