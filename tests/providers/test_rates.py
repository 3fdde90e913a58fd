"""What a provider gets a minute: bursts are spread, waits are told and end when they should, hits cost nothing."""

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_core.control import CancelToken
from mcp_core.errors import APIError, RunCancelledError
from mcp_core.models import Usage
from mcp_core.providers.base import CachePolicy
from mcp_core.providers.rates import Bucket, Rates, estimated_tokens
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
        providers.complete(ask(prompt), scope(cancel=left(4)))
    except APIError as error:
        return error.message.partition(":")[0]
    return "answered"


def test_a_burst_of_threads_and_no_time_to_wait(make: MakeProviders, server: FaultyServer) -> None:
    providers = limited(make, server, "requests_per_minute = 12")
    with ThreadPoolExecutor(16) as pool:
        said = Counter(pool.map(lambda n: tried(providers, f"{n}"), range(16)))
    assert said == {"answered": 2, "acme takes 12 requests per minute": 14}
    assert server.calls == 2


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
    assert 50 < error.retry_after <= 60
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
    assert str(providers.complete(ask(), scope(cancel=left(5))).cache) == "stale"


def test_a_wait_is_told_and_ends_in_an_answer(make: MakeProviders, server: FaultyServer, ears: Ears) -> None:
    providers = limited(make, server, "requests_per_minute = 300")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: providers.complete(ask(f"{n}"), scope()), range(50)))
    while not ears.of("wait"):
        assert providers.complete(ask(f"more {len(server.received)}"), scope(ears)).text == "hello"
    (told,) = ears.of("wait")
    assert 0 < told["seconds"] <= 0.5
    assert "acme takes 300 requests per minute" in told["message"]


def test_a_wait_is_cancelled(make: MakeProviders, server: FaultyServer, ears: Ears) -> None:
    providers = limited(make, server, "requests_per_minute = 6")
    providers.complete(ask("first"), scope())
    cancel = CancelToken()
    threading.Timer(0.2, cancel.cancel).start()
    with pytest.raises(RunCancelledError):
        providers.complete(ask("second"), scope(ears, cancel=cancel))
    (told,) = ears.of("wait")
    assert 1 < told["seconds"] <= 10
    with pytest.raises(APIError) as caught:
        providers.complete(ask("third"), scope(cancel=left(1)))
    assert caught.value.retry_after
    assert caught.value.retry_after <= 10, "who gave up holds no place"
    assert server.calls == 1


def test_tokens_per_minute_of_real_answers(make: MakeProviders, server: FaultyServer) -> None:
    providers = limited(make, server, "tokens_per_minute = 600")
    server.default = chat(usage={"prompt_tokens": 3, "completion_tokens": 2})
    for number in range(5):
        providers.complete(ask(f"{number}", max_tokens=500), scope(cancel=left(5)))
    server.default = chat(usage={"prompt_tokens": 300, "completion_tokens": 200})
    providers.complete(ask("long", max_tokens=10), scope(cancel=left(5)))
    with pytest.raises(APIError, match="600 tokens per minute"):
        providers.complete(ask("after", max_tokens=10), scope(cancel=left(5)))
    assert server.calls == 6
    assert json.loads(server.received[0].body)["max_tokens"] == 500


def test_a_failure_takes_no_tokens(make: MakeProviders, server: FaultyServer) -> None:
    providers = limited(make, server, "tokens_per_minute = 600")
    server.default = status(400)
    for number in range(5):
        with pytest.raises(APIError, match="refused the request"):
            providers.complete(ask(f"{number}", max_tokens=500), scope(cancel=left(5)))
    assert server.calls == 5
