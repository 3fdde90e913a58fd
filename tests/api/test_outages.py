"""Outages an admin simulates: seen by every process on the history, felt as a server that refuses connections."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mcp_core.api.client import MCPClient
from mcp_core.errors import ConfigurationError, PermissionDeniedError, StoreError
from mcp_core.models import Actor, Outage, Run, RunStatus, utcnow
from mcp_core.providers.outages import SimulatedOutages
from mcp_core.settings import load_settings
from mcp_core.types.base import CacheConfig
from mcp_core.types.llm_prompt import LLMPromptConfig
from tests.faulty import FaultyServer, status

pytestmark = pytest.mark.integration

ACME = LLMPromptConfig(template="{{ n }}", model="acme/m", max_retries=0)
WITH_FALLBACK = LLMPromptConfig(template="{{ n }}", model="acme/m", fallbacks=("spare/m",), max_retries=0)


@pytest.fixture
def servers() -> Iterator[tuple[FaultyServer, FaultyServer]]:
    with FaultyServer() as acme, FaultyServer() as spare:
        yield acme, spare


@pytest.fixture
def panel(tmp_path: Path, servers: tuple[FaultyServer, FaultyServer]) -> Iterator[MCPClient]:
    with opened(tmp_path, servers) as client:
        yield client


def opened(directory: Path, servers: tuple[FaultyServer, FaultyServer]) -> MCPClient:
    acme, spare = servers
    (directory / "providers.toml").write_text(
        f'version = 1\n[providers.acme]\nbase_url = "{acme.url}"\nbreaker_failures = 2\nbreaker_seconds = 3600\n'
        f'[providers.spare]\nbase_url = "{spare.url}"\n'
    )
    values = {"MCP_DATA_DIR": str(directory), "MCP_LOCAL_MODEL": "off"}
    return MCPClient(load_settings(values, directory=directory))


def ask(panel: MCPClient, n: object, config: LLMPromptConfig = ACME) -> Run:
    return panel.execute(config, {"n": str(n)})


def state(panel: MCPClient) -> str:
    return next(info.state for info in panel.providers.list() if info.name == "acme")


def test_a_call_fails_as_at_a_server_that_refuses_connections(
    panel: MCPClient, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    panel.health.simulate_outage("acme", minutes=5)
    simulated = ask(panel, 1)
    assert panel.health.end_outage("acme")
    servers[0].close()
    real = ask(panel, 2)
    for run in (simulated, real):
        assert run.status is RunStatus.FAILED
        assert run.error is not None
        assert run.error.type == "APIError"
    assert simulated.error == real.error
    assert [attempt.error for attempt in simulated.attempts] == [attempt.error for attempt in real.attempts]
    assert servers[0].calls == 0


def test_the_circuit_opens_and_fallbacks_answer(panel: MCPClient, servers: tuple[FaultyServer, FaultyServer]) -> None:
    panel.health.simulate_outage("acme", minutes=5)
    runs = [ask(panel, n, WITH_FALLBACK) for n in range(4)]
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    assert state(panel) == "open"
    assert [attempt.provider for attempt in runs[0].attempts] == ["acme", "spare"]
    assert servers[0].calls == 0
    assert servers[1].calls == 4


def test_an_expired_answer_is_given_and_a_fresh_one_costs_nothing(
    panel: MCPClient, servers: tuple[FaultyServer, FaultyServer]
) -> None:
    brief = LLMPromptConfig(template="{{ n }}", model="acme/m", max_retries=0, cache={"mode": "use", "ttl": 1e-6})
    ask(panel, "fresh")
    ask(panel, "old", brief)
    panel.health.simulate_outage("acme", minutes=5)
    assert ask(panel, "fresh").cache == "hit"
    stale = ask(panel, "old", brief)
    assert stale.status is RunStatus.SUCCEEDED
    assert stale.cache == "stale"
    assert stale.cache.age_seconds is not None
    assert stale.cache.age_seconds > 0
    assert [attempt.error is not None for attempt in stale.attempts] == [True]
    assert servers[0].calls == 2


def test_the_test_button_finds_it_down(panel: MCPClient) -> None:
    assert panel.providers.check("spare").ok is False  # it lists no models, which is another failure
    panel.health.simulate_outage("acme", minutes=5)
    health = panel.providers.check("acme")
    assert health.ok is False
    assert "refuses connections" in health.message


def test_another_client_on_the_history_sees_it(
    panel: MCPClient, tmp_path: Path, servers: tuple[FaultyServer, FaultyServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_core.providers.outages.LOOK_SECONDS", 0.0)
    with opened(tmp_path, servers) as other:
        assert ask(other, 1).status is RunStatus.SUCCEEDED
        outage = panel.health.simulate_outage("acme", minutes=5)
        assert other.health.outages() == [outage]
        assert next(info for info in other.providers.list() if info.name == "acme").outage_until == outage.until
        assert ask(other, 2).status is RunStatus.FAILED
        assert other.health.end_outage("acme") is True
        assert panel.health.end_outage("acme") is False
        assert ask(panel, 3).status is RunStatus.SUCCEEDED


def test_it_ends_by_itself(panel: MCPClient, servers: tuple[FaultyServer, FaultyServer]) -> None:
    past = utcnow() - timedelta(minutes=5)
    panel.store.outages.put(Outage(provider="acme", actor_id="x", since=past, until=past + timedelta(minutes=1)))
    panel.providers.outages.forget()
    assert panel.health.outages() == []
    assert ask(panel, 1).status is RunStatus.SUCCEEDED


def test_a_new_one_takes_the_place_of_the_old(panel: MCPClient) -> None:
    panel.health.simulate_outage("acme", minutes=5)
    second = panel.health.simulate_outage("acme", minutes=10)
    third = panel.health.simulate_outage("spare", minutes=1)
    assert panel.health.outages() == [second, third]


@pytest.mark.parametrize("role", ["viewer", "operator", "editor"])
def test_only_an_admin_may(panel: MCPClient, role: str) -> None:
    actor = Actor.model_validate({"id": "eve", "name": "Eve", "role": role})
    with pytest.raises(PermissionDeniedError, match="may not simulate an outage"):
        panel.health.simulate_outage("acme", minutes=5, actor=actor)
    with pytest.raises(PermissionDeniedError):
        panel.health.end_outage("acme", actor=actor)
    assert panel.health.outages() == []


@pytest.mark.parametrize("minutes", [0.0, -1.0, 1441.0, float("nan"), float("inf")])
def test_a_time_that_is_none(panel: MCPClient, minutes: float) -> None:
    with pytest.raises(ConfigurationError, match="minutes"):
        panel.health.simulate_outage("acme", minutes=minutes)


def test_a_provider_that_is_none(panel: MCPClient) -> None:
    for work in (lambda: panel.health.simulate_outage("nobody", minutes=1), lambda: panel.health.end_outage("nobody")):
        with pytest.raises(ConfigurationError, match="no provider 'nobody'"):
            work()


def test_many_calls_ask_once_a_second_and_a_failing_store_changes_nothing() -> None:
    now, reads = [0.0], []
    outage = Outage(provider="acme", actor_id="x", since=utcnow(), until=utcnow() + timedelta(hours=1))

    def read() -> list[Outage]:
        reads.append(now[0])
        if len(reads) > 1:
            raise StoreError("The history is locked.")
        return [outage]

    outages = SimulatedOutages(read, clock=lambda: now[0])
    for moment in (0.0, 0.5, 0.9, 1.1, 1.2):
        now[0] = moment
        assert outages.of("acme") == outage
        assert outages.of("other") is None
    assert reads == [0.0, 1.1]
    outages.forget()
    outages.of("acme")
    assert reads == [0.0, 1.1, 1.2]


def outlook(panel: MCPClient, n: object, config: LLMPromptConfig = ACME) -> str:
    return panel.preflight(config, {"n": str(n)}).outlook


def test_looking_ahead_tells_of_an_outage_and_what_would_happen(panel: MCPClient) -> None:
    assert outlook(panel, 1) == ""
    ask(panel, "old", ACME.model_copy(update={"cache": CacheConfig(ttl=0.001)}))
    deadline = time.monotonic() + 60
    while any(item.is_fresh() for item in panel.cache.find()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    panel.health.simulate_outage("acme", minutes=60)
    alone = outlook(panel, 1)
    assert alone.startswith("An outage of acme is simulated until ")
    assert alone.endswith(" The run would fail while that lasts.")
    assert outlook(panel, "old").endswith(" The expired answer that the cache has would be given.")
    assert outlook(panel, 1, WITH_FALLBACK).endswith(" spare/m would be asked instead.")
    assert outlook(panel, "old", ACME.model_copy(update={"cache": CacheConfig(mode="only")})) == ""
    assert ask(panel, 1, WITH_FALLBACK).status is RunStatus.SUCCEEDED
    panel.health.simulate_outage("spare", minutes=60)
    assert outlook(panel, 2, WITH_FALLBACK).endswith(" The run would fail while that lasts.")
    panel.health.end_outage("acme")
    assert outlook(panel, 2, WITH_FALLBACK) == ""


def test_looking_ahead_tells_of_an_open_circuit(panel: MCPClient, servers: tuple[FaultyServer, FaultyServer]) -> None:
    servers[0].default = status(500)
    for number in range(2):
        assert outlook(panel, number) == ""
        ask(panel, number)
    assert " is left alone for a while; it is tried again in " in outlook(panel, 3)
    assert outlook(panel, 3, WITH_FALLBACK).endswith(" spare/m would be asked instead.")
