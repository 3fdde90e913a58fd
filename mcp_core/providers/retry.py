"""Asking again after a failure that may pass: with jitter, as the server wishes, and never longer than allowed."""

import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from loguru import logger

from mcp_core.errors import APIError, ExecutionError, OutputMismatchError
from mcp_core.models import Attempt, utcnow
from mcp_core.providers.base import CallScope
from mcp_core.providers.failures import MAX_RETRY_AFTER, Target

__all__ = ["backoff_seconds", "with_retries"]

T = TypeVar("T")

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 20.0


def backoff_seconds(failures: int, retry_after: float | None, spread: Callable[[], float] = random.random) -> float:
    """Seconds to wait after the `failures`-th failure in a row.

    A server's `Retry-After` is honoured and lengthened by up to a tenth, so that those who were all sent away at once
    do not all come back at once; without one the wait is anything between 0 and 0.5, 1, 2, ... 20 seconds.
    """
    if retry_after is not None:
        return min(MAX_RETRY_AFTER, retry_after * (1 + spread() / 10))
    return spread() * min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(failures - 1, 16))


def with_retries(
    attempt: Callable[[], T],
    scope: CallScope,
    target: Target,
    *,
    revive: Callable[[APIError], bool] = lambda _: False,
    revivals: int = 1,
    shown: Callable[[], bool] = lambda: False,
    waited: Callable[[], float] = lambda: 0.0,
) -> tuple[T, tuple[Attempt, ...]]:
    """The result of `attempt`, repeated while its failures may pass, and the record of every try.

    Args:
        revive: whether a failure has been mended meanwhile (a server that died was started again, or there is
            another one); such a repeat happens at once, at most `revivals` times, and does not count.
        shown: whether the failed attempt has shown tokens, which the display then has to drop.
        waited: seconds of the last attempt that passed before the server was asked.

    Raises:
        APIError: the last failure; its `attempts` are all that was tried.
        ExecutionError: the work was stopped, or its answer rejected; with `attempts` too.
    """

    def record(status: int | None, error: str | None) -> Attempt:
        return Attempt(
            number=len(attempts) + 1,
            provider=target.provider,
            model=target.model,
            status=status,
            started_at=started_at,
            duration_seconds=time.perf_counter() - began,
            waited_seconds=waited(),
            error=error,
        )

    attempts: list[Attempt] = []
    failures = 0
    revived = 0
    while True:
        started_at, began = utcnow(), time.perf_counter()
        try:
            result = attempt()
        except APIError as error:
            attempts.append(record(error.status, error.message))
            error.attempts = tuple(attempts)
            if revived < revivals and revive(error):
                revived, wait = revived + 1, 0.0
            else:
                failures += 1
                if not error.transient or failures > scope.max_retries:
                    raise
                wait = backoff_seconds(failures, error.retry_after)
            remaining = scope.cancel.remaining()
            if remaining is not None and wait >= remaining:
                raise
            logger.info("{} failed, asking again in {:.2f} s: {}", target.name, wait, error.message)
            scope.emit(
                "retry",
                {"attempt": len(attempts), "wait_seconds": round(wait, 3), "error": error.message, "restart": shown()},
            )
            _pause(scope, wait, attempts)
        except ExecutionError as error:
            # Rejected for what it says, or stopped while it came: in both cases the server was asked.
            status = 200 if isinstance(error, OutputMismatchError) else None
            error.attempts = (*attempts, record(status, error.message))
            raise
        else:
            attempts.append(record(200, None))
            return result, tuple(attempts)


def _pause(scope: CallScope, seconds: float, attempts: Sequence[Attempt]) -> None:
    try:
        scope.cancel.sleep(seconds)
    except ExecutionError as stopped:
        stopped.attempts = tuple(attempts)
        raise
