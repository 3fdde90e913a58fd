"""A run while this process has it: its record, events, token, and what its calls added up to."""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from decimal import Decimal
from typing import Any

from mcp_core.api.events import EventLog
from mcp_core.control import CancelToken
from mcp_core.errors import (
    APIError,
    ExecutionError,
    OutputMismatchError,
    PermissionDeniedError,
    RunCancelledError,
    RunInterruptedError,
    RunTimeoutError,
)
from mcp_core.models import Actor, Attempt, CacheOutcome, Run, Usage
from mcp_core.providers.base import ChatRequest, Completion
from mcp_core.types.base import BaseMCPConfig, TypeDefinition

__all__ = ["LiveRun", "Tally"]


_STOPPED = (RunCancelledError, RunTimeoutError, RunInterruptedError)


class Tally:
    """What the model calls of one run add up to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: list[Completion] = []
        self._remembered: list[CacheOutcome] = []
        self._failed: list[Attempt] = []
        self._wasted: list[tuple[Usage, Decimal | None]] = []
        self._stakes: dict[int, tuple[ChatRequest, Decimal]] = {}
        self._stopped: ChatRequest | None = None
        self._broken = Decimal(0)

    def add(self, completion: Completion) -> None:
        """Count a finished call."""
        with self._lock:
            self._stakes.pop(threading.get_ident(), None)
            self._done.append(completion)

    def add_broken(self, about_usd: Decimal) -> None:
        """Count about what an answer cost that broke off; budgets do, while the run's own cost is what is known."""
        with self._lock:
            self._broken += about_usd

    def add_remembered(self, outcome: CacheOutcome) -> None:
        """Count a result of work that is no call, made or taken from the cache."""
        with self._lock:
            self._remembered.append(outcome)

    @property
    def called(self) -> bool:
        """Whether a model was asked or the cache answered in its place."""
        return bool(self._done or self._failed)

    def stake(self, request: ChatRequest, most_usd: Decimal) -> Decimal:
        """Note that this thread is about to make a call; returns what the run may then have cost in all, in dollars.

        What other threads are asking at the moment counts with what it may cost, until it is known what it did.
        """
        with self._lock:
            self._stakes[threading.get_ident()] = (request, most_usd)
            return self._known_cost() + sum((most for _, most in self._stakes.values()), Decimal(0))

    def broken_off(self) -> tuple[ChatRequest, int] | None:
        """The last call of known price that was stopped on its way, and how many characters of answers came before.

        None where none was.
        """
        with self._lock:
            under_way = next((request for request, _ in self._stakes.values()), None)
            request = self._stopped or under_way
            return None if request is None else (request, sum(len(done.text) for done in self._done))

    @property
    def unpriced(self) -> bool:
        """Whether a model of unknown price has answered."""
        return any(cost is None for cost in (*(c.cost_usd for c in self._done), *(cost for _, cost in self._wasted)))

    def known_cost_usd(self) -> Decimal:
        """Dollars of the calls whose price is known, and about those of answers that broke off."""
        with self._lock:
            return self._known_cost()

    def _known_cost(self) -> Decimal:
        costs = (*(done.cost_usd for done in self._done), *(cost for _, cost in self._wasted))
        return sum((cost for cost in costs if cost is not None), self._broken)

    def add_failed(self, error: APIError | ExecutionError | PermissionDeniedError) -> None:
        """Keep the attempts of a call that came to nothing, and what it cost if it was answered."""
        with self._lock:
            staked = self._stakes.pop(threading.get_ident(), None)
            if staked is not None and isinstance(error, _STOPPED):
                self._stopped = staked[0]
            self._failed.extend(error.attempts)
            if isinstance(error, OutputMismatchError) and error.attempts:
                self._wasted.append((error.usage or Usage(), error.cost_usd))

    def usage(self) -> Usage:
        """Tokens of all calls."""
        if len(self._done) == 1 and not self._wasted:
            return self._done[0].usage
        return sum([c.usage for c in self._done] + [usage for usage, _ in self._wasted], Usage())

    def cost_usd(self) -> Decimal | None:
        """Dollars of all calls; None as soon as one price is unknown, and where there was no call."""
        costs = [c.cost_usd for c in self._done] + [cost for _, cost in self._wasted]
        if not costs or any(cost is None for cost in costs):
            return None
        return sum((cost for cost in costs if cost is not None), Decimal(0))

    def attempts(self) -> tuple[Attempt, ...]:
        """All tries at model servers, in order."""
        return (*(a for c in self._done for a in c.attempts), *self._failed)

    def cache(self) -> CacheOutcome | None:
        """One outcome for all calls and results: `hit` if each was; else the least cached of them; None without any."""
        outcomes = [*(c.cache for c in self._done), *self._remembered]
        if len(outcomes) == 1:
            return outcomes[0]
        for name in ("miss", "bypass", "stale"):
            if any(o.outcome == name for o in outcomes):
                worst = next(o for o in outcomes if o.outcome == name)
                break
        else:
            if not outcomes:
                return None
            worst = outcomes[0]
        usd = [o.saved_usd for o in outcomes if o.saved_usd is not None]
        seconds = [o.saved_seconds for o in outcomes if o.saved_seconds is not None]
        return worst.model_copy(
            update={
                "saved_usd": sum(usd, Decimal(0)) if usd else None,
                "saved_seconds": sum(seconds) if seconds else None,
            }
        )


class LiveRun:
    """A run this process has queued or is running.

    Args:
        run: its record, with known secrets masked.
        actor: on whose behalf.
        config, variables: what is executed, as it was given.

    Attributes:
        sent: whether anything was sent to a model server.
        artifact_sizes: bytes of its files, by name.
        reserved_nano: what its budgets hold for it, in nano-dollars, as far as this process knows.
        may_hold: whether its budgets may hold anything for it.
        submitted, began: `time.monotonic()` of its submission, and of its start.
    """

    def __init__(
        self,
        run: Run,
        actor: Actor,
        config: BaseMCPConfig,
        variables: Mapping[str, Any],
        definition: TypeDefinition[BaseMCPConfig],
        *,
        stream: bool,
    ) -> None:
        self.run = run
        self.actor = actor
        self.config = config
        self.variables = variables
        self.definition = definition
        self.stream = stream
        self.sent = False
        self.artifact_sizes: dict[str, int] = {}
        self.reserved_nano = 0
        self.may_hold = False
        self.submitted = self.began = time.monotonic()
        self.events = EventLog(run.id)
        self.token = CancelToken()
        self.tally = Tally()
        self.future: Future[Run] = Future()
        # Marked as running, so that whoever stops waiting for it cannot cancel it: the run goes on.
        self.future.set_running_or_notify_cancel()
        self._finish = threading.Lock()

    @property
    def ended(self) -> bool:
        """Whether it has ended, or is about to."""
        return self._finish.locked()

    def claim_finish(self) -> bool:
        """Whether the caller may finish the run: true once."""
        return self._finish.acquire(blocking=False)
