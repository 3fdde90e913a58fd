import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from mcp_core.cache.singleflight import SingleFlight
from mcp_core.control import CancelToken
from mcp_core.errors import APIError, RunCancelledError, RunTimeoutError

pytestmark = [pytest.mark.cache, pytest.mark.unit]


class Call:
    """Work that counts its calls and goes on when it is let."""

    def __init__(self, result: str = "answer") -> None:
        self.calls = 0
        self.started = threading.Event()
        self.go_on = threading.Event()
        self.error: BaseException | None = None
        self._result = result
        self._lock = threading.Lock()

    def __call__(self) -> str:
        with self._lock:
            self.calls += 1
        self.started.set()
        assert self.go_on.wait(20)
        if self.error is not None:
            raise self.error
        return self._result


@pytest.fixture
def flights() -> SingleFlight[str]:
    return SingleFlight()


def waits_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.002)


def followers(flights: SingleFlight[str], key: str = "k") -> int:
    flight = flights._flights.get(key)
    return len(flight.followers) if flight else 0


def joined(
    flights: SingleFlight[str], pool: ThreadPoolExecutor, call: Call, cancel: CancelToken
) -> "Future[tuple[str, bool]]":
    """Submit a call that follows the one under way, and wait until it does."""
    before = followers(flights)
    future = pool.submit(flights.run, "k", call, cancel=cancel)
    waits_for(lambda: followers(flights) > before or future.done())
    return future


def test_thirty_two_threads_make_one_call(flights: SingleFlight[str]) -> None:
    call = Call()
    with ThreadPoolExecutor(32) as pool:
        futures = [pool.submit(flights.run, "k", call, cancel=CancelToken()) for _ in range(32)]
        waits_for(lambda: followers(flights) == 31)
        call.go_on.set()
        results = [future.result(20) for future in futures]
    assert call.calls == 1
    assert {answer for answer, _ in results} == {"answer"}
    assert sum(led for _, led in results) == 1


def test_different_keys_do_not_wait_for_each_other(flights: SingleFlight[str]) -> None:
    blocked, free = Call(), Call("other")
    free.go_on.set()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(flights.run, "k", blocked, cancel=CancelToken())
        assert blocked.started.wait(20)
        assert flights.run("other", free, cancel=CancelToken()) == ("other", True)
        blocked.go_on.set()
        assert first.result(20) == ("answer", True)


def test_nothing_is_remembered(flights: SingleFlight[str]) -> None:
    call = Call()
    call.go_on.set()
    for _ in range(3):
        assert flights.run("k", call, cancel=CancelToken()) == ("answer", True)
    assert call.calls == 3


@pytest.mark.parametrize("error", [APIError("The server is down.", provider="acme", status=500), ValueError("no")])
def test_an_error_is_everybodys(flights: SingleFlight[str], error: Exception) -> None:
    call = Call()
    call.error = error
    with ThreadPoolExecutor(4) as pool:
        leader = pool.submit(flights.run, "k", call, cancel=CancelToken())
        assert call.started.wait(20)
        waiting = [joined(flights, pool, call, CancelToken()) for _ in range(3)]
        call.go_on.set()
        errors = [future.exception(20) for future in [leader, *waiting]]
    assert call.calls == 1
    assert {(type(found), str(found)) for found in errors} == {(type(error), str(error))}
    assert all(getattr(found, "status", None) == getattr(error, "status", None) for found in errors)
    assert flights._flights == {}


@pytest.mark.parametrize("stopped", [RunCancelledError("stop"), RunTimeoutError("slow"), KeyboardInterrupt()])
def test_a_follower_takes_over_from_a_stopped_leader(flights: SingleFlight[str], stopped: BaseException) -> None:
    first, second = Call(), Call("from the heir")
    first.error = stopped
    with ThreadPoolExecutor(8) as pool:
        leader = pool.submit(flights.run, "k", first, cancel=CancelToken())
        assert first.started.wait(20)
        waiting = [joined(flights, pool, second, CancelToken()) for _ in range(5)]
        first.go_on.set()
        assert type(leader.exception(20)) is type(stopped)
        assert second.started.wait(20)
        second.go_on.set()
        results = [future.result(20) for future in waiting]
    assert (first.calls, second.calls) == (1, 1)
    assert sorted(led for _, led in results) == [False] * 4 + [True]
    assert {answer for answer, _ in results} == {"from the heir"}


def test_a_cancelled_leader_hands_over_whatever_its_call_raised(flights: SingleFlight[str]) -> None:
    first, second = Call(), Call()
    first.error = APIError("The connection was closed.")
    second.go_on.set()
    cancel = CancelToken()
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(flights.run, "k", first, cancel=cancel)
        assert first.started.wait(20)
        heir = joined(flights, pool, second, CancelToken())
        cancel.cancel()
        first.go_on.set()
        assert heir.result(20) == ("answer", True)
        assert isinstance(leader.exception(20), APIError)


def test_a_stopped_leader_without_followers_leaves_nothing(flights: SingleFlight[str]) -> None:
    call = Call()
    call.error = RunCancelledError("stop")
    call.go_on.set()
    with pytest.raises(RunCancelledError):
        flights.run("k", call, cancel=CancelToken())
    assert flights._flights == {}


def test_a_cancelled_follower_leaves_and_the_call_goes_on(flights: SingleFlight[str]) -> None:
    call = Call()
    cancel = CancelToken()
    with ThreadPoolExecutor(3) as pool:
        leader = pool.submit(flights.run, "k", call, cancel=CancelToken())
        assert call.started.wait(20)
        leaving, staying = joined(flights, pool, call, cancel), joined(flights, pool, call, CancelToken())
        cancel.cancel()
        assert isinstance(leaving.exception(20), RunCancelledError)
        assert followers(flights) == 1
        call.go_on.set()
        assert leader.result(20) == ("answer", True)
        assert staying.result(20) == ("answer", False)


def test_a_follower_heeds_its_own_deadline(flights: SingleFlight[str]) -> None:
    call = Call()
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(flights.run, "k", call, cancel=CancelToken())
        assert call.started.wait(20)
        late = pool.submit(flights.run, "k", call, cancel=CancelToken(deadline=time.monotonic() + 0.05))
        assert isinstance(late.exception(20), RunTimeoutError)
        call.go_on.set()
        assert leader.result(20) == ("answer", True)


def test_a_cancelled_caller_does_not_begin(flights: SingleFlight[str]) -> None:
    call, cancel = Call(), CancelToken()
    cancel.cancel()
    with pytest.raises(RunCancelledError):
        flights.run("k", call, cancel=cancel)
    assert call.calls == 0


def test_an_heir_that_is_cancelled_at_that_moment_passes_it_on(flights: SingleFlight[str]) -> None:
    """Leader and first follower are stopped by the same hand; the second follower still gets its answer."""
    for _ in range(50):
        first, second = Call(), Call()
        first.error = RunCancelledError("stop")
        second.go_on.set()
        cancel = CancelToken()
        with ThreadPoolExecutor(3) as pool:
            leader = pool.submit(flights.run, "k", first, cancel=cancel)
            assert first.started.wait(20)
            heir = joined(flights, pool, second, cancel)
            last = joined(flights, pool, second, CancelToken())
            first.go_on.set()
            cancel.cancel()
            assert last.result(20)[0] == "answer"
            assert isinstance(leader.exception(20), RunCancelledError)
            assert heir.exception(20) is None or isinstance(heir.exception(20), RunCancelledError)
        assert flights._flights == {}


def test_a_follower_whose_thread_is_interrupted_is_nobodys_heir(flights: SingleFlight[str]) -> None:
    class Interrupted(CancelToken):
        def remaining(self) -> float | None:
            raise KeyboardInterrupt

    call = Call()
    call.error = RunCancelledError("stop")
    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(flights.run, "k", call, cancel=CancelToken())
        assert call.started.wait(20)
        with pytest.raises(KeyboardInterrupt):
            flights.run("k", call, cancel=Interrupted())
        call.go_on.set()
        assert isinstance(leader.exception(20), RunCancelledError)
    assert flights._flights == {}
