"""What every history keeps to when several processes share it, and when one of them dies."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text

from mcp_core.errors import StoreError
from mcp_core.models import Run, RunStatus, new_id, utcnow
from mcp_core.store import RunFilter, Store, migrations, open_store
from mcp_core.store.engine import connect
from mcp_core.store.schema import SCHEMA_VERSION, metadata
from tests.store.backends import OnPostgreSQL, OnSQLite
from tests.store.samples import NOON, events_of, finished, running

pytestmark = pytest.mark.integration

_ROOT = Path(__file__).parents[2]


def _start(work: str, url: str, tmp_path: Path) -> "subprocess.Popen[str]":
    """Run `work` in another process, where `store` is open and `say(value)` reports; it goes on at a line of input."""
    program = f"""
import json, sys
from pathlib import Path
from mcp_core.models import RunStatus, utcnow
from mcp_core.store import RunFilter, open_store
from tests.store.samples import events_of, finished, running

def say(value):
    print(json.dumps(value), flush=True)

say("ready")
sys.stdin.readline()
with open_store({url!r}, data_dir=Path({str(tmp_path)!r})) as store:
{work}
"""
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )


def _hear(process: "subprocess.Popen[str]") -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def _go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _end(process: "subprocess.Popen[str]") -> None:
    with process:
        assert process.wait(timeout=60) == 0


class SharingContract:
    def test_two_processes_write_at_once(self, store: Store, url: str, tmp_path: Path) -> None:
        work = """
    for _ in range(100):
        run = running(owner="other")
        assert store.save_run(run)
        assert store.save_run(finished(id=run.id, owner="other"), events=events_of(run, "finished"))
"""
        process = _start(work, url, tmp_path)
        assert _hear(process) == "ready"
        _go(process)
        for _ in range(100):
            run = running()
            assert store.save_run(run) is True
            assert store.save_run(finished(id=run.id), events=events_of(run, "finished")) is True
        _end(process)
        assert store.count(RunFilter(statuses=(RunStatus.SUCCEEDED,))) == 200
        assert store.totals(utcnow() - timedelta(hours=1), utcnow() + timedelta(hours=1)).runs == 200

    def test_two_processes_open_an_empty_history_at_once(self, url: str, tmp_path: Path) -> None:
        processes = [_start("    say(store.info()['schema_version'])", url, tmp_path) for _ in range(2)]
        assert [_hear(process) for process in processes] == ["ready", "ready"]
        for process in processes:
            _go(process)
        assert [_hear(process) for process in processes] == [SCHEMA_VERSION, SCHEMA_VERSION]
        for process in processes:
            _end(process)

    def test_a_live_process_is_never_touched(self, store: Store, url: str, tmp_path: Path) -> None:
        work = """
    store.heartbeat("other")
    store.save_run(running(owner="other"))
    store.save_run(running(owner="other", status=RunStatus.QUEUED))
    say("going")
    sys.stdin.readline()
    store.release("other")
"""
        process = _start(work, url, tmp_path)
        _hear(process)
        _go(process)
        assert _hear(process) == "going"
        store.heartbeat("me")
        assert store.interrupt_lapsed() == []
        assert store.adopt_queued("me") == []
        _go(process)
        _end(process)
        assert [run.owner for run in store.interrupt_lapsed()] == ["other"]
        assert [run.owner for run in store.adopt_queued("me")] == ["me"]

    def test_what_a_killed_process_was_told_is_kept(self, store: Store, url: str, tmp_path: Path) -> None:
        work = """
    while True:
        run = finished(owner="other")
        store.save_run(run)
        say(run.id)
"""
        process = _start(work, url, tmp_path)
        _hear(process)
        _go(process)
        told = [_hear(process) for _ in range(20)]
        process.kill()
        with process:
            process.wait(timeout=30)
        assert all(store.get_run(run_id) for run_id in told)

    def test_one_process_interrupts_each_run(self, store: Store, url: str, tmp_path: Path) -> None:
        lost = [running(owner="dead") for _ in range(300)]
        for run in lost:
            store.save_run(run, events=events_of(run, "queued", "token"), wait=False)
        store.flush()
        process = _start("    say([run.id for run in store.interrupt_lapsed()])", url, tmp_path)
        _hear(process)
        _go(process)
        mine = store.interrupt_lapsed()
        theirs = _hear(process)
        _end(process)
        assert sorted([run.id for run in mine] + theirs) == sorted(run.id for run in lost)
        found = store.get_run(lost[0].id)
        assert found is not None
        assert found.status is RunStatus.INTERRUPTED
        assert found.error is not None
        assert found.error.type == "RunInterruptedError"
        assert found.finished_at is not None
        assert [(event.seq, event.kind) for event in store.events(lost[0].id)] == [(1, "queued"), (3, "finished")]
        totals = store.totals(utcnow() - timedelta(hours=1), utcnow() + timedelta(hours=1))
        assert (totals.runs, totals.errors, totals.p50_seconds) == (300, 300, None)
        assert store.save_run(finished(id=lost[0].id, owner="dead")) is False

    def test_one_of_many_adopts_each_queued_run(self, store: Store) -> None:
        waiting = [
            running(owner="dead", status=RunStatus.QUEUED, created_at=NOON + timedelta(seconds=n)) for n in range(40)
        ]
        for run in waiting:
            store.create_run(run)
        kept = [running(owner="me", status=RunStatus.QUEUED), running(owner=None, status=RunStatus.QUEUED)]
        for run in kept:
            store.create_run(run)
        store.heartbeat("me")
        assert [run.id for run in store.adopt_queued("me", limit=2)] == [run.id for run in waiting[:2]]
        start = threading.Barrier(4)

        def adopt(number: int) -> list[Run]:
            start.wait()
            store.heartbeat(f"heir-{number}")
            return store.adopt_queued(f"heir-{number}")

        with ThreadPoolExecutor(4) as pool:
            adopted = [run for runs in pool.map(adopt, range(4)) for run in runs]
        assert sorted(run.id for run in adopted) == sorted(run.id for run in waiting[2:])
        for run in adopted:
            assert store.get_run(run.id) == run
        for run in kept:
            assert store.get_run(run.id) == run
        assert store.save_run(finished(id=adopted[0].id, owner="dead")) is False
        assert store.save_run(finished(id=adopted[0].id, owner=adopted[0].owner)) is True

    def test_a_lease_lapses_with_its_heartbeat(self, store: Store) -> None:
        store.heartbeat("me")
        run = running(owner="me")
        store.create_run(run)
        assert store.interrupt_lapsed(older_than_seconds=60) == []
        assert [found.id for found in store.interrupt_lapsed(older_than_seconds=-1)] == [run.id]
        store.heartbeat("me")
        store.release("me")
        store.release("nobody")
        other = running(owner="me")
        store.create_run(other)
        assert [found.id for found in store.interrupt_lapsed()] == [other.id]

    def test_a_newer_history_is_refused(self, store: Store, url: str, tmp_path: Path) -> None:
        store.close()
        self.change(url, "UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(StoreError, match="version 9999") as caught:
            open_store(url, data_dir=tmp_path)
        assert "Update" in caught.value.hint

    def test_a_history_of_no_known_version_is_refused(self, store: Store, url: str, tmp_path: Path) -> None:
        store.close()
        self.change(url, "UPDATE alembic_version SET version_num = '0000deadbeef'")
        with pytest.raises(StoreError, match="version '0000deadbeef'") as caught:
            open_store(url, data_dir=tmp_path)
        assert "MCP_DATABASE_URL" in caught.value.hint

    def test_foreign_tables_are_left_alone(self, url: str, tmp_path: Path) -> None:
        self.change(url, "CREATE TABLE runs (precious TEXT)")
        with pytest.raises(StoreError, match="already exists"):
            open_store(url, data_dir=tmp_path)
        self.change(url, "SELECT precious FROM runs")
        with pytest.raises(StoreError, match="already exists"):
            open_store(url, data_dir=tmp_path)

    def test_migrations_make_the_tables_the_code_expects(self, store: Store) -> None:
        with store._database.engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []

    def test_a_history_of_the_first_version_is_brought_to_this_one(self, url: str, tmp_path: Path) -> None:
        database = connect(url, data_dir=tmp_path)
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        with database.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            connection.execute(text("INSERT INTO leases VALUES ('me', 'here', 1, 5)"))
        database.close()
        with open_store(url, data_dir=tmp_path) as store:
            assert store.info()["schema_version"] == SCHEMA_VERSION
            with store._database.engine.connect() as connection:
                assert compare_metadata(MigrationContext.configure(connection), metadata) == []
                assert connection.execute(text("SELECT owner, heartbeat_at FROM leases")).all() == [("me", 5)]

    def test_opening_again_keeps_everything(self, store: Store, url: str, tmp_path: Path) -> None:
        run = finished(id=new_id())
        store.save_run(run)
        with open_store(url, data_dir=tmp_path) as again:
            assert again.get_run(run.id) == run

    def change(self, url: str, statement: str) -> None:
        """Do something to the database behind the store's back."""
        database = connect(url, data_dir=Path())
        with database.engine.begin() as connection:
            connection.execute(text(statement))
        database.close()


class TestOnSQLite(OnSQLite, SharingContract):
    pass


class TestOnPostgreSQL(OnPostgreSQL, SharingContract):
    pass
