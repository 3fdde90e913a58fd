"""What a run cost, and what the cache did for it, also where it came to nothing."""

import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from mcp_core.api.client import MCPClient
from mcp_core.models import RunStatus
from mcp_core.settings import load_settings
from mcp_core.types.llm_prompt import LLMPromptConfig
from tests.faulty import FaultyServer, chat, hang, status

pytestmark = pytest.mark.integration

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        yield server


@pytest.fixture
def panel(tmp_path: Path, server: FaultyServer) -> Iterator[MCPClient]:
    (tmp_path / "providers.toml").write_text(
        f'version = 1\n[providers.acme]\nprotocol = "openai"\nbase_url = "{server.url}"\n'
        'prices = [{ model = "m", input_usd_per_million = 1000000, output_usd_per_million = 2000000 }]\n'
    )
    values = {"MCP_DATA_DIR": str(tmp_path), "MCP_LOCAL_MODEL": "off"}
    client = MCPClient(load_settings(values, directory=tmp_path))
    yield client
    client.close(drain_seconds=0)


def config(**fields: object) -> LLMPromptConfig:
    return LLMPromptConfig.model_validate({"template": "hi", "model": "acme/m", "max_retries": 0, **fields})


def test_an_answer_that_does_not_match_was_paid_for(panel: MCPClient, server: FaultyServer) -> None:
    server.script(chat('{"n": "many"}'), chat("no JSON at all"))
    for _ in range(2):
        run = panel.execute(config(output_schema=SCHEMA))
        assert run.status is RunStatus.FAILED
        assert run.error is not None
        assert run.error.type == "OutputMismatchError"
        assert run.cost_usd == Decimal(11 + 2 * 7)
        assert (run.usage.input_tokens, run.usage.output_tokens) == (11, 7)
        assert [attempt.status for attempt in run.attempts] == [200]
        assert run.cache == "miss"
    assert server.calls == 2


def test_a_fenced_answer_is_a_hit_the_second_time(panel: MCPClient, server: FaultyServer) -> None:
    server.script(chat('```json\n{"n": 3}\n```'))
    runs = [panel.execute(config(output_schema=SCHEMA)) for _ in range(2)]
    assert [str(run.cache) for run in runs] == ["miss", "hit"]
    assert [run.output.data for run in runs] == [{"n": 3}, {"n": 3}]
    assert runs[1].cost_usd == 0
    assert runs[1].cache.saved_usd == runs[0].cost_usd == Decimal(25)
    assert runs[1].cache.original_run_id == runs[0].id
    assert server.calls == 1


def test_samples_add_up_and_each_is_remembered(panel: MCPClient, server: FaultyServer) -> None:
    server.script(chat("one"), chat("two"), chat("three"))
    two = panel.execute(config(samples=2))
    three = panel.execute(config(samples=3))
    assert two.cost_usd == Decimal(50)
    assert three.cost_usd == Decimal(25)
    assert three.cache == "miss"
    assert [sample["text"] for sample in three.output.data["samples"]] == ["one", "two", "three"]
    assert server.calls == 3
    again = panel.execute(config(samples=3))
    assert again.cache == "hit"
    assert again.cache.saved_usd == Decimal(75)


def test_a_call_that_failed_was_a_miss(panel: MCPClient, server: FaultyServer) -> None:
    server.script(status(500))
    run = panel.execute(config())
    assert run.cache == "miss"
    assert run.cost_usd is None
    assert [attempt.status for attempt in run.attempts] == [500]
    assert panel.execute(config(cache="bypass")).cache == "bypass"


def test_only_never_asks(panel: MCPClient, server: FaultyServer) -> None:
    run = panel.execute(config(cache="only"))
    assert run.status is RunStatus.FAILED
    assert run.cache == "miss"
    assert server.calls == 0
    panel.execute(config(cache={"mode": "use", "ttl": 0.01}))
    threading.Event().wait(0.05)
    stale = panel.execute(config(cache="only"))
    assert stale.cache == "stale"
    assert stale.output.text == "hello"
    assert server.calls == 1


def test_an_unknown_price_is_unknown_and_not_zero(panel: MCPClient, server: FaultyServer) -> None:
    run = panel.execute(config(model="acme/other"))
    assert run.cost_usd is None
    assert run.as_json()["cost_usd"] is None
    assert panel.execute(config(model="acme/other")).cost_usd == 0


def test_a_miss_says_which_part_changed(panel: MCPClient) -> None:
    panel.execute(config(name="task"))
    run = panel.execute(config(name="task", temperature=1))
    assert panel.runs.changed_since_last(run.id) == ["temperature"]


def test_a_stopped_run_knows_what_it_asked(panel: MCPClient, server: FaultyServer) -> None:
    server.script(hang())
    slow = panel.execute(config(timeout=4))
    assert slow.status is RunStatus.TIMED_OUT
    assert [(attempt.status, attempt.model) for attempt in slow.attempts] == [(None, "m")]
    assert slow.cost_usd is None
    assert slow.cache == "miss"
    server.script(status(503, headers={"Retry-After": "30"}))
    waiting = panel.submit(config(name="waits", max_retries=3), stream=False)
    next(event for event in waiting.events() if event.kind == "retry")
    waiting.cancel()
    run = waiting.result(10)
    assert run.status is RunStatus.CANCELLED
    assert [attempt.status for attempt in run.attempts] == [503]
    assert "time limit of 4 s" in (slow.error.message if slow.error else "")
