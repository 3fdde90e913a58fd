"""A server that keeps failing is left alone, and asked by one call whether it is back."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from mcp_core.control import CancelToken
from mcp_core.errors import APIError, CircuitOpenError, ConfigurationError, OutputMismatchError, RunCancelledError
from mcp_core.providers.base import CachePolicy
from mcp_core.providers.breaker import Breaker
from mcp_core.providers.registry import Providers
from tests.faulty import Connection, FaultyServer, chat, hang, http, reset, status
from tests.providers.conftest import KEY, Ears, MakeProviders, ask, scope

pytestmark = pytest.mark.integration


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("acme", failures=3, pause_seconds=30, clock=clock)


def fails(breaker: Breaker, error: BaseException | None = None) -> None:
    raised = error or APIError("down", status=503, transient=True)
    with pytest.raises(type(raised)), breaker.enter():
        raise raised


def works(breaker: Breaker) -> None:
    with breaker.enter():
        pass


def state_of(breaker: Breaker) -> tuple[str, float | None]:
    return breaker.state, breaker.retry_in_seconds


def test_it_opens_after_so_many_failures_in_a_row(breaker: Breaker, clock: Clock) -> None:
    fails(breaker)
    fails(breaker)
    works(breaker)
    fails(breaker)
    fails(breaker)
    assert state_of(breaker)[0] == "closed"
    breaker.check()
    fails(breaker)
    assert state_of(breaker) == ("open", 30)
    with pytest.raises(CircuitOpenError, match=r"acme failed 3 times in a row .* in 30 s, at \d\d:\d\d:\d\d UTC") as e:
        works(breaker)
    assert (e.value.retry_after, e.value.provider, e.value.transient) == (30, "acme", False)
    assert "fallbacks" in e.value.hint
    with pytest.raises(CircuitOpenError):
        breaker.check()
    clock.now += 30
    assert state_of(breaker) == ("half-open", None)
    breaker.check()
    works(breaker)
    assert state_of(breaker) == ("closed", None)
    fails(breaker)
    assert state_of(breaker) == ("closed", None), "it counts anew"


def test_the_pause_doubles_up_to_ten_times(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        fails(breaker)
    pauses = []
    for _ in range(6):
        pauses.append(breaker.retry_in_seconds)
        clock.now += breaker.retry_in_seconds or 0
        fails(breaker)
    assert pauses == [30, 60, 120, 240, 300, 300]
    clock.now += 300
    works(breaker)
    for _ in range(3):
        fails(breaker)
    assert breaker.retry_in_seconds == 30, "a recovery begins the pauses anew"


@pytest.mark.parametrize(
    "error",
    [
        APIError("wrong key", status=401),
        APIError("wrong request", status=400),
        APIError("too often", status=429, transient=True),
        APIError("unreadable", status=200),
        ConfigurationError("no key"),
        OutputMismatchError("not as asked"),
        RunCancelledError("stopped"),
        KeyboardInterrupt(),
    ],
    ids=lambda e: f"{type(e).__name__} {getattr(e, 'status', '')}",
)
def test_what_is_not_the_servers_failure_does_not_count(breaker: Breaker, error: BaseException) -> None:
    for _ in range(10):
        fails(breaker, error)
    assert state_of(breaker)[0] == "closed"


def test_a_stop_does_not_forget_failures(breaker: Breaker) -> None:
    fails(breaker)
    fails(breaker)
    fails(breaker, RunCancelledError("stopped"))
    fails(breaker, APIError("no answer"))
    assert state_of(breaker)[0] == "open"


def test_a_probe_that_was_stopped_leaves_its_place_to_the_next(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        fails(breaker)
    clock.now += 30
    fails(breaker, RunCancelledError("stopped"))
    assert state_of(breaker)[0] == "half-open"
    works(breaker)
    assert state_of(breaker)[0] == "closed"


def test_a_probe_the_server_turns_away_shows_that_it_is_there(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        fails(breaker)
    clock.now += 30
    fails(breaker, APIError("wrong request", status=400))
    assert state_of(breaker)[0] == "closed"


def test_calls_of_a_time_that_is_over_are_not_heard(breaker: Breaker, clock: Clock) -> None:
    @contextmanager
    def begun() -> Iterator[None]:
        with breaker.enter():
            yield

    late_success, late_failure = begun(), begun()
    late_success.__enter__()
    late_failure.__enter__()
    for _ in range(3):
        fails(breaker)
    late_success.__exit__(None, None, None)
    assert state_of(breaker)[0] == "open"
    clock.now += 30
    probe = begun()
    probe.__enter__()
    error = APIError("down", status=500)
    assert not late_failure.__exit__(APIError, error, None)
    assert state_of(breaker)[0] == "half-open", "the probe alone decides"
    with pytest.raises(CircuitOpenError, match="one call is asking it now"):
        works(breaker)
    probe.__exit__(None, None, None)
    assert state_of(breaker)[0] == "closed"


def test_sixteen_threads_send_one_probe(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        fails(breaker)
    clock.now += 30
    together, probing = threading.Barrier(16), threading.Semaphore(0)
    let_through, turned_away = [], []

    def call() -> None:
        together.wait()
        try:
            with breaker.enter():
                let_through.append(1)
                assert probing.acquire(timeout=10)
        except CircuitOpenError:
            turned_away.append(1)
            if len(turned_away) == 15:
                probing.release()

    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(call) for _ in range(16)]:
            done.result()
    assert (len(let_through), len(turned_away)) == (1, 15)
    assert state_of(breaker)[0] == "closed"


def provider(make: MakeProviders, server: FaultyServer, seconds: float = 600, failures: int = 3) -> Providers:
    return make(
        f'[providers.acme]\nbase_url = "{server.url}"\napi_key_env = "ACME_KEY"\n'
        f"breaker_failures = {failures}\nbreaker_seconds = {seconds}\n"
    )


def test_a_server_that_is_down_is_left_alone(make: MakeProviders, server: FaultyServer, ears: Ears) -> None:
    providers = provider(make, server)
    server.script(status(500, f"broken {KEY}"), reset(), http(503, b""))
    errors = []
    for number in range(8):
        with pytest.raises(APIError) as caught:
            providers.complete(ask(f"question {number}"), scope(ears))
        errors.append(caught.value)
    assert server.calls == 3
    assert [isinstance(error, CircuitOpenError) for error in errors] == [False] * 3 + [True] * 5
    assert [attempt.status for attempt in errors[-1].attempts] == [None]
    (info,) = providers.list()
    assert info.state == "open"
    assert info.retry_in_seconds is not None
    assert 500 < info.retry_in_seconds <= 600
    server.script(http(200, b'{"data": [{"id": "m"}]}'), path="/v1/models")
    health = providers.check("acme")
    assert health.ok
    assert "failed 3 times in a row" in health.message
    assert KEY not in repr([errors, [str(e) for e in errors], [e.attempts for e in errors], info, health, ears.heard])


def test_retries_end_where_the_circuit_opens(make: MakeProviders, server: FaultyServer) -> None:
    providers = provider(make, server)
    again = {"Retry-After": "0"}
    server.default = status(503, headers=again)
    with pytest.raises(CircuitOpenError) as caught:
        providers.complete(ask(), scope(max_retries=9))
    assert [attempt.status for attempt in caught.value.attempts] == [503, 503, 503, None]
    assert server.calls == 3


def test_it_is_asked_again_by_one_call_and_comes_back(make: MakeProviders, server: FaultyServer) -> None:
    providers = provider(make, server, seconds=0.05, failures=2)
    server.script(status(500), status(500))
    for number in range(2):
        with pytest.raises(APIError):
            providers.complete(ask(f"first {number}"), scope())
    asked, go_on = threading.Event(), threading.Event()

    def slowly(connection: Connection) -> None:
        asked.set()
        assert go_on.wait(10)
        chat("back")(connection)

    server.script(slowly)
    while providers.list()[0].state != "half-open":
        time.sleep(0.01)
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(providers.complete, ask(f"then {n}"), scope()) for n in range(16)]
        assert asked.wait(10)
        failed = [call for call in calls if isinstance(call.exception(10) if call.done() else None, CircuitOpenError)]
        while len(failed) < 15:
            time.sleep(0.01)
            failed = [call for call in calls if call.done() and isinstance(call.exception(), CircuitOpenError)]
        go_on.set()
        assert [call.result().text for call in calls if call not in failed] == ["back"]
    assert server.calls == 3
    assert providers.list()[0].state == "ready"
    assert providers.complete(ask("later"), scope()).text == "hello"


def test_hits_and_expired_answers_are_served_while_it_is_open(make: MakeProviders, server: FaultyServer) -> None:
    providers = provider(make, server, failures=1)
    providers.complete(ask("fresh"), scope())
    providers.complete(ask("old"), scope(policy=CachePolicy(ttl_seconds=0.001)))
    time.sleep(0.01)
    server.script(status(500))
    with pytest.raises(APIError):
        providers.complete(ask("new"), scope())
    assert providers.list()[0].state == "open"
    assert str(providers.complete(ask("fresh"), scope()).cache) == "hit"
    stale = providers.complete(ask("old"), scope())
    assert str(stale.cache) == "stale"
    assert "left alone" in (stale.attempts[0].error or "")
    assert server.calls == 3


def test_a_cancelled_call_does_not_count(make: MakeProviders, server: FaultyServer) -> None:
    providers = provider(make, server, failures=1)
    server.script(hang())
    cancel = CancelToken()
    threading.Timer(0.2, cancel.cancel).start()
    with pytest.raises(RunCancelledError):
        providers.complete(ask(), scope(cancel=cancel))
    assert providers.list()[0].state == "ready"
