"""Rates as whole runs meet them: those of whoever asks, the wait on record, and its end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_core.api.client import MCPClient
from mcp_core.models import Actor, Run, RunStatus
from mcp_core.settings import load_settings
from mcp_core.types.llm_prompt import LLMPromptConfig
from tests.api.test_engine import until
from tests.faulty import FaultyServer

pytestmark = pytest.mark.integration

ANN, BEN = Actor(id="ann", name="Ann"), Actor(id="ben", name="Ben")
TASK = LLMPromptConfig(template="{{ n }}", model="acme/m", max_retries=0, timeout=3600)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


@pytest.fixture
def panel(tmp_path: Path, server: FaultyServer) -> Iterator[MCPClient]:
    (tmp_path / "providers.toml").write_text(f'version = 1\n[providers.acme]\nbase_url = "{server.url}"\n')
    values = {"MCP_DATA_DIR": str(tmp_path), "MCP_LOCAL_MODEL": "off", "MCP_ACTOR_REQUESTS_PER_MINUTE": "1"}
    client = MCPClient(load_settings(values, directory=tmp_path))
    yield client
    client.close(drain_seconds=0)


def ask(panel: MCPClient, n: int, actor: Actor, **config: float) -> Run:
    return panel.execute(TASK.model_copy(update=config), {"n": n}, actor=actor)


def test_a_run_counts_for_whoever_asked(panel: MCPClient, server: FaultyServer) -> None:
    assert ask(panel, 1, ANN).status is RunStatus.SUCCEEDED
    refused = ask(panel, 2, ANN, timeout=40.0)
    assert refused.status is RunStatus.FAILED
    assert refused.error is not None
    assert refused.error.type == "PermissionDeniedError"
    assert "ann may use 1 requests per minute" in refused.error.message
    assert ask(panel, 2, BEN).status is RunStatus.SUCCEEDED
    assert ask(panel, 1, ANN).cache == "hit"
    assert server.calls == 2


def test_a_wait_is_on_record_with_its_reason_and_ends_when_the_run_is_cancelled(
    panel: MCPClient, server: FaultyServer
) -> None:
    ask(panel, 1, ANN)
    handle = panel.submit(TASK, {"n": 2}, actor=ANN)
    until(lambda: any(event.kind == "wait" for event in panel.runs.events(handle.id)))
    (told,) = [event.data for event in panel.runs.events(handle.id) if event.kind == "wait"]
    assert 0 < told["seconds"] <= 60
    assert told["reason"] == "ann may use 1 requests per minute"
    assert told["message"].startswith(told["reason"])
    assert panel.runs.cancel(handle.id)
    run = handle.result(60)
    assert run.status is RunStatus.CANCELLED
    assert server.calls == 1
