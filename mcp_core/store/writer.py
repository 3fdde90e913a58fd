"""The one writer of a process: whoever holds the lock writes for everybody who waits (flat combining).

A lone caller writes in its own thread. Callers that meet share one transaction, and so one commit.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from loguru import logger

from mcp_core.errors import MCPError
from mcp_core.store.engine import Database
from mcp_core.store.statements import Transaction

__all__ = ["Closing", "Operation", "Writer"]

T = TypeVar("T")

_MOST_PENDING = 1000
"""Operations nobody waits for that may pile up before somebody has to write them."""


class Closing(Protocol):
    """What is added up over the operations of a transaction and written once at its end."""

    def write(self, transaction: Transaction) -> None:
        """Write it."""


C = TypeVar("C", bound=Closing)


class Operation(Generic[T, C]):
    """One thing to write, and what became of it.

    Args:
        apply: does the work inside a transaction; called again in another one if a neighbour's failure undid it.
        key: what it concerns (a run's id); operations with one key keep their order.
        prepared: whether the writer's `prepare` is due before it.
    """

    def __init__(self, apply: Callable[[Transaction, C], T], *, key: str = "", prepared: bool = True) -> None:
        self.apply = apply
        self.key = key
        self.prepared = prepared
        self.done = False
        self.awaited = True
        self.value: T | None = None
        self.error: MCPError | None = None

    def outcome(self) -> T:
        """What `apply` returned, once it is done. Raises `StoreError` where it could not be."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # it is set: done, and without an error

    def absorb(self, earlier: "Operation[Any, C]") -> bool:  # noqa: ARG002  (kinds of operation that can, override it)
        """Take over the work of `earlier`, of the same key; False where both have to be done."""
        return False


class Writer(Generic[C]):
    """Runs operations in transactions; thread-safe.

    Args:
        new_closing: makes the accumulator of one transaction, which its operations are given.
        prepare: brings the tables up to date for an operation that counts on them.
    """

    def __init__(
        self,
        database: Database,
        new_closing: Callable[[], C],
        prepare: Callable[[Transaction, C], None] = lambda _transaction, _closing: None,
    ) -> None:
        self._database = database
        self._new_closing = new_closing
        self._prepare = prepare
        self._pending: deque[Operation[Any, C]] = deque()
        self._lock = threading.Lock()
        self._closed = False

    def run(self, operation: Operation[T, C]) -> T:
        """Do it now, along with all that is pending, and return its result once it is committed.

        Raises:
            StoreError: it could not be written; its neighbours are not affected.
        """
        self._pending.append(operation)
        with self._lock:
            if not operation.done:
                self._check_open()
                self._drain()
        return operation.outcome()

    def run_alone(self, operation: Operation[T, C]) -> T:
        """Do it on this thread, in a transaction of its own: for work that nobody else should be kept busy with.

        Raises:
            StoreError: it could not be written.
        """
        with self._lock:
            self._check_open()
            self._write([[operation]])
        return operation.outcome()

    def defer(self, operation: Operation[Any, C]) -> None:
        """Leave it to the next writer or `flush`; a failure is logged as WARNING."""
        self._check_open()
        operation.awaited = False
        self._pending.append(operation)
        if len(self._pending) > _MOST_PENDING:
            self.flush()

    def flush(self) -> None:
        """Write all that is pending."""
        with self._lock:
            self._drain()

    def close(self) -> None:
        """Write all that is pending and refuse what comes later."""
        with self._lock:
            try:
                self._drain()
            finally:
                self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise self._database.closed_error()

    def _drain(self) -> None:
        operations: list[Operation[Any, C]] = []
        while self._pending:
            operations.append(self._pending.popleft())
        if not operations:
            return
        try:
            self._write(_combine(operations))
        except BaseException:
            # The writing thread itself is being stopped: what it did not finish is left to the next writer.
            self._pending.extendleft(operation for operation in reversed(operations) if not operation.done)
            raise

    def _write(self, groups: list[list[Operation[Any, C]]]) -> None:
        error, began = self._attempt(groups)
        if error is None or not began or len(groups) == 1:
            _settle(groups, error)
            return
        # One of them spoils it for all: each gets its own transaction.
        for position, group in enumerate(groups):
            error, began = self._attempt([group])
            if error is not None and not began:
                _settle(groups[position:], error)
                return
            _settle([group], error)

    def _attempt(self, groups: list[list[Operation[Any, C]]]) -> tuple[MCPError | None, bool]:
        """Try all in one transaction; returns why nothing was written (None where it was), and whether it began."""
        try:
            connection = self._database.begin()
        except MCPError as error:
            return error, False
        try:
            cursor = connection.cursor()
            transaction, closing = Transaction(cursor), self._new_closing()
            for group in groups:
                if group[-1].prepared:
                    self._prepare(transaction, closing)
                group[-1].value = group[-1].apply(transaction, closing)
            closing.write(transaction)
            cursor.close()
            connection.commit()
        except MCPError as error:
            self._database.undo(connection, error)
            return error, True
        except Exception as error:  # noqa: BLE001  (the edge of the room: whatever the driver raises is translated)
            self._database.undo(connection, error)
            return self._database.explain(error, "written"), True
        except BaseException as error:
            self._database.undo(connection, error)
            raise
        finally:
            self._database.finish(connection)
        return None, True


def _combine(operations: list[Operation[Any, C]]) -> list[list[Operation[Any, C]]]:
    """Groups in order; the last of a group does the work of all, at the place of the first."""
    groups: list[list[Operation[Any, C]]] = []
    latest: dict[str, list[Operation[Any, C]]] = {}
    for operation in operations:
        group = latest.get(operation.key) if operation.key else None
        if group is not None and operation.absorb(group[-1]):
            group.append(operation)
        else:
            group = [operation]
            groups.append(group)
            latest[operation.key] = group
    return groups


def _settle(groups: list[list[Operation[Any, C]]], error: MCPError | None) -> None:
    for group in groups:
        for operation in group:
            operation.value = group[-1].value
            operation.error = error
            operation.done = True
            if error is not None and not operation.awaited:
                logger.warning("A deferred write to the history was lost: {}", error)
