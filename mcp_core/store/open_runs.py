"""Runs that are not over, over all processes: who has them, and who asked for them to be cancelled."""

from sqlalchemy import bindparam, delete, func, select

from mcp_core.models import RunStatus, utcnow
from mcp_core.store.codec import OPEN, from_micros, plain, to_micros
from mcp_core.store.engine import Database
from mcp_core.store.rollups import Rollups
from mcp_core.store.runs import RunStatements
from mcp_core.store.schema import cancellations, leases, rollup_runs, runs
from mcp_core.store.standing import OpenRun, Process, ProcessLoad
from mcp_core.store.statements import Statement, Transaction, insert, now_micros
from mcp_core.store.writer import Operation, Writer

__all__ = ["OpenRuns"]

_COLUMNS = (
    runs.c.id,
    runs.c.type,
    runs.c.name,
    runs.c.model,
    runs.c.actor_id,
    runs.c.priority,
    runs.c.status,
    runs.c.owner,
    runs.c.created_at,
    runs.c.started_at,
)


class OpenRuns:
    """Questions about queued and running runs, and requests to cancel those of other processes."""

    def __init__(self, database: Database, writer: Writer[Rollups], statements: RunStatements) -> None:
        self._database = database
        self._writer = writer
        self._statements = statements
        engine = database.engine
        self._ask = Statement(
            insert(cancellations, engine).on_conflict_do_nothing(index_elements=[cancellations.c.run_id]), engine
        )
        self._done = Statement(delete(cancellations).where(cancellations.c.run_id == bindparam("done")), engine)
        self._asked = select(cancellations.c.run_id, runs.c.owner, runs.c.status).join(
            runs, runs.c.id == cancellations.c.run_id
        )
        self._processes = select(leases, (now_micros(engine) - leases.c.heartbeat_at).label("age")).order_by(
            leases.c.owner
        )

    def find(self, status: RunStatus, limit: int) -> list[OpenRun]:
        """The oldest runs with that status."""
        wanted = (
            select(*_COLUMNS).where(runs.c.status == status.value).order_by(runs.c.created_at, runs.c.id).limit(limit)
        )
        with self._database.reading() as connection:
            rows = connection.execute(wanted).mappings().all()
        return [
            OpenRun(
                id=row["id"],
                type=row["type"],
                name=row["name"],
                model=row["model"],
                actor_id=row["actor_id"],
                priority=row["priority"],
                status=RunStatus(row["status"]),
                owner=row["owner"],
                created_at=from_micros(row["created_at"]),
                started_at=None if row["started_at"] is None else from_micros(row["started_at"]),
            )
            for row in rows
        ]

    def counts(self) -> dict[str, int]:
        """How many runs are queued and how many are running."""
        wanted = select(runs.c.status, func.count()).where(runs.c.status.in_(OPEN)).group_by(runs.c.status)
        with self._database.reading() as connection:
            found = {str(status): int(count) for status, count in connection.execute(wanted)}
        return {status: found.get(status, 0) for status in OPEN}

    def processes(self, older_than_seconds: float) -> list[Process]:
        """Processes with a heartbeat that is younger than that."""
        with self._database.reading() as connection:
            rows = connection.execute(self._processes).mappings().all()
        return [
            Process(
                owner=row["owner"],
                host=row["host"],
                pid=row["pid"],
                load=ProcessLoad(workers=row["workers"], given_up=row["given_up"], queue_size=row["queue_size"]),
                heard_seconds=max(0.0, row["age"] / 1e6),
            )
            for row in rows
            if abs(row["age"]) <= older_than_seconds * 1e6
        ]

    def ask_to_cancel(self, run_id: str, actor_id: str) -> bool:
        """Leave a request for whoever has the run; returns whether the run is open."""

        def apply(transaction: Transaction, _: Rollups) -> bool:
            found = transaction.fetch(self._statements.status, {"run_id": run_id})
            if not found or found[0]["status"] not in OPEN:
                return False
            values = {"run_id": run_id, "actor_id": plain(actor_id), "asked_at": to_micros(utcnow())}
            transaction.execute(self._ask, values)
            return True

        return self._writer.run(Operation(apply, key=run_id))

    def asked_to_cancel(self, owner: str) -> list[str]:
        """Open runs of that process which somebody wants cancelled. Requests that are done with are removed."""
        with self._database.reading() as connection:
            rows = connection.execute(self._asked).all()
        over = [run_id for run_id, _, status in rows if status not in OPEN]
        if over:

            def apply(transaction: Transaction, _: Rollups) -> None:
                for run_id in over:
                    transaction.execute(self._done, {"done": run_id})

            self._writer.run(Operation(apply))
        return [run_id for run_id, whose, status in rows if whose == owner and status in OPEN]

    def stored_bytes(self) -> dict[str, int]:
        """Bytes of outputs and files kept, by actor."""
        wanted = select(rollup_runs.c.actor, func.sum(rollup_runs.c.stored_bytes)).group_by(rollup_runs.c.actor)
        with self._database.reading() as connection:
            return {str(actor): max(0, int(total)) for actor, total in connection.execute(wanted)}
