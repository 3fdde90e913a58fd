"""What a provider gets a minute: bursts are spread, waits are told and end when they should, hits cost nothing."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_core.control import CancelToken
from mcp_core.errors import APIError, PermissionDeniedError, RunCancelledError
from mcp_core.models import Usage
from mcp_core.providers.base import CachePolicy
from mcp_core.providers.rates import ActorRates, Bucket, Rates, estimated_tokens, spend
from mcp_core.providers.registry import Providers
from tests.faulty import FaultyServer, chat, status
from tests.providers.conftest import KEY, Ears, MakeProviders, ask, scope

pytestmark = pytest.mark.integration


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def left(seconds: float) -> CancelToken:
    return CancelToken(time.monotonic() + seconds)


def test_a_burst_against_sixty_a_minute() -> None:
    clock = Clock()
    bucket = Bucket(60, clock=clock)
    assert [bucket.take(1) for _ in range(15)] == [0] * 10 + [1, 2, 3, 4, 5]
    clock.now = 4.5
    assert bucket.take(1) == pytest.approx(1.5)
    clock.now = 1000
    assert [bucket.take(1) for _ in range(11)] == [0] * 10 + [1]


@given(
    per_minute=st.integers(1, 10_000),
    calls=st.lists(st.tuples(st.floats(0, 30), st.integers(1, 500)), min_size=1, max_size=60),
)
def test_no_minute_gives_more_than_its_rate_and_a_burst(per_minute: int, calls: list[tuple[float, int]]) -> None:
    clock = Clock()
    bucket = Bucket(per_minute, clock=clock)
    given_out = []
    for pause, amount in calls:
        clock.now += pause
        given_out.append((clock.now + bucket.take(amount), amount))
    most = max(1.0, per_minute / 6)
    for start, _ in given_out:
        inside = [amount for at, amount in given_out if start <= at <= start + 60]
        # The last of them may be larger than what is there: it is owed, and the next waits for it.
        assert sum(inside[:-1]) <= per_minute + most + max(inside) + 1e-6


def test_one_larger_than_the_bucket_is_let_through_when_it_is_full() -> None:
    clock = Clock()
    bucket = Bucket(600, clock=clock)
    assert bucket.take(1000) == 0
    assert bucket.take(10) == pytest.approx(91)
    bucket.give_back(1000)
    assert bucket.take(0) == 0


def test_tokens_are_guessed_then_corrected() -> None:
    clock = Clock()
    rates = Rates("acme", None, 6000, clock=clock)

    def wait_for(tokens: int) -> float:
        ears = Ears()
        with pytest.raises(APIError) as caught, rates.spend(tokens, scope(ears, cancel=left(0.0))):
            pass
        assert not ears.heard
        return caught.value.retry_after or 0.0

    with rates.spend(1000, scope()) as spending:
        spending.sent = True
        spending.answered(None)
    assert wait_for(100) == pytest.approx(1), "without a count the guess stays, and a refusal costs nothing"
    assert wait_for(100) == pytest.approx(1)
    clock.now += 10
    with rates.spend(1000, scope()) as spending:
        spending.sent = True
        spending.answered(Usage(input_tokens=100, output_tokens=300))
    assert wait_for(1000) == pytest.approx(4)
    with rates.spend(600, scope()):
        pass
    assert wait_for(1000) == pytest.approx(4), "what was not sent costs nothing"
    with rates.spend(600, scope()) as spending:
        spending.sent = True
        spending.answered(Usage(input_tokens=600, output_tokens=400))
    assert wait_for(1000) == pytest.approx(14), "more than guessed is taken as well"


def test_a_guess_grows_with_the_prompt_and_the_answer() -> None:
    assert estimated_tokens(ask(max_tokens=100), b"x" * 400) == 200
    assert estimated_tokens(ask(), b"x" * 400) == 356


def limited(make: MakeProviders, server: FaultyServer, limits: str) -> Providers:
    return make(
        f'[providers.acme]\nbase_url = "{server.url}"\napi_key_env = "ACME_KEY"\n{limits}\n'
        f'[providers.beta]\nbase_url = "{server.url}"\n'
    )


def tried(providers: Providers, prompt: str) -> str:
    try:
        providers.complete(ask(prompt), scope(cancel=left(25)))
    except APIError as error:
        return error.message.partition(":")[0]
    return "answered"


def test_a_burst_of_threads_and_no_time_to_wait(make: MakeProviders, server: FaultyServer) -> None:
    providers = limited(make, server, "requests_per_minute = 1")
    with ThreadPoolExecutor(16) as pool:
        said = Counter(pool.map(lambda n: tried(providers, f"{n}"), range(16)))
    assert said == {"answered": 1, "acme takes 1 requests per minute": 15}
    assert server.calls == 1


def test_a_wait_that_does_not_fit_is_told_at_once(make: MakeProviders, server: FaultyServer, ears: Ears) -> None:
    providers = limited(make, server, "requests_per_minute = 1")
    providers.complete(ask("first"), scope())
    with pytest.raises(
        APIError, match=r"1 requests per minute: .* would wait \d+\.\d s .* has \d+\.\d s left"
    ) as caught:
        providers.complete(ask("second"), scope(ears, cancel=left(20), max_retries=5))
    error = caught.value
    assert error.hint
    assert error.retry_after
    assert 30 < error.retry_after <= 60
    assert [attempt.status for attempt in error.attempts] == [None]
    assert not ears.of("wait")
    assert not ears.of("retry")
    assert str(providers.complete(ask("first"), scope()).cache) == "hit", "a hit costs nothing"
    fallen = providers.complete(ask("second", fallbacks=("beta/m",)), scope(cancel=left(20)))
    assert [(a.provider, a.status) for a in fallen.attempts] == [("acme", None), ("beta", 200)]
    assert providers.list()[0].state == "ready", "the server has not failed"
    assert KEY not in repr([error, str(error), ears.heard, fallen])


def test_an_expired_answer_is_given_rather_than_none(make: MakeProviders, server: FaultyServer) -> None:
    providers = limited(make, server, "requests_per_minute = 1")
    providers.complete(ask(), scope(policy=CachePolicy(ttl_seconds=0.001)))
    time.sleep(0.01)
    assert str(providers.complete(ask(), scope(cancel=left(25))).cache) == "stale"


def test_a_wait_is_told_and_ends_in_an_answer(
    make: MakeProviders, server: FaultyServer, ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    providers = limited(make, server, "requests_per_minute = 6")
    monkeypatch.setattr(providers._servers["acme"], "_rates", Rates("acme", 6, None, clock=clock))
    slept = []

    def sleep(_: CancelToken, seconds: float) -> None:
        slept.append(seconds)
        clock.now += seconds

    monkeypatch.setattr(CancelToken, "sleep", sleep)
    for number in range(3):
        assert providers.complete(ask(f"{number}"), scope(ears)).text == "hello"
    assert [told["seconds"] for told in ears.of("wait")] == slept == [10, 10]
    assert {told["reason"] for told in ears.of("wait")} == {"acme takes 6 requests per minute"}


def test_a_wait_is_cancelled(make: MakeProviders, server: FaultyServer, ears: Ears) -> None:
    providers = limited(make, server, "requests_per_minute = 1")
    providers.complete(ask("first"), scope())
    cancel = CancelToken()
    threading.Timer(0.2, cancel.cancel).start()
    with pytest.raises(RunCancelledError):
        providers.complete(ask("second"), scope(ears, cancel=cancel))
    (told,) = ears.of("wait")
    assert 1 < told["seconds"] <= 60
    with pytest.raises(APIError) as caught:
        providers.complete(ask("third"), scope(cancel=left(1)))
    assert caught.value.retry_after
    assert caught.value.retry_after <= 60, "who gave up holds no place"
    assert server.calls == 1


def test_tokens_per_minute_of_real_answers(make: MakeProviders, server: FaultyServer) -> None:
    providers = limited(make, server, "tokens_per_minute = 600")
    server.default = chat(usage={"prompt_tokens": 3, "completion_tokens": 2})
    for number in range(5):
        providers.complete(ask(f"{number}", max_tokens=500), scope(cancel=left(25)))
    server.default = chat(usage={"prompt_tokens": 300, "completion_tokens": 200})
    providers.complete(ask("long", max_tokens=10), scope(cancel=left(25)))
    with pytest.raises(APIError, match="600 tokens per minute"):
        providers.complete(ask("after", max_tokens=10), scope(cancel=left(25)))
    assert server.calls == 6
    assert json.loads(server.received[0].body)["max_tokens"] == 500


def test_a_failure_takes_no_tokens(make: MakeProviders, server: FaultyServer) -> None:
    providers = limited(make, server, "tokens_per_minute = 600")
    server.default = status(400)
    for number in range(5):
        with pytest.raises(APIError, match="refused the request"):
            providers.complete(ask(f"{number}", max_tokens=500), scope(cancel=left(25)))
    assert server.calls == 5


def test_a_model_has_a_rate_of_its_own(make: MakeProviders, server: FaultyServer) -> None:
    limits = '[[providers.acme.limits]]\nmodel = "big"\nrequests_per_minute = 1\n'
    limits += '[[providers.acme.limits]]\nmodel = "*"\ntokens_per_minute = 600\n'
    providers = limited(make, server, limits)
    providers.complete(ask("1", model="acme/big"), scope())
    with pytest.raises(APIError, match="acme/big takes 1 requests per minute") as caught:
        providers.complete(ask("2", model="acme/big"), scope(cancel=left(25)))
    assert caught.value.provider == "acme"
    for model in ("acme/m", "acme/n"):  # each of the others for itself
        server.default = chat(usage={"prompt_tokens": 300, "completion_tokens": 300})
        providers.complete(ask("1", model=model, max_tokens=1), scope(cancel=left(25)))
        with pytest.raises(APIError, match=f"{model} takes 600 tokens per minute"):
            providers.complete(ask("2", model=model, max_tokens=1), scope(cancel=left(25)))
    assert str(providers.complete(ask("1", model="acme/big"), scope()).cache) == "hit", "a hit costs nothing"
    fallen = providers.complete(ask("2", model="acme/big", fallbacks=("beta/m",)), scope(cancel=left(25)))
    assert [(a.provider, a.status) for a in fallen.attempts] == [("acme", None), ("beta", 200)]


def test_an_actor_has_a_rate_of_their_own(make: MakeProviders, server: FaultyServer, ears: Ears) -> None:
    providers = make(
        f'[providers.acme]\nbase_url = "{server.url}"\n[providers.beta]\nbase_url = "{server.url}"\n',
        env={"MCP_ACTOR_REQUESTS_PER_MINUTE": "1"},
    )
    providers.complete(ask("1"), scope(actor="ada"))
    for model, fallbacks in (("acme/m", ("beta/m",)), ("beta/m", ())):
        with pytest.raises(PermissionDeniedError, match="ada may use 1 requests per minute") as caught:
            providers.complete(ask("2", model=model, fallbacks=fallbacks), scope(ears, actor="ada", cancel=left(25)))
        assert "MCP_ACTOR_REQUESTS_PER_MINUTE" in caught.value.hint
    assert not ears.of("fallback"), "the next model would be asked by the same person"
    assert providers.complete(ask("2"), scope(actor="bob")).text == "hello"
    assert str(providers.complete(ask("2"), scope(actor="ada")).cache) == "hit", "a hit costs nothing"
    assert server.calls == 2


def test_one_who_may_not_ask_does_not_stop_others_that_wait_for_the_answer(
    make: MakeProviders, server: FaultyServer
) -> None:
    providers = make(f'[providers.acme]\nbase_url = "{server.url}"\n', env={"MCP_ACTOR_REQUESTS_PER_MINUTE": "1"})
    providers.complete(ask("first"), scope(actor="ada"))

    def asked(actor: str) -> str:
        try:
            return providers.complete(ask("second"), scope(actor=actor, cancel=left(30))).text
        except PermissionDeniedError:
            return "not now"

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(asked, ["bob", "cy", "dan"])) == {"hello"}
    assert asked("ada") == "hello", "it is remembered by now"


def test_the_longest_wait_counts_and_is_told_with_its_reason(ears: Ears) -> None:
    clock = Clock()
    limits = [Rates("acme", 600, None, clock=clock), Rates("acme/m", None, 60, clock=clock)]
    limits.append(Rates("ada", 6, None, of_actor=True, clock=clock))
    with spend(limits, 10, scope()) as spending:
        spending.sent = True
    cancel = CancelToken()
    with pytest.raises(RunCancelledError), spend(limits, 5, scope(_cancelling(cancel, ears), cancel=cancel)):
        pass
    (told,) = ears.of("wait")
    assert told["seconds"] == 10
    assert told["reason"] == "ada may use 6 requests per minute"
    assert told["message"] == "ada may use 6 requests per minute: this call waits 10.0 s for its turn."
    left_over = [room.left for rates in limits for room in rates.headroom()]
    assert left_over == pytest.approx([99, 0, 0]), "who gave up took nothing of any"


def _cancelling(cancel: CancelToken, ears: Ears) -> Callable[[str, Mapping[str, Any]], None]:
    def emit(kind: str, data: Mapping[str, Any]) -> None:
        ears(kind, data)
        cancel.cancel()

    return emit


def test_headroom_is_what_is_left_at_once() -> None:
    clock = Clock()
    rates = Rates("acme", 60, 6000, clock=clock)
    with rates.spend(400, scope()) as spending:
        spending.sent = True
    found = {room.what: (room.per_minute, room.left, room.most) for room in rates.headroom()}
    assert found == {"requests": (60, 9, 10), "tokens": (6000, 600, 1000)}


def test_actors_are_remembered_within_bounds() -> None:
    rates = ActorRates(60, None)
    assert rates.of("") is None
    assert ActorRates(None, None).of("ada") is None
    first = rates.of("actor 0")
    for number in range(2000):
        rates.of(f"actor {number}")
        assert rates.of("actor 0") is first, "who asks again is kept"
    assert len(rates.known()) == 1000
