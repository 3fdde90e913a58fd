"""How many requests and tokens a minute a provider, one of its models or an actor gets: calls wait for their turn."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from mcp_core.errors import APIError, MCPError, PermissionDeniedError
from mcp_core.models import Usage
from mcp_core.providers.base import CallScope, ChatRequest
from mcp_core.providers.shared import SharedBucket, SharedState

__all__ = ["ActorRates", "Bucket", "Headroom", "Rates", "Spending", "estimated_tokens", "spend"]

_BURST_SECONDS = 10.0
_BYTES_PER_TOKEN = 4
_USUAL_ANSWER = 256
_MOST_ACTORS = 1000


def estimated_tokens(request: ChatRequest, body: bytes) -> int:
    """About how many tokens a request will take: those of its body, and the longest answer it allows."""
    answer = _USUAL_ANSWER if request.max_tokens is None else request.max_tokens
    return len(body) // _BYTES_PER_TOKEN + answer


@dataclass(frozen=True, slots=True)
class Headroom:
    """What is left of a rate.

    Attributes:
        subject: whose it is: a provider, a model as `provider/model`, or an actor's id.
        what: `requests` or `tokens`.
        left: how many can be had at once; below 0 where calls wait already.
        most: how many can be had at once after a rest.
    """

    subject: str
    what: str
    per_minute: int
    left: float
    most: float


class Bucket:
    """Fills evenly, by `per_minute` a minute, and holds what comes in ten seconds, at least 1.

    What is taken while too little is there is owed: whoever comes next waits longer. Thread-safe.

    Args:
        shared: keeps a bucket of that name for all processes; while it is away, each has one of its own.
    """

    def __init__(
        self,
        per_minute: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        shared: SharedState | None = None,
        name: str = "",
    ) -> None:
        self.per_minute = per_minute
        self._rate = per_minute / 60
        self.most = max(1.0, self._rate * _BURST_SECONDS)
        self._clock = clock
        self._lock = threading.Lock()
        self._level = self.most
        self._seen = clock()
        self._shared: SharedBucket | None = None
        if shared is not None:
            self._shared = shared.bucket(f"{name}:{per_minute}", per_second=self._rate, most=self.most)

    def take(self, amount: float) -> float:
        """Take an amount; returns the seconds until it is there. More than it ever holds is there when it is full."""
        return self._take(amount)[0]

    def give_back(self, amount: float) -> None:
        """Put back what was taken and not used; less than nothing takes more."""
        if amount:
            self._take(-amount)

    def left(self) -> float:
        """What can be had at once; below 0 where that much is owed."""
        return self._take(0.0)[1]

    def _take(self, amount: float) -> tuple[float, float]:
        if self._shared is not None and (found := self._shared.take(amount)) is not None:
            return found
        with self._lock:
            now = self._clock()
            self._level = min(self.most, self._level + (now - self._seen) * self._rate)
            self._seen = now
            wait = max(0.0, (min(amount, self.most) - self._level) / self._rate)
            self._level = min(self.most, self._level - amount)
            return wait, self._level


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
    """The rates of one subject, shared by all calls of this process, or of all processes.

    Args:
        subject: whose they are: a provider, a model as `provider/model`, or an actor's id.
        requests_per_minute, tokens_per_minute: None for no limit.
        of_actor: whether they bind who asks rather than who is asked.
        shared: where they are kept for all processes; None to count alone.
        name: distinguishes them there from the rates of others; default the subject.
    """

    def __init__(
        self,
        subject: str,
        requests_per_minute: int | None,
        tokens_per_minute: int | None,
        *,
        of_actor: bool = False,
        clock: Callable[[], float] = time.monotonic,
        shared: SharedState | None = None,
        name: str = "",
    ) -> None:
        self.subject = subject
        self.of_actor = of_actor
        self._buckets: list[tuple[str, Bucket]] = []
        for what, limit in (("requests", requests_per_minute), ("tokens", tokens_per_minute)):
            if limit:
                bucket = Bucket(limit, clock=clock, shared=shared, name=f"{name or subject}:{what}")
                self._buckets.append((what, bucket))

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return bool(self._buckets)

    def headroom(self) -> list[Headroom]:
        """What is left of each limit."""
        return [
            Headroom(self.subject, what, bucket.per_minute, bucket.left(), bucket.most)
            for what, bucket in self._buckets
        ]

    def spend(self, tokens: int, scope: CallScope) -> AbstractContextManager[Spending]:
        """As `spend`, for these rates alone."""
        return spend([self], tokens, scope)

    def take(self, tokens: int) -> "list[_Taken]":
        """Take one request of about `tokens`."""
        return [
            _Taken(self, what, bucket, amount, bucket.take(amount))
            for what, bucket in self._buckets
            for amount in (1 if what == "requests" else tokens,)
        ]

    def says(self, what: str, per_minute: int) -> str:
        """The limit as the beginning of a sentence."""
        return f"{self.subject} {'may use' if self.of_actor else 'takes'} {per_minute:,} {what} per minute"

    def refusal(self, message: str, seconds: float) -> MCPError:
        """What a call is told that cannot wait so long."""
        if self.of_actor:
            return PermissionDeniedError(
                message, hint="Run it again later, or ask an admin to raise MCP_ACTOR_REQUESTS_PER_MINUTE or "
                "MCP_ACTOR_TOKENS_PER_MINUTE.",
            )  # fmt: skip
        return APIError(
            message,
            hint="Run it again later, raise the task's time limit, or correct the provider's limits if its plan "
            "allows more.",
            provider=self.subject.partition("/")[0],
            retry_after=seconds,
        )


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a call took of one bucket, and the seconds until it is there."""

    rates: Rates
    what: str
    bucket: Bucket
    amount: float
    wait_seconds: float

    def settle(self, spending: Spending) -> None:
        if not spending.sent:
            self.bucket.give_back(self.amount)
        elif self.what == "tokens":
            self.bucket.give_back(self.amount - spending.tokens)


@contextmanager
def spend(limits: Sequence[Rates], tokens: int, scope: CallScope) -> Iterator[Spending]:
    """Wait until all of `limits` allow a request of about `tokens`, then let it be made inside the block.

    Emits `wait` {seconds, reason, message} where it has to wait.

    Raises:
        APIError: the wait would be longer than the run has left; it is not even begun.
        PermissionDeniedError: the same, where it is the actor's own limit.
        RunCancelledError, RunTimeoutError, RunInterruptedError: the work should stop and was still waiting.
    """
    spending = Spending(tokens)
    taken = [one for rates in limits for one in rates.take(tokens)]
    try:
        if taken:
            _wait(max(taken, key=lambda one: one.wait_seconds), scope)
        yield spending
    finally:
        for one in taken:
            one.settle(spending)


def _wait(longest: _Taken, scope: CallScope) -> None:
    seconds = longest.wait_seconds
    if not seconds:
        return
    reason = longest.rates.says(longest.what, longest.bucket.per_minute)
    remaining = scope.cancel.remaining()
    if remaining is not None and seconds >= remaining:
        raise longest.rates.refusal(
            f"{reason}: this call would wait {seconds:.1f} s for its turn, and the run has {remaining:.1f} s left.",
            seconds,
        )
    scope.emit(
        "wait",
        {
            "seconds": round(seconds, 3),
            "reason": reason,
            "message": f"{reason}: this call waits {seconds:.1f} s for its turn.",
        },
    )
    with scope.aside():
        scope.cancel.sleep(seconds)


class ActorRates:
    """The rates of everybody who asks, each the same and each for itself. Thread-safe.

    Those who asked last are remembered; who has not asked for long has full rates anyway.

    Args:
        requests_per_minute, tokens_per_minute: of one actor; None for no limit.
    """

    def __init__(
        self, requests_per_minute: int | None, tokens_per_minute: int | None, *, shared: SharedState | None = None
    ) -> None:
        self._limits = (requests_per_minute, tokens_per_minute)
        self._shared = shared
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Rates] = OrderedDict()

    def of(self, actor_id: str) -> Rates | None:
        """The rates of one actor; None where there is no limit, or nobody in particular asks."""
        if not actor_id or self._limits == (None, None):
            return None
        with self._lock:
            rates = self._known.get(actor_id)
            if rates is None:
                rates = Rates(actor_id, *self._limits, of_actor=True, shared=self._shared, name=f"actor {actor_id}")
                self._known[actor_id] = rates
                if len(self._known) > _MOST_ACTORS:
                    self._known.popitem(last=False)
            self._known.move_to_end(actor_id)
        return rates

    def known(self) -> list[Rates]:
        """Those who asked last, the latest first."""
        with self._lock:
            return list(reversed(self._known.values()))
