"""One call for many equal ones at the same time: the first makes it, the others wait for its result."""

import copy
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mcp_core.control import CancelToken
from mcp_core.errors import MCPError, PermissionDeniedError, RunCancelledError, RunInterruptedError, RunTimeoutError

__all__ = ["SingleFlight", "take_turn"]

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 0.1
_STOPPED = (PermissionDeniedError, RunCancelledError, RunTimeoutError, RunInterruptedError)


@dataclass(eq=False, slots=True)
class _Follower:
    woken: threading.Event = field(default_factory=threading.Event)
    leads: bool = False


@dataclass(eq=False, slots=True)
class _Flight(Generic[T]):
    followers: list[_Follower] = field(default_factory=list)
    landed: bool = False
    result: T | None = None
    error: Exception | None = None


class SingleFlight(Generic[T]):
    """Joins equal calls that happen at once; remembers nothing once a call is over. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[str, _Flight[T]] = {}

    def run(self, key: str, fn: Callable[[], T], *, cancel: CancelToken) -> tuple[T, bool]:
        """The result of `fn`, or of the equal call that is under way, and whether this call made it.

        A leader that is cancelled, may not ask or runs out of its own time hands over to one of those who wait. Any
        other error is everybody's. A follower that is cancelled leaves; the call goes on for the others.

        Args:
            key: calls of one key are equal.
            fn: makes the call; must heed `cancel` by itself.
            cancel: of this caller alone.
        """
        cancel.check()
        with self._lock:
            flight = self._flights.get(key)
            follower = None
            if flight is None:
                flight = self._flights[key] = _Flight()
            else:
                follower = _Follower()
                flight.followers.append(follower)
        if follower is None or self._leads_after_wait(key, flight, follower, cancel):
            return self._lead(key, flight, fn, cancel), True
        if flight.error is not None:
            # Each thread raises its own where it can be copied: a traceback grows in every thread that raises it.
            raise copy.copy(flight.error) if isinstance(flight.error, MCPError) else flight.error
        return flight.result, False  # type: ignore[return-value]

    def _lead(self, key: str, flight: _Flight[T], fn: Callable[[], T], cancel: CancelToken) -> T:
        try:
            result = fn()
        except Exception as error:
            if cancel.cancelled or isinstance(error, _STOPPED):
                self._hand_over(key, flight)
            else:
                flight.error = error
                self._land(key, flight)
            raise
        except BaseException:
            self._hand_over(key, flight)
            raise
        flight.result = result
        self._land(key, flight)
        return result

    def _leads_after_wait(self, key: str, flight: _Flight[T], follower: _Follower, cancel: CancelToken) -> bool:
        try:
            with cancel.on_cancel(follower.woken.set):
                while not follower.woken.wait(cancel.remaining()):
                    cancel.cancel("timed_out")
        except BaseException:
            # The thread itself is interrupted: it must not inherit a call that it will not make.
            self._leave(key, flight, follower)
            raise
        if flight.landed:
            return False
        if cancel.cancelled:
            self._leave(key, flight, follower)
            cancel.check()
        return True

    def _leave(self, key: str, flight: _Flight[T], follower: _Follower) -> None:
        with self._lock:
            if not follower.leads:
                if not flight.landed:
                    flight.followers.remove(follower)
                return
        self._hand_over(key, flight)

    def _hand_over(self, key: str, flight: _Flight[T]) -> None:
        with self._lock:
            if flight.followers:
                heir = flight.followers.pop(0)
                heir.leads = True
                heir.woken.set()
            else:
                del self._flights[key]

    def _land(self, key: str, flight: _Flight[T]) -> None:
        with self._lock:
            flight.landed = True
            del self._flights[key]
            followers, flight.followers = flight.followers, []
        for follower in followers:
            follower.woken.set()


def take_turn(attempt: Callable[[], bool], cancel: CancelToken, on_wait: Callable[[], None]) -> None:
    """Wait until `attempt`, of `Cache.lock`, succeeds: until no other process makes what is wanted here.

    Args:
        cancel: ends the wait, as its deadline does, with the error it raises.
        on_wait: called once, where there is something to wait for.
    """
    if attempt():
        return
    on_wait()
    pause = _FIRST_PAUSE_SECONDS
    while not attempt():
        if cancel.remaining() == 0.0:
            cancel.cancel("timed_out")
        cancel.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE_SECONDS)
