"""Statements compiled once and run on the driver's own cursor: what a write costs is then the database's work alone."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Engine, Table, bindparam, cast, extract, func
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.dml import Insert

__all__ = ["Statement", "Transaction", "insert", "now_micros"]

# Both dialects spell an upsert alike; their classes have no common base that declares it.
_INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Statement:
    """One statement as text for the driver, with the names of its parameters. Compiled when it is first used."""

    def __init__(self, statement: Executable, engine: Engine) -> None:
        self._statement = statement
        self._engine = engine

    @cached_property
    def sql(self) -> str:
        """The text, with the driver's placeholders."""
        return str(self._compiled)

    @cached_property
    def _compiled(self) -> Any:
        # `render_postcompile` is left out on purpose: a prepared statement has a fixed number of parameters.
        return self._statement.compile(dialect=self._engine.dialect)  # type: ignore[attr-defined]

    @cached_property
    def _names(self) -> Sequence[str] | None:
        names: Sequence[str] | None = self._compiled.positiontup
        return names

    @cached_property
    def _declared(self) -> tuple[str, ...]:
        return tuple(self._compiled.params)

    @cached_property
    def _constants(self) -> dict[str, Any]:
        return {name: value for name, value in self._compiled.params.items() if value is not None}

    def arguments(self, values: Mapping[str, Any]) -> Any:
        """`values` in the form the driver takes them."""
        if self._constants:
            values = {**self._constants, **values}
        return values if self._names is None else tuple([values[name] for name in self._names])

    def row_arguments(self, row: tuple[Any, ...]) -> Any:
        """`row`, with its values in the order the parameters were declared in, in the form the driver takes them."""
        return row if self._names is not None else dict(zip(self._declared, row, strict=True))


class Transaction:
    """What an operation may do inside the transaction it shares with its neighbours."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def execute(self, statement: Statement, values: Mapping[str, Any]) -> int:
        """Run it; returns how many rows changed."""
        self._cursor.execute(statement.sql, statement.arguments(values))
        return int(self._cursor.rowcount)

    def execute_rows(self, statement: Statement, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run an `insert` for each of `rows`, whose values stand in the order of the table's columns."""
        arguments = [statement.row_arguments(row) for row in rows]
        if len(arguments) == 1:
            self._cursor.execute(statement.sql, arguments[0])
        else:
            self._cursor.executemany(statement.sql, arguments)

    def execute_many(self, statement: Statement, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run it once for each of `rows`."""
        self._cursor.executemany(statement.sql, [statement.arguments(row) for row in rows])

    def fetch(self, statement: Statement, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Run it and return all rows, by column name."""
        self._cursor.execute(statement.sql, statement.arguments(values))
        names = [column[0] for column in self._cursor.description]
        return [dict(zip(names, row, strict=True)) for row in self._cursor.fetchall()]


def insert(table: Table, engine: Engine) -> Any:
    """An insert into `table` with one parameter a column and the dialect's `on_conflict_...` methods."""
    statement: Insert = _INSERT[engine.dialect.name](table)
    return statement.values({column.name: bindparam(column.name) for column in table.columns})


def now_micros(engine: Engine) -> ColumnElement[int]:
    """The database's own clock in microseconds since 1970, so that hosts with different clocks agree on leases."""
    if engine.dialect.name == "sqlite":
        # 2440587.5 is the Julian day of 1970; 86,400,000,000 microseconds make a day.
        return cast((func.julianday("now") - 2440587.5) * 86_400_000_000, BigInteger)
    return cast(extract("epoch", func.clock_timestamp()) * 1_000_000, BigInteger)
