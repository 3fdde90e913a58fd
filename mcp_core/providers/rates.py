"""How many requests and tokens a provider gets a minute: calls wait for their turn, in the order they came."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mcp_core.errors import APIError
from mcp_core.models import Usage
from mcp_core.providers.base import CallScope, ChatRequest

__all__ = ["Bucket", "Rates", "Spending", "estimated_tokens"]

_BURST_SECONDS = 10.0
_BYTES_PER_TOKEN = 4
_USUAL_ANSWER = 256


def estimated_tokens(request: ChatRequest, body: bytes) -> int:
    """About how many tokens a request will take: those of its body, and the longest answer it allows."""
    answer = _USUAL_ANSWER if request.max_tokens is None else request.max_tokens
    return len(body) // _BYTES_PER_TOKEN + answer


class Bucket:
    """Fills evenly, by `per_minute` a minute, and holds what comes in ten seconds, at least 1.

    What is taken while too little is there is owed: whoever comes next waits longer. Thread-safe.
    """

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._rate = per_minute / 60
        self._most = max(1.0, self._rate * _BURST_SECONDS)
        self._clock = clock
        self._lock = threading.Lock()
        self._level = self._most
        self._seen = clock()

    def take(self, amount: float) -> float:
        """Take an amount; returns the seconds until it is there. More than it ever holds is there when it is full."""
        with self._lock:
            now = self._clock()
            self._level = min(self._most, self._level + (now - self._seen) * self._rate)
            self._seen = now
            wait = max(0.0, (min(amount, self._most) - self._level) / self._rate)
            self._level -= amount
            return wait

    def give_back(self, amount: float) -> None:
        """Put back what was taken and not used; less than nothing takes more."""
        with self._lock:
            self._level = min(self._most, self._level + amount)


@dataclass(slots=True)
class Spending:
    """What one call takes, to be corrected by whoever makes it.

    Attributes:
        sent: whether the request was sent; one that was not costs nothing.
        tokens: what it took; until that is known, what it was thought to take.
    """

    tokens: int
    sent: bool = False

    def answered(self, usage: Usage | None) -> None:
        """Count what the server counted; where it did not, the guess stays."""
        if usage is not None:
            self.tokens = usage.input_tokens + usage.output_tokens


class Rates:
    """The rates of one provider, shared by all calls of this process.

    Args:
        requests_per_minute, tokens_per_minute: None for no limit.
    """

    def __init__(
        self,
        provider: str,
        requests_per_minute: int | None,
        tokens_per_minute: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider = provider
        self._requests = Bucket(requests_per_minute, clock=clock) if requests_per_minute else None
        self._tokens = Bucket(tokens_per_minute, clock=clock) if tokens_per_minute else None

    @contextmanager
    def spend(self, tokens: int, scope: CallScope) -> Iterator[Spending]:
        """Wait until the rates allow a request of about `tokens`, then let it be made inside the block.

        Emits `wait` {seconds, message} where it has to wait.

        Raises:
            APIError: the wait would be longer than the run has left; it is not even begun.
            RunCancelledError, RunTimeoutError, RunInterruptedError: the work should stop and was still waiting.
        """
        spending = Spending(tokens)
        if self._requests is None and self._tokens is None:
            yield spending
            return
        waits = []
        if self._requests is not None:
            waits.append((self._requests.take(1), f"{self._requests.per_minute:,} requests"))
        if self._tokens is not None:
            waits.append((self._tokens.take(tokens), f"{self._tokens.per_minute:,} tokens"))
        try:
            self._wait(*max(waits), scope)
            yield spending
        finally:
            if self._requests is not None and not spending.sent:
                self._requests.give_back(1)
            if self._tokens is not None:
                self._tokens.give_back(tokens - spending.tokens if spending.sent else tokens)

    def _wait(self, seconds: float, limit: str, scope: CallScope) -> None:
        if not seconds:
            return
        remaining = scope.cancel.remaining()
        if remaining is not None and seconds >= remaining:
            raise APIError(
                f"{self._provider} takes {limit} per minute: this call would wait {seconds:.1f} s for its turn, "
                f"and the run has {remaining:.1f} s left.",
                hint="Run it again later, raise the task's time limit, or correct the provider's limits if its plan "
                "allows more.",
                provider=self._provider,
                retry_after=seconds,
            )
        scope.emit(
            "wait",
            {
                "seconds": round(seconds, 3),
                "message": f"{self._provider} takes {limit} per minute: this call waits {seconds:.1f} s for its turn.",
            },
        )
        with scope.aside():
            scope.cancel.sleep(seconds)
