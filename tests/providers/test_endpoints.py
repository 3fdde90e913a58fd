"""A provider with several addresses: the least busy one that works is asked, and those that fail are probed."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from mcp_core.errors import APIError, CircuitOpenError
from mcp_core.providers.breaker import Breaker
from mcp_core.providers.endpoints import Endpoint, Endpoints
from mcp_core.providers.registry import Providers
from tests.faulty import Connection, FaultyServer, chat, http, models, reset, status, stream, stream_pieces
from tests.faulty import sse as events
from tests.providers.conftest import KEY, Ears, MakeProviders, ask, scope

pytestmark = pytest.mark.integration


@pytest.fixture
def second() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        running.default = chat("from the second")
        yield running


Pair = tuple[FaultyServer, FaultyServer]


@pytest.fixture
def pair(server: FaultyServer, second: FaultyServer) -> Pair:
    server.default = chat("from the first")
    return server, second


def both(make: MakeProviders, pair: Pair, *, seconds: float = 600, failures: int = 2) -> Providers:
    first, second = pair
    return make(
        '[providers.acme]\napi_key_env = "ACME_KEY"\n'
        f'endpoints = [{{ base_url = "{first.url}", weight = 3 }}, {{ base_url = "{second.url}" }}]\n'
        f"breaker_failures = {failures}\nbreaker_seconds = {seconds}\n"
    )


def made(*weights: float) -> Endpoints:
    return Endpoints([Endpoint(f"http://{n}", weight, Breaker(str(n))) for n, weight in enumerate(weights)])


def test_the_least_busy_by_weight_is_next() -> None:
    endpoints = made(3, 1)
    with ExitStack() as calls:
        for _ in range(40):
            calls.enter_context(endpoints.enter())
        assert [endpoint.in_use for endpoint in endpoints] == [30, 10]
    assert [endpoint.in_use for endpoint in endpoints] == [0, 0]


def test_idle_ones_of_one_weight_take_turns() -> None:
    endpoints = made(1, 1, 1)
    asked = []
    for _ in range(6):
        with endpoints.enter() as endpoint:
            asked.append(endpoint.base_url)
    assert Counter(asked) == {"http://0": 2, "http://1": 2, "http://2": 2}


def test_one_that_fails_is_left_out(make: MakeProviders, pair: Pair, ears: Ears) -> None:
    first, second = pair
    first.default = status(500, f"broken {KEY}")
    providers = both(make, pair)
    answers = [providers.complete(ask(f"question {n}"), scope(ears)) for n in range(6)]
    assert {answer.text for answer in answers} == {"from the second"}
    assert (first.calls, second.calls) == (2, 6)
    assert [a.status for a in answers[0].attempts] == [500, 200], "another endpoint costs no retry"
    assert f"127.0.0.1:{first.port}" in (answers[0].attempts[0].error or "")
    assert [a.status for a in answers[-1].attempts] == [200]
    assert [event["wait_seconds"] for event in ears.of("retry")] == [0.0, 0.0]
    (info,) = providers.list()
    assert (info.state, info.retry_in_seconds) == ("ready", None)
    assert [(e.base_url, e.weight, e.in_use, e.state) for e in info.endpoints] == [
        (first.url, 3, 0, "open"),
        (second.url, 1, 0, "closed"),
    ]
    assert KEY not in repr([answers, ears.heard, info])


def test_one_that_is_back_is_found_by_one_probe(make: MakeProviders, pair: Pair) -> None:
    first, second = pair
    first.script(reset(), reset())
    providers = both(make, pair, seconds=0.05)
    for number in range(2):
        assert providers.complete(ask(f"first {number}"), scope()).text == "from the second"
    while providers.list()[0].endpoints[0].state != "half-open":
        time.sleep(0.01)
    asked, go_on = threading.Event(), threading.Event()

    def slowly(connection: Connection) -> None:
        asked.set()
        assert go_on.wait(10)
        chat("back")(connection)

    first.script(slowly)
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(providers.complete, ask(f"then {n}"), scope()) for n in range(16)]
        assert asked.wait(10)
        while sum(call.done() for call in calls) < 15:
            time.sleep(0.01)
        go_on.set()
        texts = Counter(call.result().text for call in calls)
    assert texts == {"from the second": 15, "back": 1}
    assert first.calls == 3
    assert providers.list()[0].endpoints[0].state == "closed"
    assert second.calls == 17


def test_a_cut_stream_begins_anew_at_the_other(make: MakeProviders, pair: Pair, ears: Ears) -> None:
    first, second = pair
    first.default = events(*stream_pieces(["half"], finish_reason=None, done=False), end=False)
    second.default = stream("whole")
    answer = both(make, pair).complete(ask(), scope(ears, stream=True))
    assert answer.text == "whole"
    assert [event["restart"] for event in ears.of("retry")] == [True]


def test_where_all_are_down_all_are_tried_and_then_left_alone(make: MakeProviders, pair: Pair) -> None:
    first, second = pair
    first.default = second.default = status(503)
    providers = both(make, pair, failures=1)
    with pytest.raises(APIError) as caught:
        providers.complete(ask(), scope())
    assert [a.status for a in caught.value.attempts] == [503, 503]
    with pytest.raises(CircuitOpenError, match=r"acme at 127\.0\.0\.1:") as refused:
        providers.complete(ask("again"), scope())
    assert refused.value.provider == "acme"
    assert (first.calls, second.calls) == (1, 1)
    (info,) = providers.list()
    assert info.state == "open"
    assert info.retry_in_seconds


def test_a_refusal_is_not_carried_elsewhere(make: MakeProviders, pair: Pair) -> None:
    first, second = pair
    first.default = second.default = status(400)
    with pytest.raises(APIError):
        both(make, pair).complete(ask(), scope())
    assert first.calls + second.calls == 1


def test_whoever_answered_the_cache_gives_it_back(make: MakeProviders, pair: Pair) -> None:
    first, _ = pair
    first.script(status(500))
    providers = both(make, pair)
    asked = providers.complete(ask(), scope())
    assert asked.text == "from the second"
    again = providers.complete(ask(), scope())
    assert (str(again.cache), again.cache.key) == ("hit", asked.cache.key)
    alone = make(f'[providers.acme]\nbase_url = "{first.url}"\napi_key_env = "ACME_KEY"\n')
    assert alone.explain_key(ask(), scope()).key == asked.cache.key, "a further endpoint forgets nothing"


def test_each_is_tested(make: MakeProviders, pair: Pair) -> None:
    first, second = pair
    first.default = second.default = models("m")
    providers = both(make, pair)
    health = providers.check("acme")
    assert (health.ok, health.message) == (True, "Answering: 2 of 2 endpoints.")
    second.default = http(500, b"")
    health = providers.check("acme")
    assert health.ok
    assert "Answering: 1 of 2 endpoints." in health.message
    assert f"127.0.0.1:{second.port}" in health.message
    first.default = http(500, b"")
    health = providers.check("acme")
    assert (health.ok, health.latency_seconds) == (False, None)
    assert health.hint
