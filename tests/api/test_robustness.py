"""What foreign code, a failing history, a lost lease and hostile arguments must not do to the engine."""

import asyncio
import datetime as dt
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from mcp_core.api.client import MCPClient
from mcp_core.api.workers import WorkerPool
from mcp_core.control import CancelToken
from mcp_core.errors import ConfigurationError, RunTimeoutError, StoreError
from mcp_core.models import Actor, Run, RunOutput, RunStatus, new_id
from mcp_core.settings import Settings
from mcp_core.types.base import BaseMCPConfig, RunContext, executor
from mcp_core.types.variables import VariableSpec
from tests.api.probes import AsyncProbe, Probe, gate, probe_registry
from tests.api.test_engine import is_running, stored, until

pytestmark = pytest.mark.integration


class Odd(BaseMCPConfig):
    """Does what no executor should."""

    type: Literal["odd"] = "odd"
    act: str


@executor(Odd)
def run_odd(config: Odd, ctx: RunContext) -> Any:
    if config.act == "exit":
        sys.exit(3)
    if config.act == "stop":
        raise KeyboardInterrupt
    if config.act == "cancelled":
        raise asyncio.CancelledError
    if config.act == "emit":
        ctx.emit("log", {"what": object()})
    if config.act == "who":
        return RunOutput(text=f"{ctx.actor.name} is {ctx.actor.role}")
    if config.act == "set":
        return RunOutput(data={"set": {1}, "day": dt.date(2026, 1, 2), "nan": float("nan")})
    return {"text": "plain text", "nothing": None, "object": RunOutput(data={"a": object()})}[config.act]


class ByDay(BaseMCPConfig):
    """Needs its variable to be a date."""

    type: Literal["by_day"] = "by_day"


@executor(ByDay)
def run_by_day(config: ByDay, ctx: RunContext) -> RunOutput:
    return RunOutput(text=str(ctx.variables["day"].year))


def open_panel(settings: Settings, **changes: Any) -> MCPClient:
    registry = probe_registry()
    registry.register(run_odd)
    registry.register(run_by_day)
    return MCPClient(settings.model_copy(update=changes), registry=registry)


@pytest.fixture
def panel(settings: Settings) -> Iterator[MCPClient]:
    client = open_panel(settings, workers=2)
    yield client
    client.close(drain_seconds=0)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        ("exit", "SystemExit: 3"),
        ("stop", "KeyboardInterrupt"),
        ("cancelled", "CancelledError"),
        ("emit", "The data of the event 'log' is not JSON"),
        ("text", "returned str, allowed is RunOutput"),
        ("nothing", "returned NoneType, allowed is RunOutput"),
        ("object", "The output data of odd is not JSON"),
    ],
)
def test_an_odd_executor_ends_its_run_and_nothing_else(panel: MCPClient, act: str, words: str) -> None:
    for _ in range(3):
        run = panel.submit(Odd(act=act)).result(10)
        assert run.status is RunStatus.FAILED
        assert run.error is not None
        assert words in run.error.message
        assert stored(panel, run.id) == run
    assert panel.execute(Probe()).status is RunStatus.SUCCEEDED


def test_data_is_json_in_memory_as_in_the_history(panel: MCPClient) -> None:
    run = panel.execute(Odd(act="set"))
    assert run.output.data == {"set": [1], "day": "2026-01-02", "nan": None}
    assert stored(panel, run.id) == run


def test_an_executor_sees_who_asked(panel: MCPClient) -> None:
    run = panel.execute(Odd(act="who"), actor=Actor(id="o", name="Olga", role="operator"))
    assert run.output.text == "Olga is operator"


def test_idle_threads_are_not_waited_for_twice() -> None:
    gates = threading.Event()
    began = threading.Semaphore(0)

    def work(job: str) -> None:
        began.release()
        if job != "first":
            gates.wait(10)

    pool = WorkerPool(work, size=8, limit=20, name="burst")
    pool.put("first")
    assert began.acquire(timeout=60)
    threading.Event().wait(0.05)
    for index in range(4):
        pool.put(str(index))
    for _ in range(4):
        assert began.acquire(timeout=60)
    gates.set()
    pool.close()


def test_an_end_that_cannot_be_recorded_is_recorded_later(panel: MCPClient, monkeypatch: pytest.MonkeyPatch) -> None:
    save = panel.store.save_run
    failures = iter([True, True, False])

    def sometimes(run: Run, **options: Any) -> bool | None:
        if run.status.is_final and next(failures, False):
            raise StoreError("The disk is full.")
        return save(run, **options)

    monkeypatch.setattr(panel.store, "save_run", sometimes)
    run = panel.execute(Probe(words=["kept"]))
    assert run.status is RunStatus.SUCCEEDED
    assert panel.runs.get(run.id) == run
    until(lambda: panel._engine.get(run.id) is None)
    assert stored(panel, run.id) == run
    assert [event.kind for event in panel.runs.events(run.id)] == ["queued", "started", "finished"]
    assert panel.runs.live() == []


def test_a_queued_run_that_was_taken_away_is_not_run_twice(settings: Settings) -> None:
    with open_panel(settings, workers=1) as first, open_panel(settings, workers=1) as second, gate("a") as opened:
        busy = first.submit(Probe(act="wait", gate="a"))
        until(is_running(busy))
        queued = first.submit(Probe(words=["once"]))
        first.store.release(first._engine.owner)
        second._engine.adopt(queued.id)
        until(lambda: stored(second, queued.id).status is RunStatus.SUCCEEDED)
        threading.Event().wait(1.1)
        opened.set()
        busy.result(10)
        until(lambda: first._engine.get(queued.id) is None)
        record = stored(first, queued.id)
        assert record.owner == second._engine.owner
        assert [event.kind for event in first.store.events(queued.id)].count("finished") == 1


def test_orphans_go_on_whatever_their_number_and_variables(settings: Settings) -> None:
    doomed = open_panel(settings, workers=1)
    with gate("a"):
        until(is_running(doomed.submit(Probe(act="wait", gate="a"))))
        day = {"day": VariableSpec(type="date")}
        orphans = [doomed.submit(ByDay(variables=day), {"day": "2026-05-06"}) for _ in range(12)]
        doomed.close(drain_seconds=0)
    heir = MCPClient(settings.model_copy(update={"queue_size": 3}), registry=_registry(), adopt=True)
    try:
        until(lambda: all(stored(heir, orphan.id).status.is_final for orphan in orphans), 40)
        assert {stored(heir, orphan.id).output.text for orphan in orphans} == {"2026"}
    finally:
        heir.close(drain_seconds=0)


def _registry() -> Any:
    registry = probe_registry()
    registry.register(run_by_day)
    return registry


def test_a_dead_process_queued_run_goes_on_where_it_is_asked_for(settings: Settings) -> None:
    doomed = open_panel(settings, workers=1)
    run_id = new_id()
    with gate("a"):
        until(is_running(doomed.submit(Probe(act="wait", gate="a"))))
        doomed.submit(Probe(words=["found"]), run_id=run_id)
        doomed.close(drain_seconds=0)
    with open_panel(settings) as heir:
        assert heir.execute(Probe(words=["other"]), run_id=run_id).output.text == "found"


def test_a_wait_for_another_process_has_its_limit(settings: Settings, panel: MCPClient) -> None:
    with open_panel(settings) as other, gate("a"):
        handle = panel.submit(Probe(act="wait", gate="a"), run_id="of-another")
        with pytest.raises(RunTimeoutError, match="still going on"):
            other.submit(Probe(), run_id=handle.id).result(0.3)


def test_the_heartbeat_survives_what_it_meets(panel: MCPClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("unforeseen")

    panel.execute(Probe())
    monkeypatch.setattr(panel._engine._pulse._endings, "retry", fail)
    threading.Event().wait(0.6)
    with gate("a"):
        assert panel.execute(Probe(act="wait", gate="a", timeout=0.2)).status is RunStatus.TIMED_OUT
    monkeypatch.undo()


def test_every_callback_is_told_of_a_cancel() -> None:
    token = CancelToken()
    told: list[str] = []

    def broken() -> None:
        raise RuntimeError("the loop is closed")

    with token.on_cancel(broken), token.on_cancel(lambda: told.append("yes")):
        token.cancel()
    assert told == ["yes"]


def test_a_second_waiter_that_leaves_cancels_nothing(panel: MCPClient) -> None:
    async def scenario() -> RunStatus:
        first = asyncio.create_task(panel.aexecute(AsyncProbe(seconds=0.5), run_id="shared"))
        await asyncio.to_thread(until, lambda: bool(panel.runs.live()))
        second = asyncio.create_task(panel.aexecute(AsyncProbe(seconds=0.5), run_id="shared"))
        await asyncio.sleep(0.1)
        second.cancel()
        return (await first).status

    assert asyncio.run(scenario()) is RunStatus.SUCCEEDED


def test_a_run_cancelled_while_it_is_being_submitted_stops(panel: MCPClient) -> None:
    async def scenario() -> None:
        task = asyncio.create_task(panel.aexecute(AsyncProbe(seconds=60)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    until(lambda: not panel.runs.live())


def test_a_client_is_an_async_context_too(settings: Settings) -> None:
    async def scenario() -> str:
        async with open_panel(settings) as client:
            return (await client.aexecute(AsyncProbe())).output.text

    assert asyncio.run(scenario()) == "awaited"


def test_a_run_with_a_masked_secret_is_not_repeated_with_the_mask(settings: Settings) -> None:
    from mcp_core.security.redaction import redactor

    redactor.learn(["hunter2-hunter2"])
    with open_panel(settings) as panel:
        config = Probe(variables={"key": VariableSpec()})
        run = panel.execute(config, {"key": "hunter2-hunter2"})
        assert run.output.data == {"given": {"key": "[redacted]"}}
        with pytest.raises(ConfigurationError, match="secret, which is not kept"):
            panel.runs.repeat(run.id)


def test_nothing_sent_costs_nothing(panel: MCPClient) -> None:
    assert panel.execute(Probe()).cost_usd == 0
    assert panel.execute(Probe(act="fail")).cost_usd == 0


@pytest.mark.parametrize(
    "arguments",
    [
        {"config": None},
        {"config": []},
        {"config": 5},
        {"config": Probe},
        {"config": "no such task"},
        {"config": Path("none.yaml")},
        {"variables": "x"},
        {"variables": 5},
        {"variables": {1: 2}},
        {"actor": "bob"},
        {"run_id": "x` ![a](http://evil.example/)"},
        {"run_id": ""},
        {"run_id": "a/../b"},
        {"run_id": 7},
        {"parent_id": "nope"},
        {"retry_of": "nope"},
    ],
)
def test_a_wrong_argument_is_a_configuration_error(panel: MCPClient, arguments: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        panel.submit(**{"config": Probe(), **arguments})
    assert panel.runs.live() == []


def test_other_doors_check_their_arguments_too(panel: MCPClient, settings: Settings) -> None:
    wrong: Any = 5
    with pytest.raises(ConfigurationError):
        MCPClient(wrong)
    with pytest.raises(ConfigurationError):
        MCPClient(settings, actor=wrong)
    with pytest.raises(ConfigurationError):
        panel.runs.get(wrong)
    with pytest.raises(ConfigurationError):
        panel.runs.list(limit=-1)


def test_an_example_runs_by_its_name(panel: MCPClient) -> None:
    run = panel.execute("summarise", {"text": "x"})
    assert (run.type, run.name) == ("llm_prompt", "Summarise a text")
