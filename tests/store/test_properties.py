"""What holds of the history for any runs: they come back, are found, and are counted once."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_core.models import Run, RunStatus, utcnow
from mcp_core.store import RunFilter, Store, open_store
from mcp_core.store.rollups import ERRORS, bucket_of, bucket_seconds
from tests.store.backends import fresh_database
from tests.store.samples import NOON, finished, running
from tests.store.strategies import runs

pytestmark = pytest.mark.integration

_any_database = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
_OUTCOMES = ("hit", "miss", "stale", "bypass")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    databases = iter([""]) if request.param == "sqlite" else fresh_database()
    for url in databases:
        with open_store(url, data_dir=tmp_path) as opened:
            yield opened


@_any_database
@given(run=runs)
def test_a_run_comes_back_as_it_went_in(store: Store, run: Run) -> None:
    assert store.create_run(run) is True
    assert store.get_run(run.id) == run
    assert store.find_run(run.id[:25]) == run


# What may happen to three runs: somebody saves one in some state, now or later, or the lapsed are swept.
_steps = st.lists(
    st.tuples(
        st.sampled_from(["create", "save", "defer", "sweep"]),
        st.integers(0, 2),
        st.sampled_from(RunStatus),
        st.sampled_from(["me", "you", None]),
        st.sampled_from(_OUTCOMES),
        st.none() | st.decimals(0, 5, places=4),
    ),
    max_size=25,
)


@_any_database
@given(steps=_steps)
def test_rollups_count_what_the_history_holds(
    store: Store, steps: Sequence[tuple[str, int, RunStatus, str | None, str, Decimal | None]]
) -> None:
    drafted = [running(owner=None, created_at=NOON) for _ in range(3)]
    since, until = NOON - timedelta(hours=1), utcnow() + timedelta(hours=1)
    before = store.totals(since, until)
    for action, which, status, owner, outcome, cost in steps:
        run = finished(
            id=drafted[which].id,
            at=NOON + timedelta(minutes=which),
            status=status,
            owner=owner,
            cache={"outcome": outcome},
            cost_usd=cost,
        )
        if action == "create":
            store.create_run(run)
        elif action == "sweep":
            store.interrupt_lapsed(older_than_seconds=-1)
        else:
            store.save_run(run, wait=action == "save")
    store.flush()
    found = [run for run in (store.get_run(run.id) for run in drafted) if run is not None and run.status.is_final]
    after = store.totals(since, until)
    assert after.runs - before.runs == len(found)
    assert after.errors - before.errors == sum(run.status in ERRORS for run in found)
    assert after.unknown_cost - before.unknown_cost == sum(run.cost_usd is None for run in found)
    assert after.cost_usd - before.cost_usd == sum(run.cost_usd or 0 for run in found)
    outcomes = Counter[str](run.cache.outcome for run in found)
    counted = {"hit": "hits", "miss": "misses", "stale": "stale", "bypass": "bypass"}
    for outcome, name in counted.items():
        assert getattr(after, name) - getattr(before, name) == outcomes[outcome]
    # What is still open would be swept, and counted, in the next example.
    for run in store.iter_runs(RunFilter(statuses=(RunStatus.QUEUED, RunStatus.RUNNING))):
        assert store.save_run(run.model_copy(update={"status": RunStatus.CANCELLED})) is True
    assert store.delete_runs([run.id for run in drafted]) <= 3


_few = st.lists(st.sampled_from("abc"), max_size=3).map(tuple)
_filters = st.builds(
    RunFilter,
    types=_few,
    statuses=st.lists(st.sampled_from(RunStatus), max_size=3).map(tuple),
    models=_few.map(lambda names: tuple(f"local/{name}" for name in names)),
    actors=_few,
    names=_few,
    tags=st.lists(st.sampled_from(["a", ",", 'b"', "ä"]), max_size=2).map(tuple),
    text=st.sampled_from(["", "A", "straße", "STRASSE", "%", "deep", "boom"]),
    outcomes=st.lists(st.sampled_from(_OUTCOMES), max_size=3).map(tuple),
    since=st.none() | st.integers(0, 40).map(lambda minutes: NOON + timedelta(minutes=minutes)),
    until=st.none() | st.integers(0, 40).map(lambda minutes: NOON + timedelta(minutes=minutes)),
)


def _forty() -> list[Run]:
    return [
        finished(
            at=NOON + timedelta(minutes=number // 2, seconds=3),
            type="abc"[number % 3],
            name="abc"[number % 2],
            actor_id="abc"[number % 3 - 1],
            model=None if number % 5 == 0 else f"local/{'abc'[number % 2]}",
            status=list(RunStatus)[number % 7],
            tags=(("a",), ("a,", "b"), (",", 'b"'), ("ä", "a"))[number % 4],
            variables={"place": "Straße" if number % 4 == 0 else "100 %"},
            output={"text": "Deep thought" if number % 6 == 0 else "", "data": number},
            error={"type": "APIError", "message": "Boom"} if number % 7 == 3 else None,
            cache={"outcome": _OUTCOMES[number % 4]},
        )
        for number in range(40)
    ]


def _meant(run: Run, wanted: RunFilter) -> bool:
    error = f"{run.error.type} {run.error.message}" if run.error else ""
    words = " ".join([run.name, *map(str, run.variables.values()), run.output.text, error]).casefold()
    return (
        (not wanted.types or run.type in wanted.types)
        and (not wanted.statuses or run.status in wanted.statuses)
        and (not wanted.models or run.model in wanted.models)
        and (not wanted.actors or run.actor_id in wanted.actors)
        and (not wanted.names or run.name in wanted.names)
        and all(tag in run.tags for tag in wanted.tags)
        and wanted.text.casefold() in words
        and (not wanted.outcomes or run.cache.outcome in wanted.outcomes)
        and (wanted.since is None or run.created_at >= wanted.since)
        and (wanted.until is None or run.created_at < wanted.until)
    )


def test_filters_and_pages_find_exactly_what_is_meant(store: Store) -> None:
    everything = _forty()
    for run in everything:
        store.create_run(run)
    everything.sort(key=lambda run: (run.created_at, run.id), reverse=True)

    @_any_database
    @given(wanted=_filters, size=st.integers(1, 15))
    def check(wanted: RunFilter, size: int) -> None:
        expected = [run for run in everything if _meant(run, wanted)]
        page, cursor = store.list_runs(wanted, size)
        found = list(page)
        while cursor is not None:
            assert len(page) == size
            page, cursor = store.list_runs(wanted, size, cursor)
            found += page
        assert found == expected
        assert store.count(wanted) == len(expected)
        assert list(store.runs_frame(wanted)["id"]) == [run.id for run in expected]
        assert list(store.iter_runs(wanted)) == expected

    check()


@given(seconds=st.floats(1e-6, 1e7))
def test_a_bucket_is_two_percent_wide(seconds: float) -> None:
    assert bucket_seconds(bucket_of(seconds)) == pytest.approx(seconds, rel=0.0101)
