"""What `submit` returns: a grip on a run that goes on by itself."""

from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Protocol

from mcp_core.errors import RunTimeoutError
from mcp_core.formats import seconds
from mcp_core.models import Run, RunEvent

__all__ = ["RunHandle", "still_going_on"]


class _Runs(Protocol):
    def get(self, run_id: str) -> Run: ...
    def follow(self, run_id: str, after_seq: int = 0, *, timeout: float | None = None) -> Iterator[RunEvent]: ...
    def cancel(self, run_id: str) -> bool: ...


class RunHandle:
    """A grip on one run. Dropping it changes nothing for the run.

    Attributes:
        id: the run's id, which is also what links name.
        future: resolves to the finished run; None where another process has it.
        started: whether the call that returned this handle started the run; False where its id was in use.
    """

    def __init__(self, run_id: str, runs: _Runs, future: "Future[Run] | None", *, started: bool = False) -> None:
        self.id = run_id
        self._runs = runs
        self.future = future
        self.started = started

    @property
    def run(self) -> Run:
        """The run as it is now."""
        return self._runs.get(self.id)

    def events(self, after_seq: int = 0) -> Iterator[RunEvent]:
        """Events later than `after_seq`, as they come, until the run has finished."""
        return self._runs.follow(self.id, after_seq)

    def cancel(self) -> bool:
        """Stop the run; returns whether it was still open."""
        return self._runs.cancel(self.id)

    def result(self, timeout: float | None = None) -> Run:
        """Wait for the run to finish and return it, whatever its status.

        Args:
            timeout: longest wait in seconds; None for as long as it takes. The run goes on when it is over.

        Raises:
            RunTimeoutError: the wait is over and the run is not.
            RunInterruptedError: the app shut down before the run began.
        """
        if self.future is None:
            for _ in self._runs.follow(self.id, timeout=timeout):
                continue
            return self.run
        try:
            return self.future.result(timeout)
        except (FutureTimeoutError, CancelledError):
            raise still_going_on(self.id, timeout) from None


def still_going_on(run_id: str, timeout: float | None) -> RunTimeoutError:
    """What a wait ends with that was not long enough."""
    return RunTimeoutError(
        f"The run is still going on after {seconds(timeout)}.", hint=f"Follow it under its id {run_id}."
    )
