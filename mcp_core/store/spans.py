"""Sums over spans of whole hours, as the dashboards ask for them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, Table, cast, func, select

from mcp_core.store.codec import to_micros
from mcp_core.store.filters import Period
from mcp_core.store.rollups import hour_of

__all__ = ["HOURS", "by_period", "sum_of", "within"]

HOURS = {"hour": 1, "day": 24}
_HOUR_MICROS = 3_600_000_000


def sum_of(column: ColumnElement[int]) -> ColumnElement[int]:
    """The sum of a column, as a whole number."""
    # PostgreSQL adds up big integers to a numeric.
    return cast(func.sum(column), BigInteger)


def within(table: Table, since: datetime, until: datetime) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """The conditions under which a row of `table` is of the span, widened to whole hours."""
    last = -hour_of(-to_micros(until))
    return table.c.hour >= hour_of(to_micros(since)), table.c.hour < last


def by_period(
    table: Table,
    since: datetime,
    until: datetime,
    by: Period,
    split: Sequence[ColumnElement[Any]],
    sums: Sequence[ColumnElement[int]],
) -> Select[Any]:
    """Sums over a span, ordered by period; its first column is the period's beginning in microseconds since 1970."""
    hours = HOURS[by]
    period = cast(table.c.hour // hours * hours, BigInteger) * _HOUR_MICROS
    return (
        select(period.label("time"), *split, *sums)
        .where(*within(table, since, until))
        .group_by(period, *split)
        .order_by(period)
    )
