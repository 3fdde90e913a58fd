"""The queue as the history knows it, on every database: open runs, processes, requests to cancel, bytes kept."""

from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from mcp_core.models import RunError, RunOutput, RunStatus, new_id, utcnow
from mcp_core.store import ProcessLoad, Store, open_store, schema
from mcp_core.store.engine import connect
from tests.store.backends import OnPostgreSQL, OnSQLite
from tests.store.samples import finished, running

pytestmark = pytest.mark.integration


class QueueContract:
    def test_open_runs_are_told_with_who_has_them(self, store: Store) -> None:
        waits = [
            running(status=RunStatus.QUEUED, started_at=None, priority=priority, actor_id=actor)
            for priority, actor in (("low", "ann"), ("high", "ben"))
        ]
        runs = running(model="acme/m")
        for run in (*waits, runs, finished()):
            store.save_run(run)
        assert store.open_counts() == {"queued": 2, "running": 1}
        assert [(run.id, run.priority, run.actor_id, run.owner) for run in store.open_runs(RunStatus.QUEUED)] == [
            (waits[0].id, "low", "ann", "me"),
            (waits[1].id, "high", "ben", "me"),
        ]
        (found,) = store.open_runs(RunStatus.RUNNING)
        assert (found.id, found.model, found.started_at) == (runs.id, "acme/m", runs.started_at)
        assert len(store.open_runs(RunStatus.QUEUED, limit=1)) == 1

    def test_a_priority_is_kept_from_the_beginning(self, store: Store) -> None:
        run = running(priority="high")
        store.save_run(run)
        store.save_run(finished(id=run.id))
        kept = store.get_run(run.id)
        assert kept is not None
        assert kept.priority == "high"

    def test_processes_say_how_busy_they_are(self, store: Store) -> None:
        store.heartbeat("one", ProcessLoad(workers=8, given_up=1, queue_size=100))
        store.heartbeat("two")
        store.heartbeat("two", ProcessLoad(workers=4))
        found = {process.owner: process for process in store.processes(older_than_seconds=600)}
        assert found["one"].load == ProcessLoad(workers=8, given_up=1, queue_size=100)
        assert found["two"].load == ProcessLoad(workers=4)
        assert 0 <= found["one"].heard_seconds < 600
        assert found["one"].pid > 0
        store.release("one")
        assert [process.owner for process in store.processes(older_than_seconds=600)] == ["two"]

    def test_a_request_to_cancel_is_for_the_owner_of_an_open_run(self, store: Store) -> None:
        mine, theirs, over = running(), running(owner="other"), finished()
        for run in (mine, theirs, over):
            store.save_run(run)
        assert store.ask_to_cancel(mine.id, "ann")
        assert store.ask_to_cancel(mine.id, "ben")
        assert store.ask_to_cancel(theirs.id, "ann")
        assert not store.ask_to_cancel(over.id, "ann")
        assert not store.ask_to_cancel(new_id(), "ann")
        assert store.asked_to_cancel("me") == [mine.id]
        store.save_run(finished(id=mine.id, status=RunStatus.CANCELLED))
        assert store.asked_to_cancel("me") == []
        assert store.asked_to_cancel("other") == [theirs.id]
        store.save_run(finished(id=theirs.id, owner="other"))
        assert store.asked_to_cancel("other") == []
        assert store.delete_runs([mine.id, theirs.id]) == 2

    def test_queued_runs_are_given_away_and_adopted_while_their_owner_lives(self, store: Store) -> None:
        store.heartbeat("me")
        queued = [running(status=RunStatus.QUEUED, started_at=None) for _ in range(2)]
        begun = running()
        for run in (*queued, begun):
            store.save_run(run)
        assert store.adopt_queued("heir") == []
        store.give_away("me", [queued[0].id, begun.id])
        assert [run.id for run in store.adopt_queued("heir", older_than_seconds=600)] == [queued[0].id]
        assert store.open_runs(RunStatus.RUNNING)[0].owner == "me"

    def test_bytes_kept_follow_what_is_stored_and_deleted(self, store: Store) -> None:
        ann, ben = finished(actor_id="ann", output=RunOutput(text="ä" * 100)), running(actor_id="ben")
        store.save_run(ann, artifact_bytes=1000)
        store.save_run(ben)
        store.put_artifact(ben.id, "plan.txt", "text/plain", b"x" * 500)
        kept = store.stored_bytes()
        assert 1200 < kept["ann"] < 1300
        assert "ben" not in kept
        assert [run.id for run in store.interrupt_lapsed()] == [ben.id]
        assert store.stored_bytes()["ben"] == 500
        store.delete_runs([ann.id, ben.id])
        assert store.stored_bytes() == {"ann": 0, "ben": 0}
        assert sum(frame_runs(store)) == 2, "the figures stay"

    def test_an_older_history_is_counted_when_it_is_opened(self, url: str, tmp_path: Path) -> None:
        database = connect(url, data_dir=tmp_path)
        config = Config()
        config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
        config.set_main_option("path_separator", "os")
        with database.engine.connect() as connection, connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "0002")
            for name, status, owner in (("old", "succeeded", None), ("open", "queued", "gone")):
                connection.execute(
                    text(
                        "INSERT INTO runs (id, created_at, finished_at, type, name, status, actor_id, team, owner, "
                        "cache_outcome, input_tokens, output_tokens, attempt_count, tags, search, output) VALUES "
                        "(:id, 1, 7200000000, 't', 'n', :status, 'ann', 'x', :owner, 'miss', 0, 0, 0, '[]', '', :out)"
                    ),
                    {"id": name, "status": status, "owner": owner, "out": '{"text":"ä"}'},
                )
            connection.execute(
                text("INSERT INTO artifacts VALUES ('old', 'f', 'text/plain', 5, 'sum', :content)"),
                {"content": b"12345"},
            )
        database.close()
        with open_store(url, data_dir=tmp_path) as store:
            assert store.stored_bytes() == {"ann": len('{"text":"ä"}'.encode()) + 5}
            assert store.open_runs(RunStatus.QUEUED)[0].priority == "normal"
            assert store.delete_runs(["old"]) == 1
            assert store.stored_bytes() == {"ann": 0}

    def test_a_refused_run_keeps_nothing(self, store: Store) -> None:
        error = RunError(type="ResourceLimitError", message="The queue is full.")
        store.save_run(finished(status=RunStatus.FAILED, error=error, output=RunOutput(), finished_at=utcnow()))
        assert sum(store.stored_bytes().values()) == 0


def frame_runs(store: Store) -> list[int]:
    frame = store.rollup_frame(utcnow() - timedelta(days=2), utcnow() + timedelta(days=1))
    return [int(count) for count in frame["runs"]]


class TestOnSQLite(OnSQLite, QueueContract):
    pass


class TestOnPostgreSQL(OnPostgreSQL, QueueContract):
    pass
