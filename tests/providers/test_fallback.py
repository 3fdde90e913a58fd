"""Where the model asked for is down or missing, the next one is asked, and everything about it is on record."""

import threading
import time
from collections.abc import Iterator

import pytest

from mcp_core.control import CancelToken
from mcp_core.errors import APIError, CircuitOpenError, ConfigurationError, OutputMismatchError, RunCancelledError
from mcp_core.providers.base import CachePolicy
from mcp_core.providers.registry import Providers
from tests.faulty import Answer, FaultyServer, chat, hang, reset, status, stream, stream_pieces
from tests.faulty import sse as events
from tests.providers.conftest import KEY, Ears, MakeProviders, ask, scope

pytestmark = pytest.mark.integration

IN_TURN = ("beta/b", "gamma/c")


@pytest.fixture
def beta() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        running.default = chat("from beta")
        yield running


@pytest.fixture
def gamma() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        running.default = chat("from gamma")
        yield running


@pytest.fixture
def three(make: MakeProviders, server: FaultyServer, beta: FaultyServer, gamma: FaultyServer) -> Providers:
    price = 'prices = [{ model = "*", input_usd_per_million = 1, output_usd_per_million = 1 }]\n'
    return make(
        f'[providers.acme]\nbase_url = "{server.url}"\napi_key_env = "ACME_KEY"\nbreaker_failures = 2\n'
        f'[providers.beta]\nbase_url = "{beta.url}"\n{price}'
        f'[providers.gamma]\nbase_url = "{gamma.url}"\nmodels = ["c"]\n'
    )


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (status(500, f"broken {KEY}"), 500),
        (status(503), 503),
        (status(429), 429),
        (status(404), 404),
        (reset(), None),
        (events(*stream_pieces(["half"], finish_reason=None, done=False), end=False), None),
    ],
    ids=["500", "503", "429", "404", "reset", "cut"],
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_the_next_model_is_asked(
    three: Providers,
    server: FaultyServer,
    beta: FaultyServer,
    ears: Ears,
    answer: Answer,
    code: int | None,
    streamed: bool,
) -> None:
    server.script(answer)
    beta.default = stream("from ", "beta") if streamed else chat("from beta")
    found = three.complete(ask(fallbacks=IN_TURN), scope(ears, stream=streamed))
    assert (found.text, str(found.cache)) == ("from beta", "miss")
    assert found.cost_usd is not None
    assert [(a.number, a.provider, a.model, a.status) for a in found.attempts] == [
        (1, "acme", "m", code),
        (2, "beta", "b", 200),
    ]
    first, second = found.attempts
    assert first.error
    assert second.error is None
    assert first.started_at <= second.started_at
    (told,) = ears.of("fallback")
    assert (told["from"], told["to"], told["error"]) == ("acme/m", "beta/b", first.error)
    assert beta.received[0].json["model"] == "b"
    assert KEY not in repr([ears.heard, found])
    assert found.cache.key == three.explain_key(ask(model="beta/b"), scope()).key, "it is the answer of who gave it"
    assert str(three.complete(ask(model="beta/b"), scope()).cache) == "hit"
    assert str(three.complete(ask(fallbacks=IN_TURN), scope()).cache) == "miss", (
        "the model asked for has its turn again"
    )
    assert server.calls == 2


def test_a_hit_wins_before_anything_is_asked(three: Providers, server: FaultyServer, beta: FaultyServer) -> None:
    three.complete(ask(), scope())
    three.complete(ask(model="beta/b"), scope())
    server.default = status(500)
    found = three.complete(ask(fallbacks=IN_TURN), scope())
    assert (found.text, str(found.cache), found.attempts) == ("hello", "hit", ())
    assert (server.calls, beta.calls) == (1, 1)


def test_retries_come_before_fallbacks(three: Providers, server: FaultyServer, ears: Ears) -> None:
    again = {"Retry-After": "0"}
    server.default = status(503, headers=again)
    found = three.complete(ask(fallbacks=IN_TURN), scope(ears, max_retries=1))
    assert [a.status for a in found.attempts] == [503, 503, 200]
    assert [kind for kind, _ in ears.heard if kind in ("retry", "fallback")] == ["retry", "fallback"]


def test_an_open_circuit_costs_no_time(three: Providers, server: FaultyServer) -> None:
    server.default = status(500)
    answers = [three.complete(ask(f"question {number}", fallbacks=IN_TURN), scope()) for number in range(5)]
    assert {answer.text for answer in answers} == {"from beta"}
    assert server.calls == 2
    assert [a.status for a in answers[-1].attempts] == [None, 200]
    assert "left alone" in (answers[-1].attempts[0].error or "")


@pytest.mark.parametrize("code", [400, 401, 403, 413])
def test_a_refusal_ends_it(three: Providers, server: FaultyServer, beta: FaultyServer, code: int) -> None:
    server.default = status(code)
    with pytest.raises(APIError) as caught:
        three.complete(ask(fallbacks=IN_TURN), scope())
    assert caught.value.status == code
    assert beta.calls == 0


def test_a_fallback_in_trouble_is_passed_over(
    three: Providers, server: FaultyServer, beta: FaultyServer, ears: Ears
) -> None:
    server.default, beta.default = status(500), status(401)
    found = three.complete(ask(fallbacks=IN_TURN), scope(ears))
    assert found.text == "from gamma"
    assert [(a.number, a.provider, a.status) for a in found.attempts] == [
        (1, "acme", 500),
        (2, "beta", 401),
        (3, "gamma", 200),
    ]
    assert [event["to"] for event in ears.of("fallback")] == ["beta/b", "gamma/c"]


def test_a_fallback_without_a_key_is_passed_over(
    make: MakeProviders, server: FaultyServer, gamma: FaultyServer
) -> None:
    providers = make(
        f'[providers.acme]\nbase_url = "{server.url}"\n'
        f'[providers.beta]\nbase_url = "{gamma.url}"\napi_key_env = "NO_KEY"\n'
        f'[providers.gamma]\nbase_url = "{gamma.url}"\n'
    )
    server.default = status(500)
    found = providers.complete(ask(fallbacks=IN_TURN), scope())
    assert [(a.provider, a.status) for a in found.attempts] == [("acme", 500), ("beta", None), ("gamma", 200)]
    assert "key of beta is missing" in (found.attempts[1].error or "")


def test_where_nobody_answers_all_of_it_is_told(
    three: Providers, server: FaultyServer, beta: FaultyServer, gamma: FaultyServer, ears: Ears
) -> None:
    server.default, beta.default, gamma.default = status(500), status(503), reset()
    with pytest.raises(APIError) as caught:
        three.complete(ask(fallbacks=IN_TURN), scope(ears))
    error = caught.value
    assert (error.provider, error.status) == ("acme", 500)
    assert "fallbacks failed too" in error.hint
    assert [(a.number, a.provider, a.status) for a in error.attempts] == [
        (1, "acme", 500),
        (2, "beta", 503),
        (3, "gamma", None),
    ]
    assert len(ears.of("fallback")) == 2
    with pytest.raises(APIError):
        three.complete(ask("again", fallbacks=IN_TURN), scope())
    with pytest.raises(CircuitOpenError, match="acme"):
        three.complete(ask("and again", fallbacks=IN_TURN), scope())


def test_an_expired_answer_is_the_last_resort(
    three: Providers, server: FaultyServer, beta: FaultyServer, gamma: FaultyServer
) -> None:
    three.complete(ask(), scope(policy=CachePolicy(ttl_seconds=0.001)))
    time.sleep(0.01)
    server.default = status(500)
    assert three.complete(ask(fallbacks=IN_TURN), scope()).text == "from beta"
    beta.default = gamma.default = status(500)
    expired = three.complete(ask(fallbacks=("gamma/c",)), scope())
    assert (expired.text, str(expired.cache)) == ("hello", "stale")
    assert [a.provider for a in expired.attempts] == ["acme", "gamma"]


def test_only_finds_what_a_fallback_answered(three: Providers, server: FaultyServer, gamma: FaultyServer) -> None:
    server.script(status(500))
    three.complete(ask(fallbacks=("gamma/c",)), scope())
    found = three.complete(ask(fallbacks=IN_TURN), scope(mode="only"))
    assert (found.text, str(found.cache), found.cache.model) == ("from gamma", "hit", "gamma/c")
    assert (server.calls, gamma.calls) == (1, 1)
    with pytest.raises(Exception, match="The cache has no answer"):
        three.complete(ask("something else", fallbacks=IN_TURN), scope(mode="only"))


@pytest.mark.parametrize(
    ("fallback", "said"), [("nobody/x", "no provider 'nobody'"), ("gamma/x", "gamma has no model 'x'")]
)
def test_a_wrong_fallback_is_told_before_anything_is_asked(
    three: Providers, server: FaultyServer, fallback: str, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        three.complete(ask(fallbacks=(fallback,)), scope())
    assert server.calls == 0


def test_an_answer_that_does_not_match_keeps_the_whole_record(three: Providers, server: FaultyServer) -> None:
    server.script(status(500))
    with pytest.raises(OutputMismatchError) as caught:
        three.complete(ask(fallbacks=IN_TURN, output_schema={"type": "object"}), scope())
    assert [(a.number, a.provider) for a in caught.value.attempts] == [(1, "acme"), (2, "beta")]


def test_a_stop_asks_nobody_else(three: Providers, server: FaultyServer, beta: FaultyServer) -> None:
    server.script(hang())
    cancel = CancelToken()
    threading.Timer(0.2, cancel.cancel).start()
    with pytest.raises(RunCancelledError):
        three.complete(ask(fallbacks=IN_TURN), scope(cancel=cancel))
    assert beta.calls == 0
