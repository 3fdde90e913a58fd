"""The engine: every transition of a run's state, cancel, time limits, shutdown, and what is recorded."""

import asyncio
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from mcp_core.api.client import MCPClient
from mcp_core.api.handle import RunHandle
from mcp_core.errors import (
    ConfigurationError,
    MCPError,
    PermissionDeniedError,
    ResourceLimitError,
    RunInterruptedError,
    RunTimeoutError,
)
from mcp_core.models import Actor, Run, RunOutput, RunStatus, new_id
from mcp_core.settings import Settings
from mcp_core.types.base import BaseMCPConfig, RunContext, executor
from mcp_core.types.variables import VariableSpec
from tests.api.probes import AsyncProbe, Probe, gate, probe_registry

pytestmark = pytest.mark.integration


class InterruptibleProbe(BaseMCPConfig):
    """A type that may run on its caller's thread."""

    type: Literal["interruptible_probe"] = "interruptible_probe"


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition that another thread brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def is_running(handle: RunHandle) -> Callable[[], bool]:
    return lambda: handle.run.status is RunStatus.RUNNING


def stored(panel: MCPClient, run_id: str) -> Run:
    run = panel.store.get_run(run_id)
    assert run is not None
    return run


def test_queued_running_succeeded(panel: MCPClient) -> None:
    with gate("a") as opened, gate("b") as other:
        first = panel.submit(Probe(act="wait", gate="a"))
        second = panel.submit(Probe(act="wait", gate="b"))
        third = panel.submit(Probe(words=["x", "y"], variables={"n": VariableSpec(type="integer", default=2)}))
        until(is_running(first))
        until(is_running(second))
        assert third.run.status is RunStatus.QUEUED
        assert stored(panel, third.id).status is RunStatus.QUEUED
        assert panel.runs.live()[-1].id == third.id
        opened.set()
        run = third.result(10)
        other.set()
    assert (run.status, run.output.text, run.output.data) == (RunStatus.SUCCEEDED, "x y", {"given": {"n": 2}})
    assert stored(panel, run.id) == run
    assert run.created_at <= (run.started_at or run.created_at) <= (run.finished_at or run.created_at)
    kinds = [event.kind for event in panel.runs.events(run.id)]
    assert kinds == ["queued", "started", "finished"]


def test_queued_cancelled(panel: MCPClient) -> None:
    with gate("a"):
        busy = [panel.submit(Probe(act="wait", gate="a")) for _ in range(2)]
        for handle in busy:
            until(is_running(handle))
        waiting = panel.submit(Probe())
        assert waiting.cancel()
        run = waiting.result(60)
    assert run.status is RunStatus.CANCELLED
    assert run.started_at is None
    assert run.error is not None
    assert run.error.type == "RunCancelledError"
    assert not waiting.cancel()


def test_running_failed(panel: MCPClient) -> None:
    run = panel.execute(Probe(act="fail"))
    assert run.status is RunStatus.FAILED
    assert run.error is not None
    assert (run.error.type, run.error.message, run.error.hint) == (
        "ExecutionError",
        "The probe failed.",
        "It was told to.",
    )


def test_running_failed_by_a_crash_shows_no_secret(panel: MCPClient) -> None:
    run = panel.execute(Probe(act="crash"))
    assert run.status is RunStatus.FAILED
    assert run.error is not None
    assert run.error.type == "ExecutionError"
    assert "ZeroDivisionError" in run.error.message
    assert "abcdefghij" not in stored(panel, run.id).model_dump_json()


def test_running_cancelled(panel: MCPClient) -> None:
    with gate("a"):
        handle = panel.submit(Probe(act="wait", gate="a"))
        until(is_running(handle))
        assert handle.cancel()
        run = handle.result(60)
    assert run.status is RunStatus.CANCELLED
    assert stored(panel, run.id) == run


def test_what_was_said_before_a_cancel_is_kept(panel: MCPClient) -> None:
    handle = panel.submit(Probe(act="talk", words=["half an ", "answer"]))
    until(lambda: any(event.kind == "token" for event in panel.runs.events(handle.id)))
    handle.cancel()
    run = handle.result(60)
    assert (run.status, run.output.text) == (RunStatus.CANCELLED, "half an answer")


def test_running_timed_out(panel: MCPClient) -> None:
    with gate("a"):
        run = panel.execute(Probe(act="wait", gate="a", timeout=0.1))
    assert run.status is RunStatus.TIMED_OUT
    assert run.error is not None
    assert run.error.type == "RunTimeoutError"


def test_an_executor_that_does_not_listen_is_ended_over_its_head(panel: MCPClient) -> None:
    with gate("a") as opened:
        handles = [panel.submit(Probe(act="stubborn", gate="a", timeout=0.1)) for _ in range(2)]
        runs = [handle.result(10) for handle in handles]
        assert {run.status for run in runs} == {RunStatus.TIMED_OUT}
        # Both workers are stuck, and yet work goes on.
        assert panel.execute(Probe()).status is RunStatus.SUCCEEDED
        opened.set()
    until(lambda: sum(thread.name.startswith("mcp-run") for thread in threading.enumerate()) <= 2)
    for run in runs:
        assert stored(panel, run.id) == run
        assert [event.kind for event in panel.runs.events(run.id)][-1] == "finished"


def test_running_interrupted_by_shutdown_and_queued_stays_queued(settings: Settings) -> None:
    panel = MCPClient(settings.model_copy(update={"workers": 1}), registry=probe_registry())
    with gate("a"):
        running = panel.submit(Probe(act="wait", gate="a"))
        until(is_running(running))
        queued = panel.submit(Probe(words=["later"]))
        panel.close(drain_seconds=0)
        with pytest.raises(RunInterruptedError):
            queued.result(60)
    assert running.result(60).status is RunStatus.INTERRUPTED
    heir = MCPClient(settings, registry=probe_registry(), adopt=True)
    try:
        assert heir.runs.get(running.id).status is RunStatus.INTERRUPTED
        until(lambda: heir.runs.get(queued.id).status is RunStatus.SUCCEEDED, 30)
        assert heir.runs.get(queued.id).output.text == "later"
    finally:
        heir.close(drain_seconds=0)


def test_shutdown_lets_running_work_finish(settings: Settings) -> None:
    panel = MCPClient(settings, registry=probe_registry())
    with gate("a") as opened:
        handle = panel.submit(Probe(act="wait", gate="a"))
        until(is_running(handle))
        threading.Timer(0.1, opened.set).start()
        panel.close(drain_seconds=10)
    assert handle.result(60).status is RunStatus.SUCCEEDED


def test_a_full_queue_refuses_clearly_and_leaves_a_record(panel: MCPClient) -> None:
    with gate("a"):
        busy = [panel.submit(Probe(act="wait", gate="a")) for _ in range(2)]
        for handle in busy:
            until(is_running(handle))
        for _ in range(3):
            panel.submit(Probe())
        run_id = new_id()
        with pytest.raises(ResourceLimitError, match="The queue is full"):
            panel.submit(Probe(), run_id=run_id)
        refused = stored(panel, run_id)
        assert refused.status is RunStatus.FAILED
        assert refused.error is not None
        assert refused.error.type == "ResourceLimitError"


def test_an_id_is_started_once(panel: MCPClient) -> None:
    run_id = new_id()
    first = panel.execute(Probe(words=["once"]), run_id=run_id)
    again = panel.execute(Probe(words=["twice"]), run_id=run_id)
    assert again == first
    with gate("a") as opened:
        other = new_id()
        handles = [panel.submit(Probe(act="wait", gate="a"), run_id=other) for _ in range(3)]
        opened.set()
        assert len({handle.result(10).finished_at for handle in handles}) == 1
    assert panel.runs.count() == 2


def test_events_are_followed_live_and_from_the_store(panel: MCPClient) -> None:
    handle = panel.submit(Probe(words=["a", "b"]))
    seen = list(handle.events())
    assert [event.kind for event in seen] == ["queued", "started", "token", "token", "finished"]
    assert [event.seq for event in seen] == [1, 2, 3, 4, 5]
    assert handle.result(60).status is RunStatus.SUCCEEDED
    assert [event.kind for event in handle.events()] == ["queued", "started", "finished"]


def test_another_process_follows_a_run_through_the_store(settings: Settings, panel: MCPClient) -> None:
    with MCPClient(settings, registry=probe_registry()) as other, gate("a") as opened:
        handle = panel.submit(Probe(act="wait", gate="a", words=["tick", "tock"]))
        until(lambda: stored(other, handle.id).status is RunStatus.RUNNING)
        threading.Timer(0.3, opened.set).start()
        seen = list(other.runs.follow(handle.id))
        assert seen[0].kind == "queued"
        assert seen[-1].kind == "finished"
        with pytest.raises(ConfigurationError, match="no run"):
            other.runs.get("nothing")


def test_another_process_cancels_what_runs_and_what_waits(settings: Settings, panel: MCPClient) -> None:
    with MCPClient(settings, registry=probe_registry()) as other, gate("a"):
        running = [panel.submit(Probe(act="wait", gate="a")) for _ in range(2)]
        for handle in running:
            until(is_running(handle))
        queued = panel.submit(Probe())
        for handle in (queued, running[0]):
            assert other.runs.cancel(handle.id)
            assert handle.result(60).status is RunStatus.CANCELLED
            assert stored(other, handle.id) == handle.run
            assert not other.runs.cancel(handle.id)
        assert running[1].run.status is RunStatus.RUNNING
        until(lambda: stored(other, queued.id).started_at is None)


def test_async_executors_run_and_are_cancelled(panel: MCPClient) -> None:
    assert panel.execute(AsyncProbe()).output.text == "awaited"
    handle = panel.submit(AsyncProbe(seconds=60))
    until(is_running(handle))
    handle.cancel()
    assert handle.result(60).status is RunStatus.CANCELLED


def test_aexecute_waits_without_blocking_and_cancels_with_its_task(panel: MCPClient) -> None:
    async def scenario() -> None:
        runs = await asyncio.gather(*(panel.aexecute(AsyncProbe(seconds=0.05)) for _ in range(3)))
        assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
        task = asyncio.create_task(panel.aexecute(AsyncProbe(seconds=60)))
        await asyncio.to_thread(until, lambda: [run.status for run in panel.runs.live()] == [RunStatus.RUNNING])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    until(lambda: panel.runs.list()[0][0].status is RunStatus.CANCELLED)
    assert panel.runs.live() == []


def test_a_wrong_variable_is_refused_and_recorded(panel: MCPClient) -> None:
    config = Probe(variables={"n": VariableSpec(type="integer")}, name="counted")
    with pytest.raises(ConfigurationError, match="`n` is missing"):
        panel.execute(config)
    (run,), _ = panel.runs.list()
    assert (run.name, run.status) == ("counted", RunStatus.FAILED)
    assert run.error is not None
    assert run.error.type == "ConfigurationError"


def test_a_viewer_may_not_run_cancel_or_delete(panel: MCPClient) -> None:
    viewer = Actor(id="v", name="Vera", role="viewer")
    run = panel.execute(Probe())
    for forbidden in (
        lambda: panel.execute(Probe(), actor=viewer),
        lambda: panel.runs.cancel(run.id, actor=viewer),
        lambda: panel.runs.delete([run.id], actor=viewer),
        lambda: panel.runs.repeat(run.id, actor=viewer),
        lambda: panel.cache.clear(actor=viewer),
    ):
        with pytest.raises(PermissionDeniedError, match="Vera is viewer"):
            forbidden()
    assert panel.runs.count() == 1


def test_a_run_is_repeated_as_a_linked_one_and_deleted(panel: MCPClient) -> None:
    config = Probe(words=["again"], variables={"n": VariableSpec(type="integer", default=1)})
    first = panel.execute(config, {"n": 5})
    second = panel.runs.repeat(first.id).result(10)
    assert second.retry_of == first.id
    assert second.output == first.output
    assert second.variables == {"n": 5}
    assert panel.runs.delete([first.id]) == 1
    assert panel.runs.get(second.id).retry_of is None


def test_an_artifact_is_kept_with_its_run(panel: MCPClient) -> None:
    run = panel.execute(Probe(act="artifact"))
    assert panel.runs.artifact(run.id, "table.csv") == b"a,b\n1,2\n"


def test_a_result_can_be_awaited_for_a_while(panel: MCPClient) -> None:
    with gate("a"):
        handle = panel.submit(Probe(act="wait", gate="a"))
        with pytest.raises(RunTimeoutError, match="still going on"):
            handle.result(0.05)


def test_thirty_two_callers_lose_and_double_nothing(settings: Settings) -> None:
    with MCPClient(settings.model_copy(update={"workers": 8}), registry=probe_registry()) as panel:
        runs: list[Run] = []
        threads = [
            threading.Thread(target=lambda i=i: runs.extend(panel.execute(Probe(words=[str(i)])) for _ in range(10)))
            for i in range(32)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({run.id for run in runs}) == 320
        assert panel.runs.count() == 320
        assert {run.status for run in panel.runs.iterate()} == {RunStatus.SUCCEEDED}


def test_what_is_kept_is_for_its_owner_alone(panel: MCPClient) -> None:
    assert stat.S_IMODE(panel.settings.data_dir.stat().st_mode) == 0o700


def test_public_calls_raise_errors_of_the_tree_alone(panel: MCPClient, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("type: probe\nname: a: b\n")
    for wrong in (
        lambda: panel.execute({"type": "nonsense"}),
        lambda: panel.execute({}),
        lambda: panel.execute({"type": "probe", "act": "dance"}),
        lambda: panel.runs.get("none"),
        lambda: panel.tasks.load("none"),
        lambda: panel.runs.artifact("none", "none"),
        lambda: panel.runs.repeat("none"),
        lambda: panel.submit(str(broken), run_id="no/id"),
        lambda: panel.submit(str(broken), run_id=5),  # type: ignore[arg-type]
    ):
        with pytest.raises(MCPError):
            wrong()
    assert panel.runs.count() == 0


def test_ctrl_c_ends_the_run_with_the_wait_for_it(settings: Settings) -> None:
    registry = probe_registry()

    @executor(InterruptibleProbe, interruptible=True)
    def interrupted(config: InterruptibleProbe, ctx: RunContext) -> RunOutput:
        raise KeyboardInterrupt

    registry.register(interrupted)
    with MCPClient(settings, registry=registry) as panel:
        with pytest.raises(KeyboardInterrupt):
            panel.execute(InterruptibleProbe())
        (run,), _ = panel.runs.list()
        assert run.status is RunStatus.CANCELLED
        assert panel.execute(Probe()).status is RunStatus.SUCCEEDED
