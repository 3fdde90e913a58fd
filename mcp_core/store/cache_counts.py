"""What the cache stored, pushed out and held, by the hour: written in batches, read with the other figures."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, func, select

from mcp_core.store.codec import plain
from mcp_core.store.engine import Database
from mcp_core.store.filters import CacheCounts, Group, Period
from mcp_core.store.frames import ColumnKind, frame
from mcp_core.store.rollups import Rollups
from mcp_core.store.schema import cache_sizes, rollup_cache
from mcp_core.store.spans import HOURS, by_period, sum_of, within
from mcp_core.store.statements import Statement, Transaction, insert
from mcp_core.store.writer import Operation, Writer

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CacheCounting", "CountedRow"]

CountedRow = tuple[int, str, str, str, str, int, int, int, int]
"""Hour since 1970 in UTC; type, provider, model, task; entries and bytes stored; entries and bytes pushed out."""

_SUMS = ("stored", "stored_bytes", "evictions", "evicted_bytes")
_SPLITS = frozenset({"type", "provider", "model", "task"})


class CacheCounting:
    """The tables `rollup_cache` and `cache_sizes`."""

    def __init__(self, database: Database, writer: Writer[Rollups]) -> None:
        self._database = database
        self._writer = writer
        engine = database.engine
        counts = insert(rollup_cache, engine)
        keys = list(rollup_cache.primary_key.columns)
        added = {name: rollup_cache.c[name] + counts.excluded[name] for name in _SUMS}
        self._add = Statement(counts.on_conflict_do_update(index_elements=keys, set_=added), engine)
        sizes = insert(cache_sizes, engine)
        latest = {name: sizes.excluded[name] for name in ("entries", "size_bytes")}
        self._held = Statement(sizes.on_conflict_do_update(index_elements=[cache_sizes.c.hour], set_=latest), engine)

    def add(self, rows: Iterable[CountedRow], held: tuple[int, int, int] | None = None) -> None:
        """Leave counts to the next writer.

        Args:
            held: hour, entries and bytes the cache holds; None where that was not looked up.
        """
        added = sorted((row[0], *map(plain, row[1:5]), *row[5:]) for row in rows)

        def apply(transaction: Transaction, _: Rollups) -> None:
            if added:
                transaction.execute_rows(self._add, added)
            if held is not None:
                transaction.execute_rows(self._held, [held])

        if added or held is not None:
            self._writer.defer(Operation(apply))

    def totals(self, since: datetime, until: datetime) -> CacheCounts:
        """All of a span, as one set of figures."""
        sums: list[ColumnElement[Any]] = [func.coalesce(sum_of(rollup_cache.c[name]), 0) for name in _SUMS]
        (row,) = self._rows(select(*sums).where(*within(rollup_cache, since, until)))
        return CacheCounts(*row)

    def by(self, group: Group, since: datetime, until: datetime) -> dict[str, CacheCounts]:
        """The same for each name of a type, provider, model or task; empty for what it is not counted by."""
        if group not in _SPLITS:
            return {}
        column = rollup_cache.c[group]
        sums = [sum_of(rollup_cache.c[name]) for name in _SUMS]
        found = select(column, *sums).where(*within(rollup_cache, since, until)).group_by(column)
        return {name: CacheCounts(*counts) for name, *counts in self._rows(found)}

    def frame(self, since: datetime, until: datetime, by: Period) -> "pd.DataFrame":
        """By period: `time`, `stored`, `stored_bytes`, `evictions`, `evicted_bytes`."""
        statement = by_period(rollup_cache, since, until, by, [], [sum_of(rollup_cache.c[name]) for name in _SUMS])
        kinds: dict[str, ColumnKind] = {"time": "time", **dict.fromkeys(_SUMS, "integer")}
        return frame(list(self._rows(statement)), kinds)

    def sizes(self, since: datetime, until: datetime, by: Period) -> "pd.DataFrame":
        """What the cache held at the end of each period in which that was seen: `time`, `entries`, `size_bytes`."""
        hour, hours = cache_sizes.c.hour, HOURS[by]
        last = (
            select(func.max(hour)).where(*within(cache_sizes, since, until)).group_by(hour // hours).scalar_subquery()
        )
        statement = by_period(
            cache_sizes,
            since,
            until,
            by,
            [],
            [sum_of(cache_sizes.c.entries), sum_of(cache_sizes.c.size_bytes)],
        ).where(hour.in_(last))
        return frame(list(self._rows(statement)), {"time": "time", "entries": "integer", "size_bytes": "integer"})

    def _rows(self, statement: Select[Any]) -> Iterator[tuple[Any, ...]]:
        with self._database.reading() as connection:
            for row in connection.execute(statement):
                yield tuple(row)
