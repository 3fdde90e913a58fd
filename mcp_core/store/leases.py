"""Which process runs what: leases with a heartbeat, and what becomes of the runs of a process that died."""

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, bindparam, cast, delete, func, or_, select, update

from mcp_core.models import Run, RunError, RunEvent, RunStatus, utcnow
from mcp_core.store.budget_money import BudgetMoney
from mcp_core.store.budget_shapes import Settlement
from mcp_core.store.codec import event_row, read_run, run_row
from mcp_core.store.engine import Database
from mcp_core.store.rollups import Rollups
from mcp_core.store.runs import TOKEN, RunStatements
from mcp_core.store.schema import artifacts, leases, run_events, runs
from mcp_core.store.standing import ProcessLoad
from mcp_core.store.statements import Statement, Transaction, insert, now_micros
from mcp_core.store.writer import Operation, Writer

__all__ = ["LAPSED_SECONDS", "Leases"]

LAPSED_SECONDS = 15.0
"""Age of the last heartbeat at which a process is taken for dead."""

_LOAD = ("workers", "given_up", "queue_size")
_BATCH = 200
_FORGOTTEN_MICROS = 86_400_000_000
_RUNNING = RunStatus.RUNNING.value
_QUEUED = RunStatus.QUEUED.value
_INTERRUPTED = RunError(
    type="RunInterruptedError",
    message="The process that ran it died before the run finished.",
    hint="Resume it: it begins anew, as another run.",
)


class Leases:
    """Heartbeats, and taking over from the dead. One process wins each run, whoever else tries."""

    def __init__(
        self, database: Database, writer: Writer[Rollups], statements: RunStatements, money: BudgetMoney
    ) -> None:
        engine = database.engine
        self._money = money
        self._database = database
        self._writer = writer
        self._runs = statements
        now = now_micros(engine)
        beat = insert(leases, engine).values(heartbeat_at=now)
        self._beat = Statement(
            beat.on_conflict_do_update(
                index_elements=[leases.c.owner],
                set_={name: beat.excluded[name] for name in ("host", "pid", "heartbeat_at", *_LOAD)},
            ),
            engine,
        )
        self._release = Statement(
            delete(leases).where(
                or_(leases.c.owner == bindparam("lease"), leases.c.heartbeat_at < now - _FORGOTTEN_MICROS)
            ),
            engine,
        )
        dead_running = _of_dead(now, _RUNNING)
        self._any_dead = dead_running.with_only_columns(runs.c.id).order_by(None).limit(1)
        self._dead_running = Statement(dead_running.limit(_BATCH).with_for_update(of=runs, skip_locked=True), engine)
        self._dead_queued = Statement(
            _of_dead(now, _QUEUED)
            .where(runs.c.owner.is_not(None), runs.c.owner != bindparam("heir"))
            .where(or_(bindparam("only") == "", runs.c.id == bindparam("only")))
            .limit(bindparam("most"))
            .with_for_update(of=runs, skip_locked=True),
            engine,
        )
        self._disown = Statement(
            update(runs).where(runs.c.id == bindparam("run_id")).values(owner=bindparam("heir")), engine
        )
        self._artifact_bytes = Statement(
            select(cast(func.coalesce(func.sum(artifacts.c.size), 0), BigInteger).label("size")).where(
                artifacts.c.run_id == bindparam("run_id")
            ),
            engine,
        )
        self._give_away = Statement(
            update(runs)
            .where(
                runs.c.id == bindparam("run_id"),
                runs.c.owner == bindparam("lease"),
                runs.c.status == bindparam("queued", _QUEUED),
            )
            .values(owner=bindparam("nobody")),
            engine,
        )
        self._last_seq = Statement(
            select(func.coalesce(func.max(run_events.c.seq), 0).label("seq")).where(
                run_events.c.run_id == bindparam("run_id")
            ),
            engine,
        )

    def heartbeat(self, owner: str, load: ProcessLoad) -> None:
        """Say that the process which holds the lease `owner` is alive; takes the lease where it is new."""
        values = {"owner": owner, "host": socket.gethostname(), "pid": os.getpid()}
        values |= {name: getattr(load, name) for name in _LOAD}

        def apply(transaction: Transaction, _: Rollups) -> None:
            transaction.execute(self._beat, values)

        self._writer.run(Operation(apply))

    def release(self, owner: str) -> None:
        """Give the lease up. What it still runs counts as interrupted from now on; what it queued may be adopted."""

        def apply(transaction: Transaction, _: Rollups) -> None:
            transaction.execute(self._release, {"lease": owner})

        self._writer.run(Operation(apply))

    def give_away(self, owner: str, run_ids: Sequence[str]) -> None:
        """Leave queued runs of `owner` to others, while it still runs things under its lease."""

        def apply(transaction: Transaction, _: Rollups) -> None:
            # To them they look like the runs of a process that is gone: that owner never had a lease.
            for run_id in run_ids:
                transaction.execute(self._give_away, {"run_id": run_id, "lease": owner, "nobody": f"left-{owner}"})

        self._writer.run(Operation(apply))

    def interrupt_lapsed(self, older_than_seconds: float) -> list[Run]:
        """Make the running runs of dead processes `interrupted`; returns those that this call ended."""
        age = {"age": round(older_than_seconds * 1e6)}
        with self._database.reading() as connection:
            # Mostly there is nothing to do, and then nobody's writing has to wait.
            if connection.execute(self._any_dead, age).first() is None:
                return []

        def apply(transaction: Transaction, rollups: Rollups) -> list[Run]:
            return [self._interrupt(transaction, rollups, row) for row in transaction.fetch(self._dead_running, age)]

        ended = batch = self._writer.run(Operation(apply))
        while len(batch) == _BATCH:
            batch = self._writer.run(Operation(apply))
            ended = ended + batch
        return ended

    def _interrupt(self, transaction: Transaction, rollups: Rollups, row: Mapping[str, Any]) -> Run:
        run = read_run(row).model_copy(
            update={"status": RunStatus.INTERRUPTED, "finished_at": utcnow(), "error": _INTERRUPTED}
        )
        # The guard of `save` lets the run's own owner write, and one that nobody owns.
        row = run_row(run)
        row["stored_bytes"] += transaction.fetch(self._artifact_bytes, {"run_id": run.id})[0]["size"]
        transaction.execute(self._runs.save, row)
        # Who follows the run may have read the tokens, so the last event comes after them.
        seq = transaction.fetch(self._last_seq, {"run_id": run.id})[0]["seq"] + 1
        transaction.execute(self._runs.drop_tokens, {"run_id": run.id, "kind": TOKEN})
        data = {"status": run.status.value, "error": f"{_INTERRUPTED.message} {_INTERRUPTED.hint}"}
        event = RunEvent(run_id=run.id, seq=seq, kind="finished", at=utcnow(), data=data)
        transaction.execute(self._runs.add_event, event_row(event))
        self._money.settle(transaction, run.id, run.created_at, Settlement())
        rollups.add(row)
        return run

    def adopt_queued(self, owner: str, limit: int, older_than_seconds: float, run_id: str) -> list[Run]:
        """Take over at most `limit` queued runs of dead processes, oldest first; returns them as `owner`'s."""
        values = {"age": round(older_than_seconds * 1e6), "heir": owner, "most": limit, "only": run_id}

        def apply(transaction: Transaction, _: Rollups) -> list[Run]:
            adopted = []
            for row in transaction.fetch(self._dead_queued, values):
                transaction.execute(self._disown, {"run_id": row["id"], "heir": owner})
                adopted.append(read_run({**row, "owner": owner}))
            return adopted

        return self._writer.run(Operation(apply))


def _of_dead(now: ColumnElement[int], status: str) -> Select[Any]:
    # A heartbeat from far in the future is of before the clock was set back, and says nothing about now.
    alive = select(leases.c.owner).where(
        leases.c.owner == runs.c.owner,
        leases.c.heartbeat_at >= now - bindparam("age"),
        leases.c.heartbeat_at <= now + bindparam("age"),
    )
    return select(runs).where(runs.c.status == status, ~alive.exists()).order_by(runs.c.created_at, runs.c.id)
