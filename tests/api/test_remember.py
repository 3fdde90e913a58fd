"""`ctx.remember`: results of work that is no model call, under every policy, and what a run's record says of them."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from mcp_core.api.client import MCPClient
from mcp_core.errors import ConfigurationError
from mcp_core.models import Actor, Run, RunOutput
from mcp_core.security.redaction import redactor
from mcp_core.settings import Settings
from mcp_core.types.base import BaseMCPConfig, RunContext, executor
from mcp_core.types.registry import Registry, default_registry

pytestmark = [pytest.mark.integration, pytest.mark.cache]


class SquareConfig(BaseMCPConfig):
    """Square a number, which takes a while."""

    type: Literal["square"] = "square"
    number: int = 0
    answers: Any = None


class NewerSquareConfig(SquareConfig):
    current_version: ClassVar[int] = 2
    upgrades: ClassVar[Any] = {1: lambda raw: raw}


class Work:
    """Counts how often it is done; waits while `held` is set."""

    def __init__(self) -> None:
        self.done = 0
        self.begun = threading.Event()
        self.go = threading.Event()
        self.go.set()
        self.error: Exception | None = None

    def run(self, config: SquareConfig, ctx: RunContext) -> RunOutput:
        def square() -> Any:
            self.begun.set()
            while not self.go.is_set():
                ctx.cancel.sleep(0.01)
            self.done += 1
            if self.error is not None:
                raise self.error
            return config.answers if config.answers is not None else {"square": config.number**2, "at": (1, 2)}

        made = ctx.remember({"code": "number ** 2", "number": config.number}, square)
        return RunOutput(text=json.dumps(made), data=made)


@pytest.fixture
def work() -> Work:
    return Work()


def _registry(work: Work, config: type[SquareConfig] = SquareConfig) -> Registry:
    registry = default_registry()

    @executor(config)
    def run_square(config: SquareConfig, ctx: RunContext) -> RunOutput:
        return work.run(config, ctx)

    registry.register(run_square)
    return registry


@pytest.fixture
def panel(settings: Settings, work: Work) -> Iterator[MCPClient]:
    with MCPClient(settings, registry=_registry(work)) as client:
        yield client


def _run(panel: MCPClient, number: int = 7, mode: str = "use", **more: Any) -> Run:
    run = panel.execute({"type": "square", "number": number, "name": "Square", "cache": {"mode": mode}, **more})
    return panel.runs.get(run.id)


def test_a_result_is_made_once(panel: MCPClient, work: Work) -> None:
    first, second = _run(panel), _run(panel)
    assert (first.output.data, str(first.cache), work.done) == ({"square": 49, "at": [1, 2]}, "miss", 1)
    assert (second.output.data, str(second.cache)) == (first.output.data, "hit")
    assert second.cache.original_run_id == first.id
    assert second.cache.key == first.cache.key
    assert second.cache.parts == first.cache.parts
    assert set(first.cache.parts) == {"code", "number", "(type)", "(version)", "(tenant)"}
    assert second.cache.saved_seconds is not None
    assert second.cache.age_seconds is not None
    assert first.cost_usd == second.cost_usd == 0
    assert not first.attempts
    assert str(_run(panel, 8).cache) == "miss"
    (item, _) = panel.cache.find(order="oldest")
    assert {name: label for name, label in item.labels.items() if label} == {"type": "square", "task": "Square"}
    assert (item.hits, item.run_id) == (1, first.id)
    entry = panel.cache.show(item.key)[1]
    assert entry is not None
    assert entry.parts()["number"] == "7"
    kinds = [event.data["outcome"] for event in panel.runs.events(second.id) if event.kind == "cache"]
    assert kinds == ["hit"]


def test_policies_are_kept_to(panel: MCPClient, work: Work) -> None:
    outcomes = [str(_run(panel, mode=mode).cache) for mode in ("bypass", "use", "use", "refresh", "bypass", "only")]
    assert outcomes == ["bypass", "miss", "hit", "miss", "bypass", "hit"]
    assert work.done == 4
    failed = _run(panel, 99, mode="only")
    assert failed.status == "failed"
    assert failed.error is not None
    assert "may not work it out anew" in failed.error.message
    assert work.done == 4


def test_an_outdated_result_serves_only_where_nothing_else_may(panel: MCPClient, work: Work) -> None:
    _run(panel, cache={"ttl": 0.001})
    until = time.monotonic() + 30
    while panel.cache.find()[0].is_fresh():
        assert time.monotonic() < until
        time.sleep(0.01)
    stale = _run(panel, mode="only")
    assert (str(stale.cache), stale.output.data["square"], work.done) == ("stale", 49, 1)
    assert str(_run(panel).cache) == "miss"
    assert work.done == 2


def test_teams_types_and_versions_are_apart(panel: MCPClient, settings: Settings, work: Work) -> None:
    config = {"type": "square", "number": 7}
    assert panel.execute(config, actor=Actor(team="red")).cache == "miss"
    assert panel.execute(config, actor=Actor(team="blue")).cache == "miss"
    assert panel.execute(config, actor=Actor(team="red")).cache == "hit"
    with MCPClient(settings, registry=_registry(work, NewerSquareConfig)) as newer:
        assert newer.execute({**config, "schema_version": 2}, actor=Actor(team="red")).cache == "miss"
    assert work.done == 3


def test_equal_work_at_once_is_done_once(panel: MCPClient, work: Work) -> None:
    work.go.clear()
    handles = [panel.submit({"type": "square", "number": 5}) for _ in range(4)]
    assert work.begun.wait(60)
    work.go.set()
    runs = [handle.result() for handle in handles]
    assert sorted(str(run.cache) for run in runs) == ["hit", "hit", "hit", "miss"]
    assert {run.output.data["square"] for run in runs} == {25}
    assert work.done == 1


def test_whoever_waits_can_be_cancelled_and_the_work_goes_on(panel: MCPClient, work: Work) -> None:
    work.go.clear()
    first = panel.submit({"type": "square", "number": 5})
    assert work.begun.wait(60)
    second = panel.submit({"type": "square", "number": 5})
    until = time.monotonic() + 60
    while panel.runs.get(second.id).status != "running":
        assert time.monotonic() < until
        time.sleep(0.01)
    panel.runs.cancel(second.id)
    assert second.result().status == "cancelled"
    work.go.set()
    assert (first.result().status, work.done) == ("succeeded", 1)


def test_what_fails_is_not_remembered(panel: MCPClient, work: Work) -> None:
    work.error = ValueError("no")
    assert _run(panel).status == "failed"
    work.error = None
    assert str(_run(panel).cache) == "miss"
    assert panel.cache.size().entries == 1


@pytest.mark.parametrize("wrong", [float("nan"), {1, 2}], ids=["not a number", "a set"])
def test_what_is_not_json_says_so(settings: Settings, work: Work, wrong: Any) -> None:
    class Odd(BaseMCPConfig):
        type: Literal["odd"] = "odd"

    @executor(Odd)
    def run_odd(_config: Odd, ctx: RunContext) -> RunOutput:
        return RunOutput(data=ctx.remember({"a": 1}, lambda: wrong))

    registry = default_registry()
    registry.register(run_odd)
    with MCPClient(settings, registry=registry) as panel:
        run = panel.execute({"type": "odd"})
        assert run.status == "failed"
        assert run.error is not None
        assert "cannot be remembered" in run.error.message
        assert panel.cache.size().entries == 0


def test_a_secret_does_not_reach_the_cache(panel: MCPClient, settings: Settings) -> None:
    redactor.learn(["hunter2-hunter2"])
    _run(panel, answers={"key": "hunter2-hunter2"})
    item = panel.cache.find()[0]
    entry = panel.cache.show(item.key)[1]
    assert entry is not None
    assert b"hunter2" not in entry.body
    assert _run(panel).output.data == {"key": "[redacted]"}


def test_a_damaged_result_is_made_again(panel: MCPClient, work: Work) -> None:
    _run(panel)
    item = panel.cache.find()[0]
    entry = panel.cache.show(item.key)[1]
    assert entry is not None
    panel._cache.set(replace(entry, body=b"{ no JSON"))
    again = _run(panel)
    assert (str(again.cache), again.output.data["square"], work.done) == ("miss", 49, 2)
    assert str(_run(panel).cache) == "hit"


def test_two_results_make_one_outcome(settings: Settings) -> None:
    class Pair(BaseMCPConfig):
        type: Literal["pair"] = "pair"
        numbers: tuple[int, ...] = ()

    @executor(Pair)
    def run_pair(config: Pair, ctx: RunContext) -> RunOutput:
        return RunOutput(data=[ctx.remember({"number": n}, lambda n=n: n * 2) for n in config.numbers])  # type: ignore[misc]

    registry = default_registry()
    registry.register(run_pair)
    with MCPClient(settings, registry=registry) as panel:
        pairs = ((1, 2), (1, 3), (1, 2))
        outcomes = [str(panel.execute({"type": "pair", "numbers": numbers}).cache) for numbers in pairs]
        assert outcomes == ["miss", "miss", "hit"]


def test_without_a_panel_work_is_just_done(tmp_path: Path) -> None:
    context = RunContext(run_id="", actor=Actor(), variables={}, llm=None, cancel=None, emit=None, save_artifact=None)  # type: ignore[arg-type]
    assert context.remember({"a": tmp_path.name}, lambda: 3) == 3


@pytest.mark.parametrize("ttl", [0, -1, float("inf"), float("nan"), 1e15, "60"])
def test_a_time_to_live_that_is_none_is_refused_and_the_cache_goes_on(panel: MCPClient, ttl: Any) -> None:
    with pytest.raises(ConfigurationError, match="ttl"):
        panel.cache.remember("resource", {"name": "a"}, lambda: 1, ttl=ttl)
    assert panel.cache.remember("resource", {"name": "a"}, lambda: 1, ttl=60) == 1
    assert panel.cache.size().entries == 1
