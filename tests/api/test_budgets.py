"""Budgets around runs: no cap is passed, whatever a run does, and nothing stays reserved when it has ended."""

import json
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest

from mcp_core.api import guard
from mcp_core.api.client import MCPClient
from mcp_core.errors import ConfigurationError, PermissionDeniedError, ResourceLimitError
from mcp_core.models import Actor, Run, RunOutput, RunStatus
from mcp_core.store.budget_shapes import Budget
from mcp_core.store.budgets import Budgets
from mcp_core.types.base import BaseMCPConfig, RunContext, executor
from mcp_core.types.llm_prompt import LLMPromptConfig
from tests.faults.conftest import Place, a_place, until
from tests.faulty import Answer, Connection, FaultyServer, chat, hang, status, stream

pytestmark = pytest.mark.integration

# An answer is of 7 tokens, so it costs 7 cents with `m` and 70 with `dear`; `free` has no price.
PRICES = """
prices = [
  { model = "m", input_usd_per_million = 0, output_usd_per_million = 10000 },
  { model = "dear", input_usd_per_million = 0, output_usd_per_million = 100000 },
]
"""

RUNS = """
import json, sys
from mcp_core.api.client import MCPClient
from mcp_core.errors import PermissionDeniedError
from mcp_core.types.llm_prompt import LLMPromptConfig

with MCPClient() as panel:
    print("ready", flush=True)
    sys.stdin.readline()
    handles = []
    for n in range(25):
        task = LLMPromptConfig(template=sys.argv[1] + str(n), model="bench/m", max_tokens=7, max_retries=0)
        try:
            handles.append(panel.submit(task, stream=False))
        except PermissionDeniedError:
            pass
    print(json.dumps([handle.result(120).status for handle in handles]), flush=True)
"""


class Held:
    """An answer that comes when it is let go; says when it has been asked for."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked = threading.Event()
        self.go = threading.Event()

    def __call__(self, connection: Connection) -> None:
        self.asked.set()
        while not self.go.is_set() and not connection.wait(0.01):
            pass
        self._answer(connection)


class Asking(BaseMCPConfig):
    """Asks as often as it is told; nobody knows beforehand."""

    type: Literal["asking"] = "asking"
    times: int = 1
    at_once: bool = False


@executor(Asking)
def run_asking(config: Asking, ctx: RunContext) -> RunOutput:
    def ask(n: int) -> str:
        return ctx.llm.complete(prompt=f"question {n}", model="bench/m", max_tokens=7).text

    if config.at_once:
        with ThreadPoolExecutor(config.times) as pool:
            return RunOutput(text=" ".join(pool.map(ask, range(config.times))))
    return RunOutput(text=" ".join(map(ask, range(config.times))))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with a_place(tmp_path) as made:
        file = made.data / "providers.toml"
        file.write_text(file.read_text().replace('models = ["m"]', 'models = ["m", "dear", "free"]') + PRICES)
        yield made


@pytest.fixture
def panel(place: Place) -> MCPClient:
    return place.open()


@pytest.fixture
def server(place: Place) -> FaultyServer:
    return place.server


def task(**fields: Any) -> LLMPromptConfig:
    values = {"template": "hi", "name": "Greet", "model": "bench/m", "max_tokens": 7, "max_retries": 0}
    return LLMPromptConfig.model_validate({**values, **fields})


def only(panel: MCPClient) -> Budget:
    (budget,) = panel.budgets.list()
    return budget


def money_of(panel: MCPClient) -> list[str]:
    """Dollars spent and reserved, of the one budget."""
    return [str(only(panel).spent_usd), str(only(panel).reserved_usd)]


def test_fifty_at_once_never_pass_a_dollar(panel: MCPClient, server: FaultyServer) -> None:
    panel.budgets.set("actor", "local", "month", "1")
    start = threading.Barrier(50)

    def run(number: int) -> RunStatus | None:
        start.wait(60)
        try:
            return panel.execute(task(template=f"question {number}")).status
        except PermissionDeniedError:
            return None

    with ThreadPoolExecutor(50) as pool:
        ended = list(pool.map(run, range(50)))
    assert ended.count(RunStatus.SUCCEEDED) == server.calls == 14
    assert money_of(panel) == ["0.98", "0"]
    refused = [run for run in panel.runs.iterate() if run.status is RunStatus.FAILED]
    assert len(refused) == 36
    assert {run.error.type for run in refused if run.error} == {"PermissionDeniedError"}
    assert {run.cost_usd for run in refused} == {Decimal(0)}


def test_two_processes_never_pass_a_dollar(panel: MCPClient, place: Place) -> None:
    panel.budgets.set("team", "default", "month", "1")
    children = [place.start(RUNS.replace("sys.argv[1]", repr(name))) for name in ("a", "b")]
    for child in children:
        assert heard(child) == "ready"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    ended = [word for child in children for word in json.loads(heard(child))]
    assert ended == ["succeeded"] * 14
    assert place.server.calls == 14
    assert money_of(panel) == ["0.98", "0"]


def heard(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        process.kill()
        raise AssertionError(process.communicate()[1])
    return line


def test_a_refusal_names_the_budget_what_is_left_and_when_it_resets(panel: MCPClient, server: FaultyServer) -> None:
    panel.budgets.set("task", "Greet", "month", "0.1")
    panel.execute(task())
    with pytest.raises(PermissionDeniedError) as caught:
        panel.execute(task(template="again"), run_id="refused")
    assert caught.value.message == (
        "The budget of the task Greet, $0.10 a month, has $0.03 left; this may cost up to $0.07 more."
    )
    assert f"resets at {only(panel).resets_at:%Y-%m-%d} 00:00:00 UTC" in caught.value.hint
    run = panel.runs.get("refused")
    assert run.status is RunStatus.FAILED
    assert run.error is not None
    assert run.error.message == caught.value.message
    assert panel.execute(task(name="Other", template="again")).status is RunStatus.SUCCEEDED
    assert server.calls == 2


def test_what_is_shown_while_a_run_goes_on_is_what_it_may_cost(panel: MCPClient, server: FaultyServer) -> None:
    panel.budgets.set("actor", "local", "month", 1)
    server.default = held = Held(chat())
    handle = panel.submit(task(max_tokens=50))
    assert held.asked.wait(60)
    assert money_of(panel) == ["0", "0.5"]
    held.go.set()
    assert handle.result(60).cost_usd == Decimal("0.07")
    assert money_of(panel) == ["0.07", "0"]


def test_hits_are_free_even_where_nothing_is_left(panel: MCPClient, server: FaultyServer) -> None:
    panel.budgets.set("actor", "local", "month", "0.07")
    for _ in range(3):
        assert panel.execute(task()).status is RunStatus.SUCCEEDED
    assert server.calls == 1
    assert money_of(panel) == ["0.07", "0"]
    with pytest.raises(PermissionDeniedError):
        panel.execute(task(cache="refresh"))


def test_a_hit_that_turns_into_a_call_is_paid_for_before_the_wire(panel: MCPClient, place: Place) -> None:
    one = place.open(MCP_WORKERS="1")
    one.budgets.set("actor", "local", "month", "0.3")
    one.execute(task())
    seen: list[list[str]] = []
    place.server.default = held = Held(chat())
    first = one.submit(task(template="holds the only worker"))
    assert held.asked.wait(60)
    expected_hits = [one.submit(task()), one.submit(task())]
    assert money_of(one) == ["0.07", "0.07"], "what the cache is going to answer holds nothing"
    one.cache.clear()

    def look(connection: Connection) -> None:
        seen.append(money_of(one))
        chat()(connection)

    place.server.default = look
    held.go.set()
    assert first.result(60).status is RunStatus.SUCCEEDED
    assert [handle.result(60).cache.outcome for handle in expected_hits] == ["miss", "hit"]
    assert seen == [["0.14", "0.07"]]
    assert money_of(one) == ["0.21", "0"]


def test_a_call_nobody_foresaw_is_refused_before_the_wire(panel: MCPClient, server: FaultyServer) -> None:
    panel.registry.register(run_asking)
    panel.budgets.set("actor", "local", "month", "0.2")
    run = panel.execute(Asking(times=3))
    assert run.status is RunStatus.FAILED
    assert run.error is not None
    assert run.error.type == "PermissionDeniedError"
    assert run.cost_usd == Decimal("0.14")
    assert server.calls == 2
    assert money_of(panel) == ["0.14", "0"]


def test_calls_of_one_run_at_the_same_time_count_together(panel: MCPClient, server: FaultyServer) -> None:
    panel.registry.register(run_asking)
    panel.budgets.set("actor", "local", "month", "0.2")
    run = panel.execute(Asking(times=6, at_once=True))
    assert run.status is RunStatus.FAILED
    assert server.calls <= 2
    assert only(panel).spent_usd <= Decimal("0.14")
    assert only(panel).reserved_usd == 0


def test_a_fallback_that_costs_more_is_paid_for_first_or_refused(panel: MCPClient, server: FaultyServer) -> None:
    panel.budgets.set("actor", "local", "month", 1)
    server.script(status(500), chat(), status(500))
    dear = task(fallbacks=["bench/dear"])
    assert panel.execute(dear).cost_usd == Decimal("0.7")
    assert money_of(panel) == ["0.7", "0"]
    run = panel.execute(dear.model_copy(update={"template": "again"}))
    assert run.status is RunStatus.FAILED
    assert run.error is not None
    assert run.error.type == "PermissionDeniedError"
    assert [attempt.status for attempt in run.attempts] == [500]
    assert server.calls == 3
    assert money_of(panel) == ["0.7", "0"]


def test_who_waits_for_an_equal_call_is_not_refused_with_the_one_that_makes_it(
    panel: MCPClient, server: FaultyServer
) -> None:
    panel.registry.register(run_asking)
    panel.budgets.set("actor", "poor", "month", 0)
    start = threading.Barrier(8)

    def run(number: int) -> Run:
        start.wait(60)
        return panel.execute(Asking(), actor=Actor(id="poor" if number % 2 else "rich"))

    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(run, range(8)))
    assert {run.status for run in runs if run.actor_id == "rich"} == {RunStatus.SUCCEEDED}
    assert server.calls == 1


def test_a_model_of_unknown_price_is_counted_as_such(panel: MCPClient) -> None:
    panel.budgets.set("actor", "local", "month", 0)
    assert panel.execute(task(model="bench/free")).cost_usd is None
    assert only(panel).unpriced_runs == 1
    assert money_of(panel) == ["0", "0"]


def test_samples_are_reserved_together(panel: MCPClient, server: FaultyServer) -> None:
    panel.budgets.set("actor", "local", "month", "0.2")
    with pytest.raises(PermissionDeniedError, match=r"up to \$0\.21"):
        panel.execute(task(samples=3))
    assert panel.execute(task(samples=2)).cost_usd == Decimal("0.14")


@pytest.mark.parametrize("answer", [status(400), chat("no JSON")], ids=["failed", "mismatch"])
def test_nothing_stays_reserved_of_a_run_that_fails(panel: MCPClient, server: FaultyServer, answer: Answer) -> None:
    panel.budgets.set("actor", "local", "month", 1)
    server.default = answer
    run = panel.execute(task(output_schema={"type": "object"}))
    assert run.status is RunStatus.FAILED
    assert money_of(panel) == [str(run.cost_usd or 0), "0"]


def test_nothing_stays_reserved_of_runs_that_are_cancelled(place: Place) -> None:
    one = place.open(MCP_WORKERS="1")
    one.budgets.set("actor", "local", "month", 1)
    place.server.default = hang()
    running, queued = one.submit(task()), one.submit(task(template="later"))
    until(lambda: place.server.calls == 1, 60)
    assert money_of(one) == ["0", "0.14"]
    queued.cancel()
    running.cancel()
    assert {handle.result(60).status for handle in (running, queued)} == {RunStatus.CANCELLED}
    assert money_of(one) == ["0", "0"]


def test_an_answer_that_is_stopped_midway_counts_as_what_had_come_of_it(panel: MCPClient, server: FaultyServer) -> None:
    panel.budgets.set("actor", "local", "month", 1)
    server.default = stream("eight by", "tes and 16 more ", seconds=60)
    handle = panel.submit(task(max_tokens=50))
    until(lambda: any(event.kind == "token" for event in panel.runs.events(handle.id)), 60)
    handle.cancel()
    run = handle.result(60)
    assert (run.status, run.cost_usd) == (RunStatus.CANCELLED, None)
    assert run.output.text == "eight by"
    assert money_of(panel) == ["0.02", "0"], "two tokens at a cent"


def test_answers_that_broke_off_count_as_what_had_come_of_them(panel: MCPClient, server: FaultyServer) -> None:
    panel.budgets.set("actor", "local", "month", 1)
    broken = stream("eight by", "tes and 16 more ", finish_reason=None, done=False, reset_after=True)
    server.script(broken, broken)
    run = panel.submit(task(max_tokens=50, max_retries=1)).result(60)
    assert run.status is RunStatus.FAILED
    assert len(run.attempts) == 2
    assert money_of(panel) == ["0.12", "0"], "six tokens at a cent, twice"
    server.script(broken)
    again = panel.submit(task(template="again", max_tokens=50, max_retries=1)).result(60)
    assert again.status is RunStatus.SUCCEEDED
    assert money_of(panel) == ["0.25", "0"], "and once more, beside an answer of seven"


def test_nothing_stays_reserved_of_a_run_that_finds_the_queue_full(place: Place) -> None:
    one = place.open(MCP_WORKERS="1", MCP_QUEUE_SIZE="1")
    one.budgets.set("actor", "local", "month", 1)
    place.server.default = held = Held(chat())
    handles = [one.submit(task())]
    assert held.asked.wait(60)
    handles.append(one.submit(task(template="queued")))
    with pytest.raises(ResourceLimitError):
        one.submit(task(template="one too many"))
    assert money_of(one) == ["0", "0.14"]
    held.go.set()
    for handle in handles:
        handle.result(60)
    assert money_of(one) == ["0.14", "0"]


def test_an_id_that_is_taken_reserves_nothing_twice(panel: MCPClient) -> None:
    panel.budgets.set("actor", "local", "month", 1)
    for _ in range(2):
        panel.submit(task(), run_id="mine").result(60)
    assert money_of(panel) == ["0.07", "0"]


def test_a_run_that_another_process_took_for_dead_keeps_nothing(panel: MCPClient, server: FaultyServer) -> None:
    panel.budgets.set("actor", "local", "month", 1)
    server.default = held = Held(chat())
    handle = panel.submit(task())
    assert held.asked.wait(60)
    assert [run.id for run in panel.store.interrupt_lapsed(older_than_seconds=-1)] == [handle.id]
    assert money_of(panel) == ["0", "0"]
    held.go.set()
    assert handle.result(60).status is RunStatus.INTERRUPTED
    assert money_of(panel) == ["0", "0"]


def test_another_process_hears_of_a_budget(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "RULES_SECONDS", 0.0)
    here, there = place.open(), place.open()
    here.budgets.set("actor", "local", "month", 0)
    with pytest.raises(PermissionDeniedError):
        there.execute(task())
    here.budgets.delete("actor", "local", "month")
    assert there.execute(task()).status is RunStatus.SUCCEEDED


def test_without_a_budget_nobody_is_asked_about_one(
    place: Place, monkeypatch: pytest.MonkeyPatch, server: FaultyServer
) -> None:
    monkeypatch.setattr(guard, "RULES_SECONDS", 3600.0)
    panel = place.open()
    for name in ("rules", "states", "reserve", "release"):
        monkeypatch.setattr(Budgets, name, None)
    assert [str(panel.execute(task()).cache) for _ in range(2)] == ["miss", "hit"]


def test_only_an_admin_sets_budgets(panel: MCPClient) -> None:
    editor = Actor(id="eve", name="Eve", role="editor")
    for change in (
        lambda: panel.budgets.set("actor", "eve", "day", 1000, actor=editor),
        lambda: panel.budgets.delete("actor", "eve", "day", actor=editor),
    ):
        with pytest.raises(PermissionDeniedError, match="Eve is editor and may not set budgets"):
            change()
    assert panel.budgets.list() == []


@pytest.mark.parametrize(
    ("values", "field"),
    [
        (("person", "ann", "day", 1), "scope"),
        (("actor", " ", "day", 1), "name"),
        (("actor", "ann", "week", 1), "period"),
        (("actor", "ann", "day", "much"), "limit_usd"),
        (("actor", "ann", "day", "nan"), "limit_usd"),
        (("actor", "ann", "day", "-1"), "limit_usd"),
    ],
)
def test_what_is_no_budget_is_refused(panel: MCPClient, values: Any, field: str) -> None:
    with pytest.raises(ConfigurationError, match=field) as caught:
        panel.budgets.set(*values)
    assert caught.value.field == field


def test_a_budget_that_is_not_there_is_named(panel: MCPClient) -> None:
    assert panel.budgets.delete("actor", "ann", "day") is False
    with pytest.raises(ConfigurationError, match="no daily budget for the actor 'ann'"):
        panel.budgets.get("actor", "ann", "day")


def test_the_budgets_of_a_run_come_with_the_tightest_first(panel: MCPClient) -> None:
    panel.budgets.set("actor", "local", "month", 5)
    panel.budgets.set("team", "default", "day", 2)
    panel.budgets.set("team", "other", "day", 1)
    run = panel.execute(task())
    assert [budget.scope for budget in panel.budgets.of_run(run)] == ["team", "actor"]


def test_what_the_first_run_of_a_process_holds_is_not_taken_for_a_dead_ones(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = place.open()
    admin.budgets.set("actor", "local", "month", 1)
    fresh = place.open()
    given_back: list[str] = []
    real = Budgets.reserve

    def reserve(self: Budgets, *asked: Any) -> Any:
        short = real(self, *asked)
        given_back.extend(admin.store.budgets.release_orphans(3600))
        return short

    monkeypatch.setattr(Budgets, "reserve", reserve)
    assert fresh.submit(task()).result(60).status is RunStatus.SUCCEEDED
    assert given_back == []
    assert money_of(admin) == ["0.07", "0"]


def test_who_comes_second_with_an_id_gives_nothing_back_of_the_first(
    panel: MCPClient, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel.budgets.set("actor", "local", "month", 1)
    server.default = held = Held(chat())
    saving, go_on = threading.Event(), threading.Event()
    save, reserve = panel.store.save_run, Budgets.reserve
    first = threading.Thread(target=lambda: panel.submit(task(), run_id="mine"))

    def save_late(run: Run, **options: Any) -> bool | None:
        if threading.current_thread() is first:
            saving.set()
            assert go_on.wait(60)
        return save(run, **options)

    def reserve_and_be_overtaken(self: Budgets, *asked: Any) -> Any:
        short = reserve(self, *asked)
        if threading.current_thread() is threading.main_thread():
            first.start()
            assert saving.wait(60)
        return short

    monkeypatch.setattr(panel.store, "save_run", save_late)
    monkeypatch.setattr(Budgets, "reserve", reserve_and_be_overtaken)
    second = panel.submit(task(), run_id="mine")
    assert not second.started
    go_on.set()
    assert held.asked.wait(60)
    assert money_of(panel) == ["0", "0.07"]
    held.go.set()
    assert second.result(60).status is RunStatus.SUCCEEDED
    assert money_of(panel) == ["0.07", "0"]
    first.join(60)
