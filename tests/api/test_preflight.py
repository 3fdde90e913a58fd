"""Looking ahead: what a run would take is told as it then is, and looking changes nothing."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mcp_core.api.client import MCPClient
from mcp_core.cache.sqlite import SQLiteCache
from mcp_core.errors import ConfigurationError, PermissionDeniedError
from mcp_core.models import Actor, CacheOutcome, RunStatus, Usage
from mcp_core.settings import load_settings
from mcp_core.types.llm_prompt import LLMPromptConfig
from tests.api.probes import Probe, probe_registry
from tests.faulty import FaultyServer, chat
from tests.made_runs import made_run, seed

pytestmark = pytest.mark.integration

PRICES = 'prices = [{ model = "m", input_usd_per_million = 1000, output_usd_per_million = 10000 }]'


@pytest.fixture
def server() -> Any:
    with FaultyServer() as server:
        yield server


@pytest.fixture
def panel(tmp_path: Path, server: FaultyServer) -> Any:
    (tmp_path / "providers.toml").write_text(
        f'version = 1\n[providers.acme]\nbase_url = "{server.url}"\n{PRICES}\n'
        f'[providers.locked]\nbase_url = "{server.url}"\napi_key_env = "NOBODY_SET_THIS"\n'
    )
    values = {"MCP_DATA_DIR": str(tmp_path), "MCP_LOCAL_MODEL": "off"}
    client = MCPClient(load_settings(values, directory=tmp_path), registry=probe_registry())
    yield client
    client.close(drain_seconds=0)


def task(**fields: Any) -> LLMPromptConfig:
    values = {"template": "Greet {{ who }}", "name": "Greet", "model": "acme/m", "max_tokens": 100, "max_retries": 0}
    return LLMPromptConfig.model_validate({**values, **fields})


def test_a_first_run_is_bounded_by_what_the_task_allows(panel: MCPClient, server: FaultyServer) -> None:
    look = panel.preflight(task(), {"who": "x" * 394})
    assert (look.model, look.calls, look.cache) == ("acme/m", 1, "miss")
    assert (look.input_tokens, look.output_tokens, look.most_output_tokens, look.bounded) == (100, 100, 100, True)
    assert look.cost_usd == Decimal("0.1") + Decimal("1.0")
    assert look.most_cost_usd is not None
    assert Decimal("1.4") < look.most_cost_usd < Decimal("1.7"), "a token for every byte that is sent"
    assert (look.expected_seconds, look.p95_seconds, look.like_runs) == (None, None, 0)
    assert look.budget is None
    assert look.refusal is None
    assert server.calls == 0
    assert panel.runs.count() == 0


def test_like_runs_tell_how_long_and_how_much(panel: MCPClient) -> None:
    made = [made_run(seconds=n, usage=Usage(input_tokens=1, output_tokens=n)) for n in range(1, 41)]
    other = [
        made_run(seconds=1000, name="Another"),
        made_run(seconds=1000, model="acme/n"),
        made_run(seconds=1000, status=RunStatus.FAILED),
        made_run(seconds=1000, cache=CacheOutcome(outcome="hit", key="k")),
    ]
    seed(panel.store, made + other)
    look = panel.preflight(task(), {"who": "you"})
    assert look.like_runs == 40
    assert look.expected_seconds == pytest.approx(20.5)
    assert look.p95_seconds == pytest.approx(38)
    assert look.output_tokens == 20
    assert panel.preflight(task(max_tokens=5), {"who": "you"}).output_tokens == 5


def test_what_the_cache_has_costs_nothing(panel: MCPClient, server: FaultyServer) -> None:
    panel.execute(task(), {"who": "you"})
    look = panel.preflight(task(), {"who": "you"})
    assert look.cache == "hit"
    assert look.cost_usd == look.most_cost_usd == Decimal(0)
    assert look.cache_age_seconds is not None
    assert panel.preflight(task(), {"who": "me"}).cache == "miss"
    assert panel.preflight(task(samples=2), {"who": "you"}).cache == "miss"
    assert panel.preflight(task(cache="refresh"), {"who": "you"}).cache == "bypass"
    assert panel.preflight(task(cache="bypass"), {"who": "you"}).cache == "bypass"
    assert server.calls == 1
    assert panel.cache.stats()["hits"] == 0


def test_a_look_is_no_use_of_what_is_remembered(panel: MCPClient, monkeypatch: pytest.MonkeyPatch) -> None:
    panel.execute(task(), {"who": "you"})

    def used(*_: object) -> None:
        raise AssertionError("it counts as used, and is evicted later than it should be")

    for name in ("get", "touch"):
        monkeypatch.setattr(SQLiteCache, name, used)
    assert panel.preflight(task(), {"who": "you"}).cache == "hit"


def test_the_run_costs_what_it_said_at_most(panel: MCPClient, server: FaultyServer) -> None:
    server.default = chat(usage={"prompt_tokens": 30, "completion_tokens": 100})
    look = panel.preflight(task(samples=2), {"who": "you"})
    run = panel.execute(task(samples=2), {"who": "you"})
    assert run.cost_usd is not None
    assert look.most_cost_usd is not None
    assert run.cost_usd <= look.most_cost_usd
    assert look.calls == 2


def test_the_tightest_budget_says_what_the_run_itself_would_be_told(panel: MCPClient) -> None:
    panel.budgets.set("actor", "local", "month", 5)
    panel.budgets.set("team", "default", "month", 1)
    fits = panel.preflight(task(max_tokens=10), {"who": "you"})
    assert fits.refusal is None
    assert fits.budget is not None
    assert fits.budget.scope == "team"
    assert fits.budget.left_usd == Decimal(1)
    look = panel.preflight(task(), {"who": "you"})
    assert look.refusal is not None
    with pytest.raises(PermissionDeniedError) as caught:
        panel.execute(task(), {"who": "you"})
    assert (look.refusal.message, look.refusal.hint) == (caught.value.message, caught.value.hint)
    assert [str(budget.reserved_usd) for budget in panel.budgets.list()] == ["0", "0"]


def test_who_may_not_run_is_told_so(panel: MCPClient) -> None:
    look = panel.preflight(task(), {"who": "you"}, actor=Actor(id="vic", name="Vic", role="viewer"))
    assert look.refusal is not None
    assert "Vic is viewer" in look.refusal.message


def test_an_unknown_price_is_no_price(panel: MCPClient) -> None:
    panel.budgets.set("actor", "local", "month", 0)
    look = panel.preflight(task(model="acme/unpriced"), {"who": "you"})
    assert (look.cost_usd, look.most_cost_usd, look.refusal) == (None, None, None)
    assert look.as_json()["cost_usd"] is None


@pytest.mark.parametrize(
    ("model", "message"), [("nobody/m", "no provider 'nobody'"), ("locked/m", "key of locked is missing")]
)
def test_what_would_fail_at_once_is_told(panel: MCPClient, model: str, message: str) -> None:
    look = panel.preflight(task(model=model), {"who": "you"})
    assert look.refusal is not None
    assert message in look.refusal.message
    assert look.cost_usd is None


def test_a_task_that_may_only_replay_is_told_what_is_missing(panel: MCPClient) -> None:
    look = panel.preflight(task(cache="only"), {"who": "you"})
    assert look.refusal is not None
    assert "cache has no answer" in look.refusal.message
    panel.execute(task(), {"who": "you"})
    assert panel.preflight(task(cache="only"), {"who": "you"}).refusal is None


def test_a_type_that_does_not_know_its_calls_says_so(panel: MCPClient) -> None:
    look = panel.preflight(Probe())
    assert (look.model, look.calls, look.cost_usd, look.cache) == (None, None, None, "unknown")
    assert look.refusal is None


def test_a_missing_variable_is_an_error(panel: MCPClient) -> None:
    with pytest.raises(ConfigurationError, match="who"):
        panel.preflight(task())


def test_it_is_json(panel: MCPClient) -> None:
    panel.budgets.set("actor", "local", "day", "0.5")
    data = panel.preflight(task(), {"who": "x" * 394}).as_json()
    assert data["cost_usd"] == "1.1"
    assert data["budget"]["limit_usd"] == "0.5"
    assert data["refusal"]["type"] == "PermissionDeniedError"
