"""Writing runs and their events."""

from collections.abc import Callable, Sequence
from typing import Any

from loguru import logger
from sqlalchemy import Engine, and_, bindparam, delete, or_, select

from mcp_core.errors import StoreError
from mcp_core.models import Run, RunEvent
from mcp_core.store.codec import OPEN, Row, event_row, run_row
from mcp_core.store.journal import Journal
from mcp_core.store.rollups import KEPT, Rollups
from mcp_core.store.schema import run_events, runs
from mcp_core.store.statements import Statement, Transaction, insert
from mcp_core.store.writer import Operation

__all__ = ["OPEN", "TOKEN", "RunStatements", "SaveRun", "add_events", "create_run", "delete_runs", "spread_journal"]


# Set once, when a run is first stored: what it is and who asked. Leaving them alone spares their indexes.
_FIXED = frozenset(
    {"id", "created_at", "type", "name", "actor_id", "team", "model", "provider", "parent_id", "retry_of", "priority"}
)
TOKEN = "token"  # noqa: S105  (a kind of event, kept only while its run is open)


class RunStatements:
    """The statements of this module, compiled once."""

    def __init__(self, engine: Engine) -> None:
        self.journal = Journal(engine)
        new = insert(runs, engine)
        self.create = Statement(new.on_conflict_do_nothing(index_elements=[runs.c.id]), engine)
        self.save = Statement(
            new.on_conflict_do_update(
                index_elements=[runs.c.id],
                set_={c.name: new.excluded[c.name] for c in runs.columns if c.name not in _FIXED},
                where=and_(
                    runs.c.status.in_([bindparam(f"open_{i}", value, unique=False) for i, value in enumerate(OPEN)]),
                    or_(runs.c.owner.is_(None), runs.c.owner == new.excluded.owner),
                ),
            ),
            engine,
        )
        self.status = Statement(select(runs.c.status).where(runs.c.id == bindparam("run_id")), engine)
        self.kept = Statement(select(*KEPT).where(runs.c.id == bindparam("run_id")), engine)
        self.add_event = Statement(
            insert(run_events, engine).on_conflict_do_nothing(index_elements=list(run_events.primary_key.columns)),
            engine,
        )
        self.drop_tokens = Statement(
            delete(run_events).where(
                run_events.c.run_id == bindparam("run_id"), run_events.c.kind == bindparam("kind")
            ),
            engine,
        )
        self.delete = Statement(
            delete(runs).where(
                runs.c.id == bindparam("run_id"),
                runs.c.status.not_in([bindparam(f"open_{i}", value) for i, value in enumerate(OPEN)]),
            ),
            engine,
        )


class SaveRun(Operation[bool, Rollups]):
    """Store the whole record; the result tells whether it was this record that counted.

    It is encoded when it is written, so that a record which a newer one overtakes costs nothing.

    Args:
        settle: what else belongs into the same transaction, where the record counted.
    """

    def __init__(
        self,
        statements: RunStatements,
        run: Run,
        events: Sequence[RunEvent],
        artifact_bytes: int = 0,
        settle: Callable[[Transaction], None] | None = None,
    ) -> None:
        super().__init__(self._save, key=run.id, prepared=False)
        self._statements = statements
        self._run = run
        self._events = tuple(events)
        self._artifact_bytes = artifact_bytes
        self._settle = settle

    def absorb(self, earlier: Operation[Any, Rollups]) -> bool:
        """Take over an earlier save by the same owner, unless that one was final."""
        if not isinstance(earlier, SaveRun) or earlier._run.status.is_final or earlier._run.owner != self._run.owner:
            return False
        self._events = earlier._events + self._events
        return True

    def _save(self, transaction: Transaction, rollups: Rollups) -> bool:
        run, row = self._run, run_row(self._run)
        if run.status.is_final:
            row["stored_bytes"] += self._artifact_bytes
        events = [event_row(event) for event in self._events if not (run.status.is_final and event.kind == TOKEN)]
        stored = self._journalled(transaction, row, events)
        if stored is None:
            spread_journal(self._statements, transaction, rollups)
            stored = _store(self._statements, transaction, rollups, row, events)
        if stored and self._settle is not None:
            self._settle(transaction)
        return stored

    def _journalled(self, transaction: Transaction, row: Row, events: Sequence[Row]) -> bool | None:
        """Whether the journal took the record; None where it has to go to its tables at once."""
        if not self._statements.journal.takes(self._run):
            return None
        try:
            return self._statements.journal.add(transaction, row, events)
        except StoreError as error:
            logger.debug("Run {} is stored at once: {}", self._run.id, error)
            return None


def _store(
    statements: RunStatements, transaction: Transaction, rollups: Rollups, row: Row, events: Sequence[Row]
) -> bool:
    """Put a record and events into their tables; False where the rules of `runs` refuse it."""
    if not transaction.execute(statements.save, row):
        return False
    if row["status"] not in OPEN:
        transaction.execute(statements.drop_tokens, {"run_id": row["id"], "kind": TOKEN})
        rollups.add(row)
    if events:
        transaction.execute_many(statements.add_event, events)
    return True


def spread_journal(statements: RunStatements, transaction: Transaction, rollups: Rollups) -> None:
    """Put what the journal has into its tables. Due before anything but the record of a run is written or read."""
    statements.journal.spread(transaction, lambda row, events: _store(statements, transaction, rollups, row, events))


def create_run(statements: RunStatements, run: Run) -> Operation[bool, Rollups]:
    """Store a new run; the result is False where its id is taken."""
    row = run_row(run)

    def apply(transaction: Transaction, rollups: Rollups) -> bool:
        created = transaction.execute(statements.create, row) == 1
        if created and run.status.is_final:
            rollups.add(row)
        return created

    return Operation(apply, key=run.id)


def add_events(statements: RunStatements, run_id: str, events: Sequence[RunEvent]) -> Operation[None, Rollups]:
    """Store events of a run; a position that is taken keeps what it has, and a final run gets no tokens."""
    rows = [event_row(event) for event in events]
    for row in rows:
        if row["run_id"] != run_id:
            raise StoreError(f"An event of run {row['run_id']} cannot be stored with run {run_id}.")

    def apply(transaction: Transaction, _: Rollups) -> None:
        found = transaction.fetch(statements.status, {"run_id": run_id})
        if not found:
            raise StoreError(f"Events of run {run_id} cannot be stored: there is no such run.")
        is_open = found[0]["status"] in OPEN
        wanted = [row for row in rows if is_open or row["kind"] != TOKEN]
        if wanted:
            transaction.execute_many(statements.add_event, wanted)

    return Operation(apply, key=run_id)


def delete_runs(statements: RunStatements, run_ids: Sequence[str]) -> Operation[int, Rollups]:
    """Delete final runs with their events and artifacts; the result is how many there were."""

    def apply(transaction: Transaction, rollups: Rollups) -> int:
        count = 0
        for run_id in run_ids:
            kept = transaction.fetch(statements.kept, {"run_id": run_id})
            if transaction.execute(statements.delete, {"run_id": run_id}):
                count += 1
                rollups.forget_bytes(kept[0])
        return count

    return Operation(apply)
