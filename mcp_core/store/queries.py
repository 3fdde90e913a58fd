"""Reading runs and their events, always bounded."""

import math
import statistics
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select, union_all

from mcp_core.errors import ConfigurationError
from mcp_core.models import Run, RunEvent, RunStatus
from mcp_core.store.codec import plain, read_event, read_run, search_text, tag_pattern, to_micros
from mcp_core.store.engine import Database
from mcp_core.store.filters import RunFilter, Typical
from mcp_core.store.order import NEWEST_FIRST, RunSort
from mcp_core.store.schema import run_events, runs
from mcp_core.store.sorting import after, cursor_of, ordered

__all__ = ["MOST_RUNS", "Queries"]

MOST_RUNS = 10_000
"""Runs one reading call returns at most, whatever it is asked for."""

_CHUNK = 500
_LIKE_RUNS = 20
_TYPICAL_RUNS = 50
_NEWEST_FIRST = (runs.c.created_at.desc(), runs.c.id.desc())
_FINAL = tuple(status.value for status in RunStatus if status.is_final)


class Queries:
    """Questions to the history. Newest first means by creation, then by id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_run(self, run_id: str) -> Run | None:
        """The run of that id; None where there is none."""
        with self._database.reading() as connection:
            row = connection.execute(select(runs).where(runs.c.id == plain(run_id))).mappings().first()
        return None if row is None else read_run(row)

    def find_run(self, prefix: str) -> Run | None:
        """The one run whose id begins so."""
        prefix = plain(prefix)
        if not prefix:
            return None
        wanted = select(runs).where(runs.c.id >= prefix, runs.c.id < prefix + "\U0010ffff").order_by(runs.c.id).limit(2)
        with self._database.reading() as connection:
            rows = connection.execute(wanted).mappings().all()
        if len(rows) > 1 and rows[0]["id"] != prefix:
            raise ConfigurationError(f"Several runs begin with {prefix!r}.", hint="Give more of the id.", field="run")
        return read_run(rows[0]) if rows else None

    def events(self, run_id: str, after_seq: int, limit: int) -> list[RunEvent]:
        """Stored events of a run, in order."""
        wanted = (
            select(run_events)
            .where(run_events.c.run_id == plain(run_id), run_events.c.seq > after_seq)
            .order_by(run_events.c.seq)
            .limit(max(0, limit))
        )
        with self._database.reading() as connection:
            return [read_event(row) for row in connection.execute(wanted).mappings()]

    def list_runs(
        self, wanted: RunFilter, limit: int, cursor: str | None, sort: RunSort = NEWEST_FIRST
    ) -> tuple[list[Run], str | None]:
        """A page of runs in that order, and where the next one begins; None where this is the last."""
        rows, following = self.page(select(runs), wanted, min(max(1, limit), MOST_RUNS), cursor, sort)
        return [read_run(row) for row in rows], following

    def page(
        self, columns: Select[Any], wanted: RunFilter, limit: int, cursor: str | None, sort: RunSort
    ) -> tuple[list[Any], str | None]:
        """Rows of `columns` (a select from `runs`, with `id` and `created_at`) and where the next page begins."""
        with self._database.reading() as connection:
            rows = self.rows(connection, columns, wanted, limit + 1, cursor, sort)
        return rows[:limit], cursor_of(sort, rows[limit - 1]) if len(rows) > limit else None

    def rows(
        self,
        connection: Connection,
        columns: Select[Any],
        wanted: RunFilter,
        limit: int,
        cursor: str | None,
        sort: RunSort = NEWEST_FIRST,
    ) -> list[Any]:
        """At most `limit` rows of `columns` (a select from `runs`), in that order."""
        return list(connection.execute(self.statement(columns, wanted, limit, cursor, sort)).mappings())

    def statement(
        self, columns: Select[Any], wanted: RunFilter, limit: int, cursor: str | None, sort: RunSort = NEWEST_FIRST
    ) -> Select[Any]:
        """What reads those rows; newest first, from an index in its order."""
        behind = after(self._database, sort, cursor)
        if sort != NEWEST_FIRST:
            return ordered(self._database, columns, [*self.conditions(wanted), *behind], sort, limit)
        parts = _split(wanted)
        if len(parts) == 1:
            return columns.where(*self.conditions(wanted), *behind).order_by(*_NEWEST_FIRST).limit(limit)
        # For several values of an indexed column, the newest of each and then of all: never a sort of everything.
        pages = [
            select(runs.c.id, runs.c.created_at)
            .where(*self.conditions(part), *behind)
            .order_by(*_NEWEST_FIRST)
            .limit(limit)
            .subquery()
            for part in parts
        ]
        merged = union_all(*(select(page.c.id, page.c.created_at) for page in pages)).subquery()
        newest = select(merged.c.id).order_by(merged.c.created_at.desc(), merged.c.id.desc()).limit(limit)
        return columns.where(runs.c.id.in_(newest)).order_by(*_NEWEST_FIRST)

    def iter_runs(self, wanted: RunFilter) -> Iterator[Run]:
        """All runs that are meant, newest first, read in chunks."""
        cursor: str | None = None
        while True:
            page, cursor = self.list_runs(wanted, _CHUNK, cursor)
            yield from page
            if cursor is None:
                return

    def count(self, wanted: RunFilter) -> int:
        """How many runs are meant."""
        statement = select(func.count()).select_from(runs).where(*self.conditions(wanted))
        with self._database.reading() as connection:
            return int(connection.execute(statement).scalar_one())

    def last_like(self, run: Run) -> Run | None:
        """The latest earlier finished run of the same type, name and model that has a cache key."""
        statement = (
            select(runs)
            .where(
                runs.c.type == plain(run.type),
                runs.c.name == plain(run.name),
                runs.c.model.is_(None) if run.model is None else runs.c.model == plain(run.model),
                runs.c.cache_key.is_not(None),
                runs.c.status.in_(_FINAL),
                runs.c.created_at <= to_micros(run.created_at),
                runs.c.id != run.id,
            )
            .order_by(runs.c.created_at.desc())
            .limit(1)
        )
        with self._database.reading() as connection:
            row = connection.execute(statement).mappings().first()
        return None if row is None else read_run(row)

    def expected_seconds(self, kind: str, task: str, model: str | None) -> float | None:
        """Median duration of the latest like runs that succeeded without the cache; None where there are none."""
        rows = self._like(kind, task, model, _LIKE_RUNS)
        return statistics.median(seconds for seconds, _ in rows) if rows else None

    def typical(self, kind: str, task: str, model: str | None) -> Typical:
        """What the latest like runs that succeeded without the cache took."""
        rows = self._like(kind, task, model, _TYPICAL_RUNS)
        if not rows:
            return Typical()
        seconds = sorted(seconds for seconds, _ in rows)
        return Typical(
            runs=len(rows),
            median_seconds=statistics.median(seconds),
            p95_seconds=seconds[math.ceil(0.95 * len(seconds)) - 1],
            output_tokens=statistics.median([tokens for _, tokens in rows]),
        )

    def _like(self, kind: str, task: str, model: str | None, limit: int) -> list[tuple[float, int]]:
        """Seconds and output tokens of the latest like runs that succeeded without the cache."""
        wanted = RunFilter(
            types=(kind,), names=(task,), models=() if model is None else (model,), statuses=(RunStatus.SUCCEEDED,)
        )
        statement = (
            select(runs.c.duration_seconds, runs.c.output_tokens)
            .where(
                *self.conditions(wanted),
                runs.c.cache_outcome.in_(("miss", "bypass")),
                runs.c.duration_seconds.is_not(None),
            )
            .order_by(*_NEWEST_FIRST)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [(float(seconds), int(tokens)) for seconds, tokens in connection.execute(statement)]

    def conditions(self, wanted: RunFilter) -> list[ColumnElement[bool]]:
        """The filter as conditions on `runs`."""
        found: list[ColumnElement[bool]] = []
        for column, values in (
            (runs.c.type, wanted.types),
            (runs.c.status, tuple(RunStatus(status).value for status in wanted.statuses)),
            (runs.c.model, wanted.models),
            (runs.c.actor_id, wanted.actors),
            (runs.c.name, wanted.names),
            (runs.c.cache_outcome, wanted.outcomes),
            (runs.c.id, wanted.ids),
        ):
            if len(values) == 1:
                found.append(column == plain(values[0]))
            elif values:
                found.append(column.in_([plain(value) for value in values]))
        contains = func.instr if self._database.is_sqlite else func.strpos
        found.extend(contains(runs.c.tags, tag_pattern(tag)) > 0 for tag in wanted.tags)
        if wanted.text:
            found.append(contains(runs.c.search, search_text(wanted.text)) > 0)
        if wanted.since is not None:
            found.append(runs.c.created_at >= to_micros(wanted.since))
        if wanted.until is not None:
            found.append(runs.c.created_at < to_micros(wanted.until))
        if wanted.parent_id is not None:
            found.append(runs.c.parent_id == plain(wanted.parent_id))
        return found


def _split(wanted: RunFilter) -> list[RunFilter]:
    """The filter as several, of one value each in the first indexed column that has several."""
    if wanted.ids or wanted.parent_id is not None:
        return [wanted]
    for name in ("statuses", "types", "models", "actors", "names", "outcomes"):
        values = dict.fromkeys(getattr(wanted, name))
        if len(values) > 1:
            parts: list[dict[str, Any]] = [{name: (value,)} for value in values]
            return [replace(wanted, **part) for part in parts]
    return [wanted]
