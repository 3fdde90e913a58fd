"""Every error a caller of Model Control Panel can meet.

::

    MCPError
    ├── ConfigurationError        you can fix it: a bad value, a missing key, an unknown model
    ├── PermissionDeniedError     your role, token, budget or rate limit does not allow it
    ├── ExecutionError            the task ran and failed
    │   ├── RunTimeoutError       it took longer than its time limit
    │   ├── RunCancelledError     somebody cancelled it
    │   ├── RunInterruptedError   the process that ran it died
    │   ├── OutputMismatchError   the model answered, but not as the output schema asks
    │   └── ResourceLimitError    it needed more memory, space or queue than it may have
    ├── APIError                  a model server answered wrongly or not at all
    │   └── CircuitOpenError      the server failed so often that it is left alone for a while
    ├── CacheError                the cache could not be read or written; never fails a run
    └── StoreError                the history could not be read or written

Each carries a `message` (what happened, one sentence) and a `hint` (what to do about it). Neither ever holds a secret.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

    from mcp_core.models import Attempt, Usage

__all__ = [
    "APIError",
    "CacheError",
    "CircuitOpenError",
    "ConfigurationError",
    "ExecutionError",
    "MCPError",
    "OutputMismatchError",
    "PermissionDeniedError",
    "ResourceLimitError",
    "RunCancelledError",
    "RunInterruptedError",
    "RunTimeoutError",
    "StoreError",
]


class MCPError(Exception):
    """Base of all errors.

    Args:
        message: what happened, as one sentence for a person.
        hint: what the person can do about it; empty where there is nothing to do.

    Attributes:
        run_id: the run that was refused for it and is in the history as failed; empty where there is none.
    """

    run_id = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class ConfigurationError(MCPError):
    """A setting, a task or an input is wrong and its author can fix it.

    Args:
        field: dotted path of the offending setting or field, where there is one.
        record: the message without what was found in a person's file, for what is kept; empty where there is none.
    """

    def __init__(self, message: str, *, hint: str = "", field: str | None = None, record: str = "") -> None:
        super().__init__(message, hint=hint)
        self.field = field
        self.record = record


class PermissionDeniedError(MCPError):
    """The actor's role, token, budget or rate limit does not allow this.

    Attributes:
        attempts: what was tried at model servers by then, oldest first.
    """

    attempts: "tuple[Attempt, ...]" = ()


class ExecutionError(MCPError):
    """The task ran and failed.

    Attributes:
        attempts: what was tried at model servers by then, oldest first.
    """

    attempts: "tuple[Attempt, ...]" = ()


class RunTimeoutError(ExecutionError):
    """The run took longer than its time limit."""


class RunCancelledError(ExecutionError):
    """The run was cancelled before it finished."""


class RunInterruptedError(ExecutionError):
    """The process that ran it died before the run finished."""


class OutputMismatchError(ExecutionError):
    """The model answered, but not as the output schema asks. The answer was paid for all the same.

    Attributes:
        usage: tokens of the answer; None where unknown.
        cost_usd: what it cost; None where unknown.
    """

    usage: "Usage | None" = None
    cost_usd: "Decimal | None" = None


class ResourceLimitError(ExecutionError):
    """The run needed more memory, space or queue than it may have."""


class APIError(MCPError):
    """A model server answered wrongly or not at all.

    Args:
        provider: name of the provider asked.
        status: HTTP status of the last answer; None where no answer came.
        attempts: what was tried, oldest first.
        retry_after: seconds the server asked to wait; None where it named none.
        transient: whether the same request may succeed if repeated.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        provider: str = "",
        status: int | None = None,
        attempts: "Sequence[Attempt]" = (),
        retry_after: float | None = None,
        transient: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.provider = provider
        self.status = status
        self.attempts = tuple(attempts)
        self.retry_after = retry_after
        self.transient = transient


class CircuitOpenError(APIError):
    """The provider failed so often that it is left alone for a while."""


class CacheError(MCPError):
    """The cache could not be read or written."""


class StoreError(MCPError):
    """The history could not be read or written."""
