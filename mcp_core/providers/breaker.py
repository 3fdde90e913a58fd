"""Leaving a server alone that keeps failing: closed, open, half-open with one probe."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Literal

from loguru import logger

from mcp_core.errors import APIError, CircuitOpenError, OutputMismatchError
from mcp_core.models import utcnow

__all__ = ["LONGEST_PAUSE", "Breaker", "CircuitState", "is_outage"]

CircuitState = Literal["closed", "open", "half-open"]

LONGEST_PAUSE = 10.0
"""How many times its first length a pause grows to, by doubling with every probe that fails."""


def is_outage(error: APIError) -> bool:
    """Whether a failure tells that the server is down: it gave no answer, or one that blames itself."""
    if error.status is None or error.status >= 500:
        return True
    return error.transient and error.status < 400


class Breaker:
    """Counts failures in a row; after `failures` of them nobody is let through for a while, then one probe is.

    Calls hold no lock while they are under way. What a call reports that was let through before the last change of
    state is not heard: it tells of a time that is over.

    Args:
        name: whom it guards, for messages.
        failures: failures in a row after which it opens.
        pause_seconds: how long it stays open the first time; doubled after each failed probe, up to ten times this.
    """

    def __init__(
        self, name: str, *, failures: int = 5, pause_seconds: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._limit = failures
        self._first_pause = pause_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._state: CircuitState = "closed"
        self._failures = 0
        self._pause = pause_seconds
        self._until = 0.0
        self._term = 0

    @property
    def state(self) -> CircuitState:
        """`open` while nobody is let through, `half-open` once a probe may be or is under way."""
        return "half-open" if self._state == "open" and self._clock() >= self._until else self._state

    @property
    def retry_in_seconds(self) -> float | None:
        """Seconds until a probe is let through; None unless open."""
        left = self._until - self._clock()
        return left if self._state == "open" and left > 0 else None

    def check(self) -> None:
        """Raise `CircuitOpenError` where `enter` would; takes nothing and lets nobody through."""
        if self._state == "half-open" or (self._state == "open" and self._clock() < self._until):
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
    def settle(self, term: int) -> Iterator[None]:
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

    def admit(self) -> int:
        """Let a call through, to be followed by `settle` with the number returned; raises as `enter`."""
        if self._state == "closed":
            return self._term
        with self._lock:
            state: CircuitState = self._state
            if state == "closed":
                return self._term
            if state == "half-open" or self._clock() < self._until:
                raise self.refusal()
            self._change("half-open")
            logger.info("{} is asked once, to see whether it is back", self._name)
            return self._term

    def _report(self, term: int, *, failed: bool) -> None:
        if not failed and not self._failures:
            return
        with self._lock:
            if term != self._term or self._state == "open":
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

    def _release(self, term: int) -> None:
        with self._lock:
            if term == self._term and self._state == "half-open":
                self._change("open")

    def _change(self, state: CircuitState) -> None:
        self._state = state
        self._term += 1
