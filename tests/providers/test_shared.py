"""Circuits and rates of all processes, on a real Valkey: clients count together, and each alone while it is away."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis import Redis

from mcp_core.control import CancelToken
from mcp_core.errors import APIError, CircuitOpenError, PermissionDeniedError
from mcp_core.providers import shared_redis
from mcp_core.providers.breaker import Breaker
from mcp_core.providers.registry import Providers
from mcp_core.providers.shared_redis import RedisShared
from tests.cache.helpers import closed_port, said, valkey
from tests.faulty import Connection, FaultyServer, chat, status
from tests.providers.conftest import MakeProviders, ask, scope

__all__ = ["said"]

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def running() -> Iterator[str]:
    with valkey() as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture
def url(running: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty server; however busy the machine, it is waited for."""
    monkeypatch.setattr("mcp_core.cache.redis._SOCKET_SECONDS", 30.0)
    with Redis.from_url(running) as db:
        db.flushall()
    return running


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def two(make: MakeProviders, server: FaultyServer, url: str, limits: str = "", **env: str) -> tuple[Providers, ...]:
    """Two clients of one installation, as in two processes."""
    tables = f'[providers.acme]\nbase_url = "{server.url}"\n{limits}\n'
    return tuple(make(tables, env={"MCP_REDIS_URL": url, **env}) for _ in range(2))


def outcome(providers: Providers, prompt: str, **fields: Any) -> str:
    try:
        return providers.complete(ask(prompt), scope(mode="bypass", **fields)).text
    except CircuitOpenError:
        return "left alone"
    except APIError as error:
        return "refused" if error.status is None else f"HTTP {error.status}"


def state(providers: Providers) -> str:
    return providers.list()[0].state


def test_failures_count_together_and_nobody_asks_after_them(
    make: MakeProviders, server: FaultyServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_core.providers.breaker.LOOK_SECONDS", 0.0)
    one, other = two(make, server, url, "breaker_failures = 3\nbreaker_seconds = 3600")
    server.default = status(500)
    assert [outcome(p, "q") for p in (one, other, one)] == ["HTTP 500"] * 3
    assert (state(one), state(other)) == ("open", "open")
    assert [outcome(p, "q") for p in (other, one)] == ["left alone"] * 2
    assert server.calls == 3
    left = other.list()[0].retry_in_seconds
    assert left is not None
    assert 3000 < left <= 3600


def test_a_success_elsewhere_ends_the_row(make: MakeProviders, server: FaultyServer, url: str) -> None:
    one, other = two(make, server, url, "breaker_failures = 2\nbreaker_seconds = 3600")
    server.script(status(500), chat("fine"), status(500), chat("fine"))
    said = [outcome(p, "q") for p in (one, other, one, other)]
    assert said == ["HTTP 500", "fine", "HTTP 500", "fine"]
    assert state(one) == "ready"


def test_one_of_all_processes_probes(make: MakeProviders, server: FaultyServer, url: str) -> None:
    one, other = two(make, server, url, "breaker_failures = 1\nbreaker_seconds = 0.05")
    asked, go = threading.Event(), threading.Event()

    def held(connection: Connection) -> None:
        asked.set()
        while not go.is_set() and not connection.wait(0.01):
            pass
        chat("back")(connection)

    server.script(status(500), held)
    assert outcome(one, "q") == "HTTP 500"
    with ThreadPoolExecutor(1) as pool:
        probe = pool.submit(lambda: _when_let_through(one))
        assert asked.wait(60)
        assert [outcome(p, "q") for p in (other, other, one)] == ["left alone"] * 3
        assert server.calls == 2
        go.set()
        assert probe.result(60) == "back"
    assert [outcome(p, "q") for p in (other, one)] == ["hello"] * 2


def _when_let_through(providers: Providers) -> str:
    while (found := outcome(providers, "probe", read_timeout=60.0)) == "left alone":
        time.sleep(0.01)
    return found


def test_a_probe_that_fails_lengthens_the_pause_for_all(make: MakeProviders, server: FaultyServer, url: str) -> None:
    one, other = two(make, server, url, "breaker_failures = 1\nbreaker_seconds = 0.05")
    server.default = status(503)
    assert outcome(one, "q") == "HTTP 503"
    assert _when_let_through(other) == "HTTP 503"
    circuit = RedisShared(url).circuit(f"acme {server.url}", failures=1, pause_seconds=0.05, longest_pause_seconds=0.5)
    view = circuit.look()
    assert view is not None
    assert view.pause_seconds == pytest.approx(0.1)
    assert view.failures == 2


def test_the_probe_of_a_dead_process_gives_way(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_redis, "PROBE_SECONDS", 0.2)
    shared = RedisShared(url)
    circuits = [shared.circuit("x", failures=1, pause_seconds=0.01, longest_pause_seconds=0.1) for _ in range(2)]
    first = circuits[0].admit()
    assert first is not None
    circuits[0].report(first.term, failed=True)
    until(lambda: bool((view := circuits[0].admit()) and view.effective))  # and is never heard of again
    until(lambda: bool((view := circuits[1].admit()) and view.effective))
    view = circuits[1].look()
    assert view is not None
    late = circuits[0].report(first.term + 2, failed=False)
    assert late is not None
    assert late.state != "closed", "what the dead one would have said is of a time that is over"
    shared.close()


@given(st.lists(st.sampled_from(["fail", "work", "stop"]), max_size=12))
@hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_shared_circuit_is_as_one_of_a_process(url: str, steps: list[str]) -> None:
    with Redis.from_url(url) as db:
        db.flushall()
    shared = RedisShared(url)
    circuit = shared.circuit("y", failures=3, pause_seconds=3600, longest_pause_seconds=36_000)
    breakers = [
        Breaker("y", failures=3, pause_seconds=3600),
        Breaker("y", failures=3, pause_seconds=3600, shared=circuit),
    ]
    for step in steps:
        found = []
        for breaker in breakers:
            try:
                with breaker.enter():
                    if step == "fail":
                        raise APIError("down", status=500)
                    if step == "stop":
                        raise KeyboardInterrupt
            except (APIError, KeyboardInterrupt) as error:
                found.append(type(error))
            found.append(breaker.state)  # type: ignore[arg-type]
        assert found[: len(found) // 2] == found[len(found) // 2 :]
    shared.close()


@pytest.mark.parametrize("table", ["", '[[providers.acme.limits]]\nmodel = "m"\n'], ids=["provider", "model"])
def test_rates_count_together(make: MakeProviders, server: FaultyServer, url: str, table: str) -> None:
    one, other = two(make, server, url, f"{table}requests_per_minute = 1")
    assert outcome(one, "q", cancel=CancelToken(time.monotonic() + 3600)) == "hello"
    for providers in (one, other):
        (rates,) = providers._servers["acme"].rates("m", "")
        with (
            pytest.raises(APIError, match="1 requests per minute"),
            rates.spend(1, scope(cancel=CancelToken(time.monotonic()))),
        ):
            pass


def test_an_actors_rate_is_one_for_all_processes(make: MakeProviders, server: FaultyServer, url: str) -> None:
    one, other = two(make, server, url, MCP_ACTOR_REQUESTS_PER_MINUTE="1")
    one.complete(ask("q"), scope(mode="bypass", actor="ada"))
    for providers in (one, other):
        rates = providers.actors.of("ada")
        assert rates is not None
        with (
            pytest.raises(PermissionDeniedError, match="ada may use 1 requests per minute"),
            rates.spend(1, scope(cancel=CancelToken(time.monotonic()))),
        ):
            pass
    assert other.complete(ask("q"), scope(mode="bypass", actor="bob")).text == "hello"


def test_without_the_server_each_goes_on_alone_and_comes_back(
    make: MakeProviders, server: FaultyServer, said: list[str], monkeypatch: pytest.MonkeyPatch, redis_socket: Path
) -> None:
    monkeypatch.setattr("mcp_core.cache.redis._SOCKET_SECONDS", 30.0)
    monkeypatch.setattr("mcp_core.cache.guard._PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("mcp_core.providers.breaker.LOOK_SECONDS", 0.0)
    with valkey(unixsocket=str(redis_socket)):
        one, other = two(
            make,
            server,
            f"unix://{redis_socket}",
            "breaker_failures = 2\nbreaker_seconds = 3600\nrequests_per_minute = 60000",
        )
        server.script(status(500), status(500))
        assert [outcome(p, "q") for p in (one, other)] == ["HTTP 500"] * 2
        assert (state(one), state(other)) == ("open", "open")
    # What was known when it went stays, and new failures are each process's own.
    assert outcome(one, "q") == "left alone"
    assert state(other) == "open"
    warned = [line for line in said if "Redis does not work, so the panel goes on without it" in line]
    assert len(warned) == 1, "once in a process, whoever noticed"
    with valkey(unixsocket=str(redis_socket)):
        # The new server knows nothing, so nobody is left alone any more, and failures count together again.
        assert [outcome(p, "q") for p in (one, other)] == ["hello"] * 2
        server.script(status(500), status(500))
        assert [outcome(p, "q") for p in (one, other, one)] == ["HTTP 500", "HTTP 500", "left alone"]
    assert [line for line in said if "Redis" in line][1:] == ["INFO Redis works again"]


def test_a_server_that_was_never_there(make: MakeProviders, server: FaultyServer, said: list[str]) -> None:
    one, _ = two(
        make,
        server,
        f"redis://:hunter2@127.0.0.1:{closed_port()}/0",
        "breaker_failures = 1\nrequests_per_minute = 60000",
    )
    assert [outcome(one, "q") for _ in range(3)] == ["hello"] * 3
    server.default = status(500)
    assert [outcome(one, "q") for _ in range(2)] == ["HTTP 500", "left alone"]
    assert len([line for line in said if line.startswith("WARNING Redis does not work")]) == 1
    assert not any("hunter2" in line for line in said)
