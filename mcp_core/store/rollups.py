"""Hourly sums of finished runs, kept in the same transaction as the runs themselves.

Latencies go into buckets 2 % wide, from which any percentile follows to within 1 %.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from sqlalchemy import Engine, Table

from mcp_core.models import RunStatus
from mcp_core.store.codec import Row, loads
from mcp_core.store.schema import rollup_errors, rollup_latency, rollup_runs, runs
from mcp_core.store.statements import Statement, Transaction, insert

__all__ = ["ERRORS", "KEPT", "NANO", "RollupStatements", "Rollups", "bucket_of", "bucket_seconds", "hour_of"]

NANO = 1_000_000_000
"""Nano-dollars in a dollar."""

ERRORS = frozenset({RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.INTERRUPTED})
"""States that count as an error. Cancelling is a decision."""

# The time to a cancellation or to the discovery of a dead process is nobody's latency.
_TIMED = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.TIMED_OUT})
_FIGURES = sum(not column.primary_key for column in rollup_runs.columns) - 1
_HOUR_MICROS = 3_600_000_000
_WIDTH = math.log(1.02)
_SHORTEST = 1e-6
_MOST_USD = Decimal(1_000_000)
"""Of one run, in the sums: a figure beyond that is somebody's mistake, and must not keep the run off the record."""


# What tells which sum a run's bytes are part of.
KEPT = (
    *(runs.c[name] for name in ("created_at", "finished_at", "type", "provider", "model", "name", "actor_id")),
    runs.c.status,
    runs.c.stored_bytes,
)


def hour_of(micros: int) -> int:
    """Hours since 1970 in UTC."""
    return micros // _HOUR_MICROS


def bucket_of(seconds: float) -> int:
    """Number of the 2 % wide bucket of a latency; below a microsecond counts as one."""
    return math.floor(math.log(max(seconds, _SHORTEST)) / _WIDTH)


def bucket_seconds(bucket: float) -> float:
    """Middle of a bucket, in seconds."""
    return math.exp((bucket + 0.5) * _WIDTH)


def _micros(seconds: float | None) -> int:
    # Clocks jump, so a duration may come out negative.
    return 0 if seconds is None or not math.isfinite(seconds) else round(max(0.0, seconds) * 1e6)


def _nano(amount: str | None) -> int:
    if amount is None:
        return 0
    usd = max(-_MOST_USD, min(_MOST_USD, Decimal(amount)))
    return int((usd * NANO).to_integral_value(ROUND_HALF_EVEN))


def _asked(row: Row) -> bool:
    """Whether a model server was asked: a run that was refused or stopped before that has not passed by the cache."""
    return bool(row["input_tokens"] or row["output_tokens"] or loads(row["attempts"]))


def _was_answered(row: Row) -> bool:
    """Whether a model gave an answer that has a price, known or not."""
    used = row["input_tokens"] or row["output_tokens"]
    return bool(used) or any(attempt["status"] == 200 for attempt in loads(row["attempts"]) or ())


class RollupStatements:
    """The three upserts, compiled once."""

    def __init__(self, engine: Engine) -> None:
        self.runs = _adding(rollup_runs, engine)
        self.latency = _adding(rollup_latency, engine)
        self.errors = _adding(rollup_errors, engine)


def _adding(table: Table, engine: Engine) -> Statement:
    statement = insert(table, engine)
    sums = {c.name: c + statement.excluded[c.name] for c in table.columns if not c.primary_key}
    return Statement(statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=sums), engine)


class Rollups:
    """What one transaction adds to the sums. Written in the order of keys, so that two writers cannot deadlock."""

    def __init__(self, statements: RollupStatements) -> None:
        self._statements = statements
        self._runs: list[tuple[tuple[Any, ...], tuple[int, ...]]] = []
        self._latency: list[tuple[tuple[Any, ...], tuple[int, ...]]] = []
        self._errors: list[tuple[tuple[Any, ...], tuple[int, ...]]] = []

    def add(self, row: Row) -> None:
        """Count the run of a row of `runs` that has just become final, and what is kept of it."""
        at = row["created_at"] if row["finished_at"] is None else row["finished_at"]
        hour = hour_of(at)
        kind, provider, model = row["type"], row["provider"] or "", row["model"] or ""
        status, duration, outcome = row["status"], row["duration_seconds"], row["cache_outcome"]
        failed = status in ERRORS
        self._runs.append(
            (
                (hour, kind, provider, model, row["name"], row["actor_id"], status),
                (
                    1,
                    int(outcome == "hit"),
                    int(outcome == "miss"),
                    int(outcome == "stale"),
                    int(outcome == "bypass" and _asked(row)),
                    int(failed),
                    row["input_tokens"],
                    row["output_tokens"],
                    _nano(row["cost_usd"]),
                    int(row["cost_usd"] is None and _was_answered(row)),
                    _nano(row["saved_usd"]),
                    _micros(row["saved_seconds"]),
                    _micros(duration),
                    row["stored_bytes"],
                ),
            )
        )
        if duration is not None and status in _TIMED:
            cached = int(outcome in ("hit", "stale"))
            self._latency.append(((hour, kind, provider, model, cached, bucket_of(duration)), (1,)))
        if failed:
            self._errors.append(((hour, row["error_type"] or status, kind, provider, model), (1,)))

    def forget_bytes(self, row: Mapping[str, Any]) -> None:
        """A run is gone: what was kept of it is not any more, while its figures stay. `row` has the columns `KEPT`."""
        if row["stored_bytes"]:
            finished_at = row["created_at"] if row["finished_at"] is None else row["finished_at"]
            key = (
                hour_of(finished_at),
                row["type"],
                row["provider"] or "",
                row["model"] or "",
                row["name"],
                row["actor_id"],
                row["status"],
            )
            self._runs.append((key, (0,) * _FIGURES + (-row["stored_bytes"],)))

    def write(self, transaction: Transaction) -> None:
        """Add everything to the tables."""
        for rows, statement in (
            (self._runs, self._statements.runs),
            (self._latency, self._statements.latency),
            (self._errors, self._statements.errors),
        ):
            if rows:
                transaction.execute_rows(statement, _summed(rows))


def _summed(rows: list[tuple[tuple[Any, ...], tuple[int, ...]]]) -> list[tuple[Any, ...]]:
    if len(rows) == 1:
        return [rows[0][0] + rows[0][1]]
    sums: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for key, values in rows:
        known = sums[key]
        sums[key] = [a + b for a, b in zip(known, values, strict=True)] if known else list(values)
    return [(*key, *sums[key]) for key in sorted(sums)]
