"""Databases of cache and history that are locked or damaged, when they are opened and while they are open."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mcp_core.api.client import MCPClient
from mcp_core.errors import StoreError
from mcp_core.models import RunStatus
from tests.faults.conftest import QUESTION, Place, ask, until
from tests.faulty import Answer, Connection, chat

pytestmark = pytest.mark.integration

RUBBISH = b"this is no database\n" * 2000


class Locked:
    """Another program that is writing to the database and takes its time; from `__enter__` to `__exit__`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._other = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._other.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_: object) -> None:
        self._other.execute("ROLLBACK")
        self._other.close()

    def while_answering(self, answer: Answer) -> Answer:
        """A model server's answer that comes when the file has just been locked."""

        def answering(connection: Connection) -> None:
            self.__enter__()
            answer(connection)

        return answering


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_core.store.engine.BUSY_SECONDS", 0.1)
    monkeypatch.setattr("mcp_core.cache.sqlite_file.BUSY_SECONDS", 0.1)


def spoil(path: Path) -> None:
    """Overwrite the file as a bad disk or a stray program would, its log included."""
    for suffix in ("", "-wal"):
        part = Path(f"{path}{suffix}")
        if part.exists():
            with part.open("r+b") as file:
                file.write(RUBBISH)


def test_cache_corrupt_at_start(place: Place) -> None:
    (place.data / "cache.sqlite").write_bytes(RUBBISH)
    panel = place.open()
    runs = [ask(panel, "a"), ask(panel, "a")]
    assert [run.cache for run in runs] == ["miss", "hit"]
    assert len(list(place.data.glob("cache.sqlite.corrupt-*"))) == 1
    place.settle(panel, runs)


def test_cache_corrupt_while_open(place: Place) -> None:
    panel = place.open()
    runs = [ask(panel, "a")]
    spoil(place.data / "cache.sqlite")
    runs += [ask(panel, n) for n in "bcab"]
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    assert runs[-1].cache == "hit"
    place.settle(panel, runs)


def test_cache_locked_at_start(place: Place, impatient: None) -> None:
    with closing(place.open()) as first:
        runs = [ask(first, "a")]
    panel = place.open()
    with Locked(place.data / "cache.sqlite"):
        runs += [ask(panel, n) for n in "ab"]
    assert [run.status for run in runs] == [RunStatus.SUCCEEDED] * 3
    place.settle(panel, runs)


def test_cache_locked_while_open(place: Place, impatient: None) -> None:
    panel = place.open()
    runs = [ask(panel, "a")]
    with Locked(place.data / "cache.sqlite"):
        runs += [ask(panel, n) for n in "abb"]
    assert [str(run.cache) for run in runs] == ["miss", "hit", "miss", "hit"]
    place.settle(panel, runs)


def test_history_corrupt_at_start(place: Place) -> None:
    with closing(place.open()) as first:
        ask(first, "a")
    spoil(place.data / "history.db")
    panel = place.open()
    runs = [ask(panel, "a")]
    assert len(list(place.data.glob("history.db.corrupt-*"))) >= 1
    place.settle(panel, runs)


def outcome(panel: MCPClient, n: str) -> str:
    """How a run ends where the history may or may not still take it."""
    try:
        return ask(panel, n).status.value
    except StoreError as error:
        return "refused" if "damaged" in error.hint else str(error)


def test_history_corrupt_while_open(place: Place) -> None:
    with closing(place.open()) as panel:
        for n in range(20):
            ask(panel, n)
        spoil(place.data / "history.db")
        outcomes = [outcome(panel, f"after {n}") for n in range(5)]
        assert {str(end) for end in outcomes} <= {"succeeded", "failed", "refused"}
        assert panel.runs.live() == []
    again = place.open()
    run = ask(again, "again")
    assert run.status is RunStatus.SUCCEEDED
    assert again.runs.get(run.id) == run
    assert place.leaks() == []


def test_history_locked_at_start(place: Place, impatient: None) -> None:
    with closing(place.open()) as first:
        runs = [ask(first, "a")]
    with Locked(place.data / "history.db"), pytest.raises(StoreError, match="locked") as caught:
        place.open()
    assert "close it and try again" in caught.value.hint
    panel = place.open()
    runs.append(ask(panel, "b"))
    place.settle(panel, runs)


def test_history_locked_while_open(place: Place, impatient: None) -> None:
    panel = place.open()
    runs = [ask(panel, "a")]
    with Locked(place.data / "history.db"):
        with pytest.raises(StoreError, match="locked"):
            panel.submit(QUESTION, {"n": "refused"}, run_id="refused")
        # No money is spent on a run that the history does not know.
        unknown = panel.execute(QUESTION, {"n": "unknown"})
        assert unknown.status is RunStatus.FAILED
        assert unknown.error is not None
        assert unknown.error.type == "StoreError"
        assert place.server.calls == 1
        # What the cache knows costs nothing, and is recorded later.
        hit = panel.execute(QUESTION, {"n": "a"})
        assert (hit.status, str(hit.cache)) == (RunStatus.SUCCEEDED, "hit")
        assert panel.runs.get(hit.id) == hit
        refused = panel.runs.get("refused")
        assert refused.status is RunStatus.FAILED
    place.settle(panel, [*runs, unknown, hit, refused])


def test_history_locked_while_the_answer_comes(place: Place, impatient: None) -> None:
    panel = place.open()
    lock = Locked(place.data / "history.db")
    place.server.default = lock.while_answering(chat("late"))
    handle = panel.submit(QUESTION, {"n": "a"}, stream=False)
    run = handle.result(30)
    assert (run.status, run.output.text) == (RunStatus.SUCCEEDED, "late")
    with closing(sqlite3.connect(place.data / "history.db")) as history:
        # On record as begun: in the journal, or in its table if the heartbeat was there before the lock.
        begun = "SELECT run_id FROM journal WHERE NOT final UNION SELECT id FROM runs WHERE status = 'running'"
        assert history.execute(begun).fetchall() == [(run.id,)]
    assert panel.runs.get(run.id) == run
    lock.__exit__()
    place.settle(panel, [run])
    assert panel.store.get_run(run.id) == run
    until(lambda: [event.kind for event in panel.store.events(run.id)][-1] == "finished")


def test_a_panel_that_closes_while_its_history_is_locked(place: Place, impatient: None) -> None:
    lock = Locked(place.data / "history.db")
    panel = place.open()
    place.server.default = lock.while_answering(chat("late"))
    run = panel.submit(QUESTION, {"n": "a"}, stream=False).result(30)
    lock.__exit__()
    panel.close()
    place.settle(place.open(), [run])
