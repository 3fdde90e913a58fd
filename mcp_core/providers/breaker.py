"""Leaving a server alone that keeps failing: closed, open, half-open with one probe."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Literal, NamedTuple, cast

from loguru import logger

from mcp_core.errors import APIError, CircuitOpenError, OutputMismatchError
from mcp_core.models import utcnow
from mcp_core.providers.shared import CircuitView, SharedCircuit

__all__ = ["LONGEST_PAUSE", "LOOK_SECONDS", "Breaker", "CircuitState", "Term", "is_outage"]

CircuitState = Literal["closed", "open", "half-open"]

LONGEST_PAUSE = 10.0
"""How many times its first length a pause grows to, by doubling with every probe that fails."""


LOOK_SECONDS = 1.0
"""How old the state of a shared circuit may be where it is only looked at."""


class Term(NamedTuple):
    """Between two changes of a circuit's state: its number, and whether it is that of a shared circuit."""

    number: int
    shared: bool = False


def is_outage(error: APIError) -> bool:
    """Whether a failure tells that the server is down: it gave no answer, or one that blames itself."""
    if error.status is None or error.status >= 500:
        return True
    return error.transient and error.status < 400


class Breaker:
    """Counts failures in a row; after `failures` of them nobody is let through for a while, then one probe is.

    With `shared`, the processes of a team count together, and one of them probes; while that is away each goes on with
    what it knew. Calls hold no lock while they are under way. What a call reports that was let through before the last
    change of state is not heard: it tells of a time that is over.

    Args:
        name: whom it guards, for messages.
        failures: failures in a row after which it opens.
        pause_seconds: how long it stays open the first time; doubled after each failed probe, up to ten times this.
        shared: the same circuit for all processes, made with the same figures; None to count alone.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int = 5,
        pause_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        shared: SharedCircuit | None = None,
    ) -> None:
        self._name = name
        self._limit = failures
        self._first_pause = pause_seconds
        self._clock = clock
        self._shared = shared
        self._look_due = float("-inf")
        self._lock = threading.Lock()
        self._state: CircuitState = "closed"
        self._failures = 0
        self._pause = pause_seconds
        self._until = 0.0
        self._term = 0

    @property
    def state(self) -> CircuitState:
        """`open` while nobody is let through, `half-open` once a probe may be or is under way."""
        self._look()
        return "half-open" if self._state == "open" and self._clock() >= self._until else self._state

    @property
    def retry_in_seconds(self) -> float | None:
        """Seconds until a probe is let through; None unless open."""
        self._look()
        left = self._until - self._clock()
        return left if self._state == "open" and left > 0 else None

    def check(self) -> None:
        """Raise `CircuitOpenError` where `enter` would; takes nothing and lets nobody through."""
        self._look()
        if self._refuses():
            # It may have closed elsewhere meanwhile: nobody is turned away for what was true a second ago.
            self._look(again=True)
            if self._refuses():
                raise self.refusal()

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Be let through for one call, whose end is counted.

        Raises:
            CircuitOpenError: the server is left alone for now.
        """
        with self.settle(self.admit()):
            yield

    @contextmanager
    def settle(self, term: Term) -> Iterator[None]:
        """Count how a call ends that `admit` let through as of `term`."""
        try:
            yield
        except APIError as error:
            self._report(term, failed=is_outage(error))
            raise
        except OutputMismatchError:
            self._report(term, failed=False)
            raise
        except BaseException:
            # Stopped, or never sent: this says nothing about the server. Where it was the probe, the next may be.
            self._release(term)
            raise
        else:
            self._report(term, failed=False)

    def refusal(self) -> CircuitOpenError:
        """What a call is told that is not let through."""
        left = self.retry_in_seconds
        if left is None:
            when = "one call is asking it now" if self._state == "half-open" else "the next call asks it"
            when += " whether it is back"
        else:
            at = utcnow() + timedelta(seconds=left)
            when = f"it is tried again in {max(1, round(left))} s, at {at:%H:%M:%S} UTC"
        return CircuitOpenError(
            f"{self._name} failed {self._failures} times in a row and is left alone for a while; {when}.",
            hint="Run it again after that, choose another model, or give the task `fallbacks`.",
            provider=self._name.partition(" ")[0],
            retry_after=left,
        )

    def admit(self) -> Term:
        """Let a call through, to be followed by `settle` with what is returned; raises as `enter`."""
        if self._shared is not None and (view := self._shared.admit()) is not None:
            self._mirror(view)
            if not view.effective:
                raise self.refusal()
            if view.state == "half-open":
                logger.info("{} is asked once, to see whether it is back", self._name)
            return Term(view.term, shared=True)
        if self._state == "closed":
            return Term(self._term)
        with self._lock:
            state: CircuitState = self._state
            if state == "closed":
                return Term(self._term)
            if self._refuses():
                raise self.refusal()
            self._change("half-open")
            logger.info("{} is asked once, to see whether it is back", self._name)
            return Term(self._term)

    def _report(self, term: Term, *, failed: bool) -> None:
        if not failed and not self._failures:
            return
        if term.shared and self._shared is not None:
            view = self._shared.report(term.number, failed=failed)
            if view is not None:
                self._mirror(view)
                if view.effective and view.state == "open":
                    logger.warning("{} failed and is left alone for {:.3g} s", self._name, view.pause_seconds)
                elif view.effective:
                    logger.info("{} is back", self._name)
                return
        with self._lock:
            if term.number != self._term or self._state == "open":
                return
            if not failed:
                if self._state == "half-open":
                    self._change("closed")
                    logger.info("{} is back", self._name)
                self._failures, self._pause = 0, self._first_pause
                return
            self._failures += 1
            if self._state == "half-open":
                self._pause = min(self._pause * 2, self._first_pause * LONGEST_PAUSE)
            elif self._failures < self._limit:
                return
            self._until = self._clock() + self._pause
            self._change("open")
        logger.warning("{} failed and is left alone for {:.3g} s", self._name, self._pause)

    def _release(self, term: Term) -> None:
        if term.shared and self._shared is not None:
            view = self._shared.release(term.number) if self._state == "half-open" else None
            if view is not None:
                self._mirror(view)
                return
        with self._lock:
            if term.number == self._term and self._state == "half-open":
                self._change("open")

    def _refuses(self) -> bool:
        return self._state == "half-open" or (self._state == "open" and self._clock() < self._until)

    def _look(self, *, again: bool = False) -> None:
        if self._shared is not None and (again or self._clock() >= self._look_due):
            self._look_due = self._clock() + LOOK_SECONDS
            view = self._shared.look()
            if view is not None:
                self._mirror(view)

    def _mirror(self, view: CircuitView) -> None:
        """Keep what all agree on, to go on with should it be out of reach."""
        with self._lock:
            self._state = cast("CircuitState", view.state)
            self._failures = view.failures
            self._pause = view.pause_seconds
            self._until = self._clock() + view.retry_in_seconds
            self._term = view.term
            self._look_due = self._clock() + LOOK_SECONDS

    def _change(self, state: CircuitState) -> None:
        self._state = state
        self._term += 1
