"""Figures over time, from the hourly rollups alone: fast whatever the number of runs.

A span from `since` to `until` is widened to whole hours in UTC. Periods without runs have no row.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ColumnElement, Select, Table, func, select

from mcp_core.store.engine import Database
from mcp_core.store.filters import CacheUse, Group, LatencyGroup, Period, Totals
from mcp_core.store.frames import ColumnKind, frame
from mcp_core.store.rollups import NANO, bucket_seconds
from mcp_core.store.schema import rollup_errors, rollup_latency, rollup_runs
from mcp_core.store.spans import by_period, sum_of, within

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Dashboards"]

# Stored column -> name and kind in a frame.
_SUMS: dict[str, tuple[str, ColumnKind]] = {
    "runs": ("runs", "integer"),
    "hits": ("hits", "integer"),
    "misses": ("misses", "integer"),
    "stale": ("stale", "integer"),
    "bypass": ("bypass", "integer"),
    "errors": ("errors", "integer"),
    "input_tokens": ("input_tokens", "integer"),
    "output_tokens": ("output_tokens", "integer"),
    "cost_nano_usd": ("cost_usd", "nano_usd"),
    "unknown_cost": ("unknown_cost", "integer"),
    "saved_nano_usd": ("saved_usd", "nano_usd"),
    "saved_us": ("saved_seconds", "micros"),
    "duration_us": ("duration_seconds", "micros"),
}
_CACHE_SUMS = ("hits", "misses", "stale", "bypass", "saved_nano_usd", "saved_us")


class Dashboards:
    """Questions to the rollups."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rollup_frame(self, since: datetime, until: datetime, by: Period, group: Group | None) -> "pd.DataFrame":
        """Sums by period and, if asked for, by one more column."""
        return self._sums(since, until, by, group, tuple(_SUMS))

    def cache_frame(self, since: datetime, until: datetime, by: Period, group: Group | None) -> "pd.DataFrame":
        """What the cache did by period; `hit_ratio` is NaN where it was not asked."""
        found = self._sums(since, until, by, group, _CACHE_SUMS)
        served = found["hits"] + found["stale"]
        asked = served + found["misses"]
        found["hit_ratio"] = served / asked.where(asked > 0)
        return found

    def cache_by(self, group: Group, since: datetime, until: datetime) -> dict[str, CacheUse]:
        """What the cache did over the whole span, for each name of the group."""
        column = _column(rollup_runs, group)
        sums: list[ColumnElement[Any]] = [column, *(sum_of(rollup_runs.c[name]) for name in _CACHE_SUMS)]
        statement: Select[Any] = select(*sums).where(*within(rollup_runs, since, until)).group_by(column)
        return {
            row[0]: CacheUse(row[1], row[2], row[3], row[4], Decimal(row[5]) / NANO, row[6] / 1e6)
            for row in self._rows(statement)
        }

    def error_frame(self, since: datetime, until: datetime, by: Period) -> "pd.DataFrame":
        """Errors by period and kind of error."""
        table = rollup_errors
        kind: ColumnElement[str] = table.c.error_type
        rows = self._rows(by_period(table, since, until, by, [kind], [sum_of(table.c.errors)]).order_by(kind))
        return frame(list(rows), {"time": "time", "error_type": "category", "errors": "integer"})

    def latency_frame(
        self,
        since: datetime,
        until: datetime,
        by: Period,
        quantiles: Sequence[float],
        group: LatencyGroup | None,
        cached: bool | None,
    ) -> "pd.DataFrame":
        """Quantiles of latency by period, in seconds, in columns named `p50`, `p95` and so on."""
        table = rollup_latency
        split = [] if group is None else [_column(table, group)]
        bucket: ColumnElement[int] = table.c.bucket
        statement = by_period(table, since, until, by, [*split, bucket], [sum_of(table.c.runs)])
        if cached is not None:
            statement = statement.where(table.c.cached == int(cached))
        rows = []
        width = 1 + len(split)
        for key, counts in groupby(self._rows(statement.order_by(*split, bucket)), key=lambda row: row[:width]):
            pairs = [(row[width], row[width + 1]) for row in counts]
            rows.append((*key, sum(count for _, count in pairs), *_quantiles(pairs, quantiles)))
        columns: dict[str, ColumnKind] = {"time": "time"}
        if group is not None:
            columns[group] = "category"
        columns["runs"] = "integer"
        for quantile in quantiles:
            columns[f"p{quantile * 100:g}"] = "number"
        return frame(rows, columns)

    def totals(self, since: datetime, until: datetime) -> Totals:
        """All of it, as one set of figures."""
        runs, latency = rollup_runs, rollup_latency
        sums = select(*(func.coalesce(sum_of(runs.c[name]), 0).label(name) for name in _SUMS)).where(
            *within(runs, since, until)
        )
        buckets = (
            select(latency.c.bucket, sum_of(latency.c.runs))
            .where(*within(latency, since, until))
            .group_by(latency.c.bucket)
            .order_by(latency.c.bucket)
        )
        with self._database.reading() as connection:
            found = connection.execute(sums).mappings().one()
            p50, p95 = _quantiles([(row[0], row[1]) for row in connection.execute(buckets)], (0.5, 0.95))
        served = found["hits"] + found["stale"]
        asked = served + found["misses"]
        return Totals(
            runs=found["runs"],
            hits=found["hits"],
            misses=found["misses"],
            stale=found["stale"],
            bypass=found["bypass"],
            hit_ratio=served / asked if asked else None,
            errors=found["errors"],
            input_tokens=found["input_tokens"],
            output_tokens=found["output_tokens"],
            cost_usd=Decimal(found["cost_nano_usd"]) / NANO,
            unknown_cost=found["unknown_cost"],
            saved_usd=Decimal(found["saved_nano_usd"]) / NANO,
            saved_seconds=found["saved_us"] / 1e6,
            p50_seconds=p50,
            p95_seconds=p95,
        )

    def _sums(
        self, since: datetime, until: datetime, by: Period, group: Group | None, names: Sequence[str]
    ) -> "pd.DataFrame":
        table = rollup_runs
        split = [] if group is None else [_column(table, group)]
        statement = by_period(table, since, until, by, split, [sum_of(table.c[name]) for name in names])
        columns: dict[str, ColumnKind] = {"time": "time"}
        if group is not None:
            columns[group] = "category"
        columns.update(_SUMS[name] for name in names)
        return frame(list(self._rows(statement.order_by(*split))), columns)

    def _rows(self, statement: Select[Any]) -> Iterator[tuple[Any, ...]]:
        """Rows one by one: a year has many more latency buckets than periods. To be taken to the end."""
        with self._database.reading() as connection:
            for row in connection.execute(statement):
                yield tuple(row)


def _column(table: Table, group: Group) -> Column[str]:
    return table.c[group]


def _quantiles(pairs: Iterable[tuple[int, int]], quantiles: Sequence[float]) -> list[float | None]:
    """Quantiles of counts by ascending bucket; None where there are no counts."""
    known = list(pairs)
    total = sum(count for _, count in known)
    found: list[float | None] = []
    for quantile in quantiles:
        rank = max(1, math.ceil(quantile * total))
        reached = 0
        answer = None
        for bucket, count in known:
            reached += count
            if reached >= rank:
                answer = bucket_seconds(bucket)
                break
        found.append(answer)
    return found
