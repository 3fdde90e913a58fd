"""What a SQLite file's journal promises: the same answers as the tables, at once, to everybody."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from mcp_core.models import CacheOutcome, RunStatus, Usage, new_id, utcnow
from mcp_core.store import Store, open_store
from mcp_core.store.journal import Journal
from tests.store.samples import events_of, finished, running

pytestmark = pytest.mark.integration


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store("", data_dir=tmp_path) as store:
        yield store


def lines(directory: Path) -> int:
    """Lines in the journal of the history in `directory`."""
    with closing(sqlite3.connect(directory / "history.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM journal").fetchone()[0])


def test_a_record_is_one_line_until_somebody_reads(store: Store, tmp_path: Path) -> None:
    run = finished()
    assert store.save_run(run, events=events_of(run, "queued", "finished"))
    assert lines(tmp_path) == 1
    assert store.get_run(run.id) == run
    assert [event.kind for event in store.events(run.id)] == ["queued", "finished"]
    assert lines(tmp_path) == 0
    assert store.totals(utcnow() - timedelta(days=1), utcnow() + timedelta(days=1)).runs == 1


def test_another_process_reads_what_is_still_in_the_journal(store: Store, tmp_path: Path) -> None:
    run = finished()
    store.save_run(run)
    with open_store("", data_dir=tmp_path) as other:
        assert other.get_run(run.id) == run
        assert other.count() == 1
    store.flush()
    assert store.count() == 1


def test_readers_leave_the_writer_a_connection(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save_run(finished())
    readers = 16  # as many as there are connections
    together = threading.Barrier(readers)
    has_lines = Journal.has_lines

    def at_once(journal: Journal, reader: Connection) -> bool:
        found = has_lines(journal, reader)
        with suppress(threading.BrokenBarrierError):
            together.wait(2)
        return found

    with open_store("", data_dir=tmp_path) as other, ThreadPoolExecutor(readers) as pool:
        monkeypatch.setattr(Journal, "has_lines", at_once)
        assert [found.result(25) for found in [pool.submit(other.count) for _ in range(readers)]] == [1] * readers


def test_flushing_empties_it(store: Store, tmp_path: Path) -> None:
    for _ in range(250):
        store.save_run(finished())
    assert lines(tmp_path) == 250
    store.flush()
    assert lines(tmp_path) == 0
    assert store.count() == 250


def test_what_belongs_to_a_run_finds_it(store: Store) -> None:
    run = running()
    store.save_run(run)
    store.add_events(run.id, events_of(run, "started"))
    other = running()
    store.save_run(other)
    store.put_artifact(other.id, "a.txt", "text/plain", b"x")
    third = finished()
    store.save_run(third)
    child = finished(parent_id=third.id)
    assert store.save_run(child)
    assert store.get_run(child.id) == child
    assert store.get_artifact(other.id, "a.txt") == b"x"


def test_a_record_without_its_like_in_utf8_is_stored_at_once(store: Store, tmp_path: Path) -> None:
    run = finished(config={"text": "half a \ud83d pair"})
    assert store.save_run(run)
    assert store.get_run(run.id) == run
    assert lines(tmp_path) == 0


@pytest.mark.parametrize(
    "figures",
    [
        {"cost_usd": Decimal(10**11)},
        {"cache": CacheOutcome(outcome="hit", saved_usd=Decimal(10**11))},
        {"usage": Usage(input_tokens=2**62, output_tokens=2**62)},
    ],
    ids=["cost", "saved", "tokens"],
)
def test_figures_that_are_too_large_keep_nobody_else_from_the_history(
    store: Store, tmp_path: Path, figures: dict[str, object]
) -> None:
    odd = [finished(**figures) for _ in range(2)]
    for run in odd:
        assert store.save_run(run)
    assert lines(tmp_path) == 0
    assert [store.get_run(run.id) for run in odd] == odd
    run = finished()
    assert store.save_run(run)
    store.heartbeat("alive")
    assert store.get_run(run.id) == run


def test_a_dead_process_is_seen_through_its_journal(store: Store, tmp_path: Path) -> None:
    run = running(owner="dead")
    store.save_run(run)
    queued = running(owner="dead", status=RunStatus.QUEUED, started_at=None)
    store.save_run(queued)
    with open_store("", data_dir=tmp_path) as other:
        assert [ended.id for ended in other.interrupt_lapsed(older_than_seconds=1)] == [run.id]
        assert [adopted.id for adopted in other.adopt_queued("heir", older_than_seconds=1)] == [queued.id]
    assert store.save_run(finished(id=run.id, owner="dead")) is False
    assert store.save_run(finished(id=queued.id, owner="dead")) is False


Record: TypeAlias = tuple[int, RunStatus, str | None, str, bool]

RECORDS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(list(RunStatus)),
        st.sampled_from([None, "me", "you"]),
        st.sampled_from(["a", "b"]),
        st.booleans(),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Store]]:
    """Two histories: in the second nothing is left in the journal."""
    hasty, steady = (tmp_path_factory.mktemp(name) for name in ("hasty", "steady"))
    with open_store("", data_dir=hasty) as first, open_store("", data_dir=steady) as second:
        yield first, second


@given(RECORDS)
def test_it_judges_as_the_tables_do(both: tuple[Store, Store], records: list[Record]) -> None:
    hasty, steady = both
    at = utcnow()
    ids = [new_id() for _ in range(3)]
    for step, (number, status, owner, name, with_event) in enumerate(records, 1):
        make = finished if status.is_final else running
        run = make(id=ids[number], status=status, owner=owner, name=name, created_at=at, finished_at=at)
        events = events_of(run, "note", first=step) if with_event else []
        told = hasty.save_run(run, events=events)
        assert told == steady.save_run(run, events=events)
        steady.flush()
    for run_id in ids:
        assert hasty.get_run(run_id) == steady.get_run(run_id)
        assert hasty.events(run_id) == steady.events(run_id)
    span = at - timedelta(days=1), at + timedelta(days=1)
    assert hasty.totals(*span) == steady.totals(*span)
