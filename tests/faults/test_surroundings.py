"""Disks that are full or read-only, a Redis that goes and comes back, and clocks that jump."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mcp_core.api import execution, pulse
from mcp_core.cache.base import Entry
from mcp_core.models import RunStatus, utcnow
from tests.cache.helpers import valkey
from tests.faults.conftest import ROOT, SECRET, Place, a_place, ask, until
from tests.faulty import Connection, chat

pytestmark = pytest.mark.integration

FULL = """
import json, resource, signal, sys
from loguru import logger
from mcp_core.api.client import MCPClient
from mcp_core.errors import StoreError
from mcp_core.logs import configure_logs
from mcp_core.security.redaction import redactor
from mcp_core.settings import load_settings
from tests.faults.conftest import QUESTION

settings = load_settings()
configure_logs(settings, redactor.shapes)
panel = MCPClient(settings)
def ask(n):
    return panel.execute(QUESTION, {"n": n})
runs = [ask("before")]
# From here on no file may become larger than it is: what a full disk says of every file at once.
size = max(path.stat().st_size for path in settings.data_dir.iterdir() if path.name.startswith("history.db"))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
refused = 0
for n in range(40):
    try:
        panel.submit(QUESTION, {"n": f"submitted {n}" + "x" * 20_000}, stream=False)
    except StoreError as error:
        refused += 1
        assert "Free some space" in error.hint, error
assert refused
full = [ask("before"), ask("while full" + "x" * 20_000)]
print(json.dumps([run.status for run in full]), flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
runs += [*full, ask("after")]
panel.close()
panel = MCPClient(settings)
print(json.dumps([[run.status for run in runs], [panel.store.get_run(run.id).status for run in runs]]), flush=True)
open_runs = [run.id for run in panel.store.iter_runs() if not run.status.is_final]
print(json.dumps([panel.store.count() == 3 + 1 + 40, open_runs]), flush=True)
panel.close()
"""


def test_full_disk(place: Place) -> None:
    child = place.start(FULL)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    while_full, (told, stored), (all_there, left_open) = (json.loads(line) for line in out.splitlines())
    assert while_full == ["succeeded", "failed"]
    assert told == stored == ["succeeded", "succeeded", "failed", "succeeded"]
    assert all_there
    assert left_open == []
    assert SECRET not in out + err
    assert place.leaks() == []
    panel = place.open()
    place.settle(panel, list(panel.store.iter_runs()))


READ_ONLY = """
import os, sys
from mcp_core.__main__ import main
import mcp_core.api.client, mcp_core.store.facade, mcp_core.cache.sqlite, mcp_core.cache.tiered
import mcp_core.types.registry, mcp_core.cli.run, sqlalchemy.dialects.sqlite
mcp_core.types.registry.default_registry()
if os.geteuid() == 0:
    # For root no file is read-only; all imports are done, as nobody may not read where Python is.
    os.setgid(65534)
    os.setuid(65534)
sys.exit(main(["run", sys.argv[1], "--var", "n=1", "--json"]))
"""


@pytest.fixture
def public() -> Iterator[Place]:
    """A place that everybody may look into."""
    with TemporaryDirectory(prefix="mcp-faults-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with a_place(directory) as made:
            yield made
        made.data.chmod(0o755)


def test_read_only_data_directory(public: Place) -> None:
    before = ask(public.open(), "before")
    task = public.directory / "task.yaml"
    task.write_text('type: llm_prompt\ntemplate: "question {{ n }}"\nmodel: bench/m\n')
    for path in [*public.data.rglob("*"), public.data]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY, str(task)],
        capture_output=True,
        text=True,
        check=False,
        cwd=public.directory,
        # It gives up its rights, also those to where a measurement of coverage would be written.
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("COV")},
            **public.environment(),
            "PYTHONPATH": str(ROOT),
        },
        timeout=60,
    )
    for path in [public.data, *public.data.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert done.returncode == 1, done.stderr
    assert "Make the directory writable" in done.stderr
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert public.server.calls == 1
    public.settle(public.open(), [before])


def test_redis_gone_in_mid_run_and_back(place: Place, monkeypatch: pytest.MonkeyPatch, redis_socket: Path) -> None:
    monkeypatch.setattr("mcp_core.cache.guard._PAUSE_SECONDS", 0.1)
    with valkey(unixsocket=str(redis_socket)) as redis:
        panel = place.open(MCP_CACHE_BACKEND="redis", MCP_REDIS_URL=f"unix://{redis_socket}")
        runs = [ask(panel, "a"), ask(panel, "a")]
        assert [str(run.cache) for run in runs] == ["miss", "hit"]

        def gone(connection: Connection) -> None:
            redis.stop()
            chat("without a cache")(connection)

        place.server.script(gone)
        runs += [ask(panel, "b"), ask(panel, "b"), ask(panel, "a")]
        assert [str(run.cache) for run in runs[2:]] == ["miss"] * 3
    with valkey(unixsocket=str(redis_socket)):

        def remembered() -> bool:
            runs.append(ask(panel, "c"))
            return runs[-1].cache == "hit"

        until(remembered)
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    place.settle(panel, runs)


@pytest.mark.parametrize("hours", [-2, 2])
def test_clock_jumps_in_mid_run(place: Place, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    def jumped() -> datetime:
        return datetime.now(UTC) + timedelta(hours=hours)

    def answer(connection: Connection) -> None:
        monkeypatch.setattr(execution, "utcnow", jumped)
        monkeypatch.setattr("mcp_core.api.endings.utcnow", jumped)
        monkeypatch.setattr("mcp_core.api.events.utcnow", jumped)
        chat("yes")(connection)

    place.server.script(answer)
    panel = place.open()
    run = ask(panel, "a")
    assert run.status is RunStatus.SUCCEEDED
    assert 0 <= (run.duration_seconds or -1) < 30
    assert 0 <= (run.queued_seconds or 0) < 30
    later = ask(panel, "b")
    assert 0 <= (later.queued_seconds or 0) < 7300
    assert 0 <= (later.duration_seconds or -1) < 30
    place.settle(panel, [run, later])


def test_entries_from_the_future_are_asked_for_anew(place: Place) -> None:
    panel = place.open()
    first = ask(panel, "a")
    (entry,) = panel.cache.entries()
    ahead = 400 * 86_400
    assert entry.expires_at is not None
    panel._cache.set(
        Entry(
            key=entry.key,
            body=entry.body,
            created_at=entry.created_at + ahead,
            expires_at=entry.expires_at + ahead,
            labels=entry.labels,
        )
    )
    second, third = ask(panel, "a"), ask(panel, "a")
    assert [str(run.cache) for run in (first, second, third)] == ["miss", "miss", "hit"]
    assert third.cache.age_seconds is not None
    assert third.cache.age_seconds < 60
    place.settle(panel, [first, second, third])


def test_a_clock_set_back_keeps_no_dead_process_alive(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "HEARTBEAT_SECONDS", 0.1)
    with place.open() as first:
        run = ask(first, "a")
        left = run.model_copy(
            update={
                "id": "left",
                "status": RunStatus.RUNNING,
                "finished_at": None,
                "owner": "dead",
                "created_at": utcnow(),
            }
        )
        first.store.save_run(left)
        first.store.heartbeat("dead")
        with first.store._database.engine.begin() as connection:
            # The owner died when the clock was still two hours ahead.
            connection.exec_driver_sql(
                "UPDATE leases SET heartbeat_at = heartbeat_at + 7200000000 WHERE owner = 'dead'"
            )
    panel = place.open(adopt=True)
    until(lambda: panel.runs.get("left").status is RunStatus.INTERRUPTED)
    place.settle(panel, [run, panel.runs.get("left")])


def test_a_clock_that_jumps_ahead_ends_no_run_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    steady = pulse._Steadiness()
    wall, monotonic = time.time(), time.monotonic()
    verdicts = []
    for passed, jump in [(0, 0), (4, 0), (8, 3600), (12, 3600), (16, 3600), (20, 3600), (24, 3600)]:
        monkeypatch.setattr(time, "time", lambda now=wall + passed + jump: now)
        monkeypatch.setattr(time, "monotonic", lambda now=monotonic + passed: now)
        verdicts.append(steady.beat())
    assert verdicts == [True, True, False, False, False, False, True]
