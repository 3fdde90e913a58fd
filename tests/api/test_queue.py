"""The queue over all processes: who is next, where a run stands, limits of one person, and what is kept of his."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_core.api import queue
from mcp_core.api.client import MCPClient
from mcp_core.api.execution import Engine
from mcp_core.api.live import LiveRun
from mcp_core.api.snapshot import QueueSnapshot
from mcp_core.errors import ConfigurationError, ResourceLimitError
from mcp_core.models import Actor, Run, RunStatus, new_id
from mcp_core.settings import Settings, load_settings
from mcp_core.types.llm_prompt import LLMPromptConfig
from tests.api.probes import Probe, gate, probe_registry
from tests.api.test_engine import is_running, until
from tests.faulty import Answer, Connection, FaultyServer, chat

pytestmark = pytest.mark.integration

ANN, BEN = Actor(id="ann", name="Ann"), Actor(id="ben", name="Ben")


def opened(settings: Settings, **limits: int) -> MCPClient:
    values = {"workers": 1, "queue_size": 50, **limits}
    return MCPClient(settings.model_copy(update=values), registry=probe_registry())


def now(panel: MCPClient) -> QueueSnapshot:
    return panel.queue.snapshot(max_age_seconds=0.0)


def test_runs_begin_by_priority_and_in_turns(settings: Settings) -> None:
    with opened(settings) as panel, gate("a") as go:
        first = panel.submit(Probe(act="wait", gate="a"))
        until(is_running(first))
        asked = [panel.submit(Probe(name=f"ann {n}"), actor=ANN) for n in range(4)]
        asked += [panel.submit(Probe(name="ben"), actor=BEN)]
        asked += [panel.submit(Probe(name="low"), actor=BEN, priority="low")]
        asked += [panel.submit(Probe(name="high"), actor=ANN, priority="high")]
        told = [run.name for run in now(panel).waiting]
        assert told == ["high", "ann 0", "ben", "ann 1", "ann 2", "ann 3", "low"]
        assert [panel.runs.position(handle.id) for handle in asked] == [2, 4, 5, 6, 3, 7, 1]
        assert panel.runs.position(first.id) is None
        go.set()
        runs = [handle.result(60) for handle in asked]
    begun = sorted(runs, key=lambda run: run.started_at or run.created_at)
    assert [run.name for run in begun] == told
    assert {run.name: run.priority for run in runs}["high"] == "high"


def test_a_snapshot_tells_of_all_processes(settings: Settings) -> None:
    with opened(settings, workers=2, actor_bytes=10**9) as mine, opened(settings) as other, gate("a"):
        running = other.submit(Probe(act="wait", gate="a", name="theirs"), actor=ANN)
        until(lambda: mine.runs.get(running.id).status is RunStatus.RUNNING)
        waiting = [other.submit(Probe(), actor=actor, priority="low") for actor in (ANN, ANN, BEN)]
        here = mine.submit(Probe(act="wait", gate="a"))
        until(is_running(here))
        found = now(mine)
        assert [run.id for run in found.waiting] == [waiting[0].id, waiting[2].id, waiting[1].id]
        assert [run.position for run in found.waiting] == [1, 2, 3]
        assert {run.priority for run in found.waiting} == {"low"}
        assert {run.id for run in found.running} == {running.id, here.id}
        assert (found.waiting_total, found.running_total) == (3, 2)
        assert all(run.waited_seconds >= 0 for run in found.waiting)
        first, second = found.processes
        assert (first.here, first.workers, first.busy, first.idle, first.waiting) == (True, 2, 1, 1, 0)
        assert (second.here, second.workers, second.busy, second.idle, second.waiting) == (False, 1, 1, 0, 3)
        assert second.queue_size == 50
        assert [(load.actor_id, load.running, load.waiting) for load in found.actors] == [
            ("ann", 1, 2),
            ("ben", 0, 1),
            ("local", 1, 0),
        ]
        assert (found.limits.workers, found.limits.queue_free, found.limits.actor_bytes) == (2, 50, 10**9)
        assert mine.queue.snapshot(max_age_seconds=600) is found


def test_one_person_may_have_so_many_runs_at_once_and_waiting(settings: Settings) -> None:
    with opened(settings, workers=3, actor_running=1, actor_queued=2) as panel, gate("a") as go:
        mine = [panel.submit(Probe(act="wait", gate="a"), actor=ANN) for _ in range(3)]
        theirs = panel.submit(Probe(act="wait", gate="a"), actor=BEN)
        until(is_running(mine[0]))
        until(is_running(theirs))
        assert [handle.run.status for handle in mine] == [RunStatus.RUNNING, RunStatus.QUEUED, RunStatus.QUEUED]
        with pytest.raises(ResourceLimitError, match=r"ann has 2 runs waiting") as refused:
            panel.submit(Probe(), actor=ANN)
        assert "MCP_ACTOR_QUEUED" in refused.value.hint
        assert panel.submit(Probe(), actor=BEN).run.status is RunStatus.QUEUED
        go.set()
        assert {handle.result(60).status for handle in mine} == {RunStatus.SUCCEEDED}


def test_bytes_kept_are_counted_given_back_and_limited(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "BYTES_FRESH_SECONDS", 0.0)
    with opened(settings, actor_bytes=2000) as panel:
        long = panel.execute(Probe(words=["x" * 1500]), actor=ANN)
        kept = panel.store.stored_bytes()
        assert 1500 < kept["ann"] < 2000
        with_file = panel.execute(Probe(act="artifact", words=["x" * 800]), actor=ANN)
        assert panel.store.stored_bytes()["ann"] > kept["ann"] + 800 + len(b"a,b\n1,2\n")
        with pytest.raises(ResourceLimitError, match=r"keeps 2\.\d kB of ann's runs; one person may have 2\.0 kB"):
            panel.execute(Probe(), actor=ANN)
        assert panel.execute(Probe(), actor=BEN).status is RunStatus.SUCCEEDED
        panel.runs.delete([long.id])
        assert panel.execute(Probe(), actor=ANN).status is RunStatus.SUCCEEDED
        panel.runs.delete([run.id for run in panel.runs.iterate()])
        assert set(panel.store.stored_bytes().values()) == {0}
        assert with_file.status is RunStatus.SUCCEEDED


def test_an_unknown_priority_is_refused(settings: Settings) -> None:
    with opened(settings) as panel, pytest.raises(ConfigurationError, match="allowed are high, normal, low"):
        panel.submit(Probe(), priority="urgent")  # type: ignore[arg-type]


class Held:
    """An answer that comes when it is let go; counts who has asked."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.go = threading.Event()
        self.asked = threading.Semaphore(0)

    def __call__(self, connection: Connection) -> None:
        self.asked.release()
        while not self.go.is_set() and not connection.wait(0.01):
            pass
        self._answer(connection)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        yield server


def test_runs_of_a_full_provider_leave_the_workers_to_others(tmp_path: Path, server: FaultyServer) -> None:
    server.default = held = Held(chat("at last"))
    (tmp_path / "providers.toml").write_text(
        f'version = 1\n[providers.slow]\nbase_url = "{server.url}"\nmax_concurrency = 1\n'
    )
    values = {"MCP_DATA_DIR": str(tmp_path), "MCP_LOCAL_MODEL": "off", "MCP_WORKERS": "2"}
    asks = LLMPromptConfig(template="{{ n }}", model="slow/m")
    with MCPClient(load_settings(values, directory=tmp_path), registry=probe_registry()) as panel:
        slow = [panel.submit(asks, {"n": n}, stream=False) for n in range(20)]
        assert held.asked.acquire(timeout=60)
        # One asks, those it lets in besides wait aside, and the others in the queue; a worker is left.
        until(lambda: now(panel).processes[0].aside == 4, 60)
        state = now(panel)
        assert (state.processes[0].busy, state.processes[0].idle, state.waiting_total) == (1, 1, 15)
        assert panel.submit(Probe()).result(60).status is RunStatus.SUCCEEDED
        held.go.set()
        runs = [handle.result(60) for handle in slow]
        assert {(run.status, run.output.text) for run in runs} == {(RunStatus.SUCCEEDED, "at last")}
        until(lambda: now(panel).processes[0].busy == 0)
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("mcp-run")]
        assert len(threads) <= 2 + 4


def test_what_a_dead_process_left_queued_is_cancelled_without_beginning(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[str] = []
    with MCPClient(settings, registry=probe_registry()) as panel:
        queued = Run(
            id=new_id(),
            type="probe",
            name="left",
            actor_id="ann",
            config=Probe(words=["costs", "money"]).model_dump(mode="json"),
            status=RunStatus.QUEUED,
            owner=new_id(),
        )
        panel.store.create_run(queued)
        claim = Engine._claim

        def note(engine: Engine, live: LiveRun) -> bool:
            began.append(live.run.id)
            return claim(engine, live)

        adopt = Engine.adopt

        def adopt_and_wait(engine: Engine, run_id: str) -> None:
            adopt(engine, run_id)
            until(lambda: bool(began) or panel.runs.get(run_id).status.is_final, 60)

        monkeypatch.setattr(Engine, "_claim", note)
        monkeypatch.setattr(Engine, "adopt", adopt_and_wait)
        assert panel.runs.cancel(queued.id)
        assert panel.runs.get(queued.id).status is RunStatus.CANCELLED
        assert began == []
