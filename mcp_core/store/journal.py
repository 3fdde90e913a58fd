"""The journal: where a SQLite file keeps what has just become of runs, until somebody asks.

A record in `runs` lies in a dozen indexes and goes with events and sums; a file pays for every page of them with every
commit. A line of the journal is as durable and touches two. The lines are spread over the tables many at a time: by
whoever reads the history or writes anything else to it, and by the process that wrote them within a fraction of a
second. They are judged when they are written, by the rules of `runs`, and spread in order.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, text

from mcp_core.models import Run
from mcp_core.store.codec import OPEN, Row, dumps
from mcp_core.store.statements import Statement, Transaction

__all__ = ["Journal"]

_MOST_AT_ONCE = 100
"""Lines in memory at a time: what lives but a moment is no work for the collector of garbage."""

_KEPT = ("created_at", "type", "name", "actor_id", "team", "model", "owner")
_MOST_TOKENS = 10**14
_MOST_USD = 10**5
"""What runs that are spread together add up to still fits a column of 64 bits, for 90,000 of them."""


class Journal:
    """The table `journal`, inside transactions. On a server it stays empty, and nothing here does anything."""

    def __init__(self, engine: Engine) -> None:
        self._used = engine.dialect.name == "sqlite"
        self._wrote = False
        self._add = Statement(
            text(
                "INSERT INTO journal (run_id, owner, final, record, events) "
                "SELECT :run_id, :owner, :final, :record, :events WHERE NOT EXISTS (SELECT 1 FROM journal "
                "WHERE run_id = :run_id AND (final OR owner IS NOT NULL AND owner IS NOT :owner)) "
                "AND NOT EXISTS (SELECT 1 FROM runs WHERE id = :run_id "
                "AND (status NOT IN ('queued', 'running') OR owner IS NOT NULL AND owner IS NOT :owner))"
            ),
            engine,
        )
        self._lines = Statement(text("SELECT seq, record, events FROM journal ORDER BY seq LIMIT :most"), engine)
        self._drop = Statement(text("DELETE FROM journal WHERE seq <= :last"), engine)

    def takes(self, run: Run) -> bool:
        """Whether a record may be kept here: it refers to no other run and fits any table."""
        usage = run.usage
        return (
            self._used
            and run.parent_id is None
            and run.retry_of is None
            and 0 <= usage.input_tokens < _MOST_TOKENS
            and 0 <= usage.output_tokens < _MOST_TOKENS
            and _is_usual(run.cost_usd)
            and _is_usual(run.cache.saved_usd)
        )

    def add(self, transaction: Transaction, row: Row, events: Sequence[Row]) -> bool:
        """Keep a row of `runs` with events that belong to it; False where the rules of `runs` refuse it.

        Raises:
            StoreError: they are not JSON.
        """
        line = {
            "run_id": row["id"],
            "owner": row["owner"],
            "final": row["status"] not in OPEN,
            "record": dumps(row),
            "events": dumps(events) if events else None,
        }
        self._wrote = True
        return transaction.execute(self._add, line) == 1

    def is_due(self) -> bool:
        """Whether this process has written lines that nobody may have spread yet."""
        return self._wrote

    def has_lines(self, reader: Connection) -> bool:
        """Whether there is anything to spread before `reader` reads."""
        return self._used and reader.exec_driver_sql("SELECT 1 FROM journal LIMIT 1").first() is not None

    def spread(self, transaction: Transaction, store: Callable[[Row, Sequence[Row]], object]) -> None:
        """Hand the rows of all lines to `store`, in order, and forget them."""
        if not self._used:
            return
        self._wrote = False
        while lines := transaction.fetch(self._lines, {"most": _MOST_AT_ONCE}):
            for row, events in _combined(lines):
                store(row, events)
            transaction.execute(self._drop, {"last": lines[-1]["seq"]})


def _is_usual(usd: Decimal | None) -> bool:
    return usd is None or (usd.is_finite() and 0 <= usd < _MOST_USD)


def _combined(lines: Sequence[Mapping[str, Any]]) -> list[tuple[Row, list[Row]]]:
    """What to store; a record that a newer of the same run and owner overtakes leaves its events to that."""
    records: list[tuple[Row, list[Row]]] = []
    latest: dict[str, int] = {}
    for line in lines:
        row: Row = json.loads(line["record"])
        events: list[Row] = json.loads(line["events"]) if line["events"] else []
        position = latest.get(row["id"])
        if position is not None and _what(records[position][0]) == _what(row):
            records[position] = (row, records[position][1] + events)
        else:
            latest[row["id"]] = len(records)
            records.append((row, events))
    return records


def _what(row: Row) -> list[Any]:
    """What is kept from a run's first record."""
    return [row[name] for name in _KEPT]
