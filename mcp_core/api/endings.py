"""How a run ends: once, with a checked output, on record before anybody is told."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from loguru import logger
from pydantic_core import PydanticSerializationError, to_jsonable_python

from mcp_core.api.guard import BudgetGuard
from mcp_core.api.live import LiveRun
from mcp_core.errors import (
    ConfigurationError,
    ExecutionError,
    MCPError,
    RunCancelledError,
    RunInterruptedError,
    RunTimeoutError,
    StoreError,
)
from mcp_core.models import Run, RunError, RunOutput, RunStatus, utcnow
from mcp_core.security.redaction import MASK, redactor
from mcp_core.store import Store

__all__ = ["Endings", "as_json_data", "checked_output", "error_of", "refuse_masked", "stopped"]


def as_json_data(data: Any, what: str) -> Any:
    """`data` as what JSON can say: sets become lists, dates text.

    Raises:
        ExecutionError: it has no JSON; names `what`.
    """
    try:
        return to_jsonable_python(data, inf_nan_mode="null")
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise ExecutionError(
            f"{what} is not JSON: {str(error)[:200]}.", hint="Return text, numbers, booleans, lists and mappings."
        ) from None


def checked_output(output: object, kind: str) -> RunOutput:
    """What an executor returned, with its data as JSON.

    Raises:
        ExecutionError: it is no `RunOutput`, or its data has no JSON.
    """
    if not isinstance(output, RunOutput):
        raise ExecutionError(
            f"The executor of {kind} returned {type(output).__name__}, allowed is RunOutput.",
            hint="Return `RunOutput(text=..., data=...)`.",
        )
    if output.data is None:
        return output
    return output.model_copy(update={"data": as_json_data(output.data, f"The output data of {kind}")})


def refuse_masked(run: Run) -> None:
    """Raise `ConfigurationError` if the run was given a secret: it is not kept, so the run cannot be made again."""
    if MASK in str(run.variables) or MASK in str(run.config):
        raise ConfigurationError(
            "The run was given a secret, which is not kept.", hint="Open it in the form and fill the secret in again."
        )


def error_of(error: MCPError) -> RunError:
    """The error as a run's record keeps it, secrets masked."""
    return RunError(type=type(error).__name__, message=redactor.shapes(error.message), hint=redactor.shapes(error.hint))


def stopped(live: LiveRun) -> tuple[RunStatus, ExecutionError]:
    """How a run ends that was told to stop, and why."""
    reason = live.token.reason or "cancelled"
    if reason == "timed_out":
        return RunStatus.TIMED_OUT, RunTimeoutError(
            f"The run took longer than its time limit of {live.config.timeout:g} s.",
            hint="Raise the task's `timeout`, or make the task smaller.",
        )
    if reason == "shutdown":
        return RunStatus.INTERRUPTED, RunInterruptedError(
            "The app stopped before the run finished.", hint="Resume it: it begins anew, as another run."
        )
    return RunStatus.CANCELLED, RunCancelledError("The run was cancelled.", hint="Run it again if that was not meant.")


class Endings:
    """Ends runs. A record that cannot be written is kept and tried again by `retry`.

    Args:
        forget: called when an ended run is on record and its process needs to know no more of it.
        guard: settles the run's budgets together with its record.
    """

    def __init__(self, store: Store, forget: Callable[[LiveRun], None], guard: BudgetGuard) -> None:
        self._store = store
        self._forget = forget
        self._guard = guard
        self._lock = threading.Lock()
        self._unsaved: list[LiveRun] = []

    def finish(
        self, live: LiveRun, status: RunStatus, *, output: RunOutput | None = None, error: MCPError | None = None
    ) -> None:
        """End the run with this status; does nothing if it has ended."""
        if not live.claim_finish():
            return
        live.run = live.run.model_copy(
            update={
                "status": status,
                "finished_at": _ended_at(live),
                "usage": live.tally.usage(),
                "cost_usd": live.tally.cost_usd() if live.sent or live.tally.called else Decimal(0),
                "cache": live.tally.cache() or live.events.cache_outcome(),
                "attempts": live.tally.attempts(),
                # What had come of an answer when its run was stopped is worth reading.
                "output": redactor.output(output or RunOutput(text=live.events.text_so_far())),
                "error": None if error is None else error_of(error),
            }
        )
        told = None if error is None else redactor.shapes(str(error))
        live.events.append("finished", {"status": status.value, **({"error": told} if told else {})})
        saved = self._save(live)
        _log(live.run, told)
        live.events.close()
        if saved:
            self._forget(live)
        live.future.set_result(live.run)

    def refuse(self, run: Run, error: MCPError) -> None:
        """Record a run that could not begin as failed."""
        now = utcnow()
        refused = run.model_copy(
            update={
                "status": RunStatus.FAILED,
                "started_at": now,
                "finished_at": now,
                "cost_usd": Decimal(0),
                "error": error_of(error),
            }
        )
        try:
            self._store.save_run(refused, settlement=self._guard.release(run))
            error.run_id = run.id
        except StoreError as store_error:
            logger.error("Run {} was refused and cannot be recorded: {}", run.id, store_error)
        _log(refused, redactor.shapes(str(error)))

    def give_away(self, queued: Sequence[LiveRun]) -> None:
        """Leave runs that have not begun to other processes at once, and not only when this one is gone."""
        try:
            if queued:
                self._store.give_away(queued[0].run.owner or "", [live.run.id for live in queued])
        except StoreError as error:
            logger.warning("What is queued here goes on elsewhere only when this process is gone: {}", error)

    def retry(self) -> None:
        """Try again to record what could not be recorded."""
        with self._lock:
            waiting, self._unsaved = self._unsaved, []
        for position, live in enumerate(waiting):
            if not self._save(live, again=True):
                # Each try may take as long as the history's longest wait. The one that failed goes to the end of the
                # line: what the history will never take must not keep the others waiting.
                with self._lock:
                    self._unsaved[:0] = waiting[position + 1 :]
                return
            logger.info("The end of run {} is on record now.", live.run.id)
            self._forget(live)

    def _save(self, live: LiveRun, *, again: bool = False) -> bool:
        try:
            saved = self._store.save_run(
                live.run,
                events=live.events.durable(),
                artifact_bytes=sum(live.artifact_sizes.values()),
                settlement=self._guard.settlement(live),
            )
            if saved is False:
                self._yield_to_others(live)
        except StoreError as error:
            level = "DEBUG" if again else "ERROR"
            logger.log(level, "Run {} ended as {} but cannot be recorded yet: {}", live.run.id, live.run.status, error)
            with self._lock:
                self._unsaved.append(live)
            return False
        return True

    def _yield_to_others(self, live: LiveRun) -> None:
        """Another process has ended or taken over the run: what it has on record counts."""
        stored = self._store.get_run(live.run.id)
        logger.warning("Run {} was taken from this process; its end here does not count.", live.run.id)
        if stored is not None:
            live.run = stored
        self._guard.give_back(live)


def _ended_at(live: LiveRun) -> datetime:
    """Now, by the clock that does not jump: how long a run took is right whatever is done to the other one."""
    if live.run.started_at is None:
        return max(live.run.created_at, utcnow())
    return live.run.started_at + timedelta(seconds=time.monotonic() - live.began)


def _log(run: Run, error: str | None) -> None:
    if run.status is RunStatus.SUCCEEDED:
        logger.info("Run {} succeeded, cache {}.", run.id, run.cache)
    elif run.status is RunStatus.FAILED:
        logger.warning("Run {} failed: {}", run.id, error)
    else:
        logger.info("Run {} ended as {}.", run.id, run.status)
