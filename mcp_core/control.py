"""Stopping work that runs: a token that any thread may cancel, with callbacks that unblock what waits."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from loguru import logger

from mcp_core.errors import ExecutionError, RunCancelledError, RunInterruptedError, RunTimeoutError

__all__ = ["CancelReason", "CancelToken"]

CancelReason = Literal["cancelled", "timed_out", "shutdown"]

_ERRORS: Mapping[CancelReason, Callable[[], ExecutionError]] = {
    "cancelled": lambda: RunCancelledError("The run was cancelled.", hint="Run it again if that was not meant."),
    "timed_out": lambda: RunTimeoutError(
        "The run took longer than its time limit.", hint="Raise the task's `timeout` or make the task smaller."
    ),
    "shutdown": lambda: RunInterruptedError("The app stopped before the run finished.", hint="Run it again."),
}


class CancelToken:
    """Tells running work to stop, and why. Thread-safe; the first reason wins.

    Args:
        deadline: `time.monotonic()` value at which the work has to be over; None for no limit. The token does not
            watch the clock by itself: whoever owns it cancels it when the deadline has passed.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline = deadline
        self.reason: CancelReason | None = None
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], object]] = []

    @property
    def cancelled(self) -> bool:
        """Whether the work should stop."""
        return self.reason is not None

    def cancel(self, reason: CancelReason = "cancelled") -> bool:
        """Ask the work to stop; returns whether this call was the first to ask."""
        with self._lock:
            if self.reason is not None:
                return False
            self.reason = reason
            callbacks = tuple(self._callbacks)
        self._event.set()
        for callback in callbacks:
            try:
                callback()
            except Exception:  # noqa: BLE001  # one that fails must not keep the others from unblocking their work
                logger.opt(exception=True).error("Something that was to be stopped could not be told.")
        return True

    def check(self) -> None:
        """Raise `RunCancelledError`, `RunTimeoutError` or `RunInterruptedError` if the work should stop."""
        if self.reason is not None:
            error = _ERRORS[self.reason]()
            raise error

    def remaining(self) -> float | None:
        """Seconds until the deadline, not below 0; None where there is none."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until the work should stop; then raise as `check` does."""
        self._event.wait(seconds)
        self.check()

    @contextmanager
    def on_cancel(self, callback: Callable[[], object]) -> Iterator[None]:
        """Call `callback` (from the cancelling thread) if the work is asked to stop inside the block."""
        with self._lock:
            self._callbacks.append(callback)
            late = self.reason is not None
        if late:
            callback()
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)
