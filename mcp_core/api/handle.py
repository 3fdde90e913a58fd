"""What `submit` returns: a grip on a run that goes on by itself."""

from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Protocol

from mcp_core.errors import RunTimeoutError
from mcp_core.models import Run, RunEvent

__all__ = ["RunHandle"]


class _Runs(Protocol):
    def get(self, run_id: str) -> Run: ...
    def follow(self, run_id: str, after_seq: int = 0) -> Iterator[RunEvent]: ...
    def cancel(self, run_id: str) -> bool: ...


class RunHandle:
    """A grip on one run. Dropping it changes nothing for the run.

    Attributes:
        id: the run's id, which is also what links name.
        future: resolves to the finished run; None where another process has it.
    """

    def __init__(self, run_id: str, runs: _Runs, future: "Future[Run] | None") -> None:
        self.id = run_id
        self._runs = runs
        self.future = future

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
            for _ in self.events():
                continue
            return self.run
        try:
            return self.future.result(timeout)
        except (FutureTimeoutError, CancelledError):
            raise RunTimeoutError(
                f"The run is still going on after {timeout} seconds.", hint=f"Follow it under its id {self.id}."
            ) from None
