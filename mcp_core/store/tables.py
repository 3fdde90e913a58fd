"""The history as a table: one row a run, without its payload."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, select

from mcp_core.store.engine import Database
from mcp_core.store.filters import RunFilter
from mcp_core.store.frames import ColumnKind, frame
from mcp_core.store.order import RunSort
from mcp_core.store.queries import Queries
from mcp_core.store.schema import runs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST_ROWS", "runs_frame", "runs_page"]

MOST_ROWS = 100_000

_COLUMNS: dict[str, ColumnKind] = {
    "id": "text",
    "created_at": "time",
    "type": "category",
    "name": "category",
    "status": "category",
    "actor_id": "category",
    "team": "category",
    "model": "category",
    "provider": "category",
    "parent_id": "text",
    "retry_of": "text",
    "started_at": "time",
    "finished_at": "time",
    "duration_seconds": "number",
    "queued_seconds": "micros",
    "cache": "category",
    "saved_usd": "money",
    "saved_seconds": "number",
    "input_tokens": "integer",
    "output_tokens": "integer",
    "cost_usd": "money",
    "error_type": "category",
    "attempts": "integer",
}

_COMPUTED: dict[str, ColumnElement[Any]] = {
    "queued_seconds": runs.c.started_at - runs.c.created_at,
    "cache": runs.c.cache_outcome,
    "attempts": runs.c.attempt_count,
}
_SELECT = select(*[(_COMPUTED[name] if name in _COMPUTED else runs.c[name]).label(name) for name in _COLUMNS])


def runs_frame(database: Database, queries: Queries, wanted: RunFilter, limit: int) -> "pd.DataFrame":
    """Runs as a frame, newest first, at most `limit` and never more than `MOST_ROWS`."""
    with database.reading() as connection:
        rows = queries.rows(connection, _SELECT, wanted, min(max(0, limit), MOST_ROWS), None)
    return _framed(rows)


def runs_page(
    queries: Queries, wanted: RunFilter, limit: int, cursor: str | None, sort: RunSort
) -> "tuple[pd.DataFrame, str | None]":
    """A page of that frame in that order, and where the next one begins; None where this is the last."""
    rows, following = queries.page(_SELECT, wanted, min(max(1, limit), MOST_ROWS), cursor, sort)
    return _framed(rows), following


def _framed(rows: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    return frame([tuple([row[name] for name in _COLUMNS]) for row in rows], _COLUMNS)
