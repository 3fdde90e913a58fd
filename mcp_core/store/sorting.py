"""Orders of runs as the database understands them, and places in them.

A place is the sort key and the id of the run before it, never a number of rows: runs that come or go in between move
nobody. Equal keys are told apart by the id, which rises with time.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import ColumnElement, Double, Select, and_, cast, collate, or_, select, tuple_

from mcp_core.errors import ConfigurationError
from mcp_core.store.codec import plain
from mcp_core.store.engine import Database
from mcp_core.store.order import NEWEST_FIRST, RunSort
from mcp_core.store.schema import runs

__all__ = ["SORT_VALUE", "after", "cursor_of", "ordered", "ordering", "sort_key"]

SORT_VALUE: Final = "sort_value"
"""Name under which a row carries the value it was sorted by."""

_Kind: TypeAlias = Literal["whole", "number", "text"]

_KEYS: Final[Mapping[str, tuple[ColumnElement[Any], _Kind]]] = {
    "created": (runs.c.created_at, "whole"),
    "finished": (runs.c.finished_at, "whole"),
    "duration": (runs.c.duration_seconds, "number"),
    "waited": (runs.c.started_at - runs.c.created_at, "whole"),
    # Kept to the last digit as text; to compare them a double is exact enough, and the same on every database.
    "cost": (cast(runs.c.cost_usd, Double), "number"),
    "saved": (cast(runs.c.saved_usd, Double), "number"),
    "time_saved": (runs.c.saved_seconds, "number"),
    "tokens_in": (runs.c.input_tokens, "whole"),
    "tokens_out": (runs.c.output_tokens, "whole"),
    "attempts": (runs.c.attempt_count, "whole"),
    "task": (runs.c.name, "text"),
    "status": (runs.c.status, "text"),
    "model": (runs.c.model, "text"),
    "cache": (runs.c.cache_outcome, "text"),
    "type": (runs.c.type, "text"),
    "error": (runs.c.error_type, "text"),
    "actor": (runs.c.actor_id, "text"),
}

_SURE = {"created", "tokens_in", "tokens_out", "attempts", "task", "status", "cache", "type", "actor"}
"""Keys every run has. Only the others need to be asked whether they are there, which no index answers."""

_NEWEST = re.compile(r"(?P<micros>-?[0-9a-f]{1,15})\.(?P<id>.+)", re.DOTALL)
_MOST_WHOLE = 2**63


def sort_key(database: Database, sort: RunSort) -> ColumnElement[Any]:
    """What runs are compared by. Words are compared by byte, as SQLite does, whatever language a server speaks."""
    key, kind = _KEYS[sort.by]
    return collate(key, "C") if kind == "text" and not database.is_sqlite else key


def ordering(database: Database, sort: RunSort) -> list[ColumnElement[Any]]:
    """What to order by: those without a value last."""
    key = sort_key(database, sort)
    absent = [] if sort.by in _SURE else [key.is_(None)]
    return [*absent, key.desc(), runs.c.id.desc()] if sort.descending else [*absent, key.asc(), runs.c.id.asc()]


def ordered(
    database: Database, columns: Select[Any], conditions: list[ColumnElement[bool]], sort: RunSort, limit: int
) -> Select[Any]:
    """The first `limit` of the runs that meet `conditions`, in that order.

    Ids are sorted first and the other columns read for those alone, so that no payload goes through the sorting.
    """
    order = ordering(database, sort)
    first = select(runs.c.id).where(*conditions).order_by(*order).limit(limit)
    found = columns.add_columns(sort_key(database, sort).label(SORT_VALUE))
    return found.where(runs.c.id.in_(first)).order_by(*order)


def cursor_of(sort: RunSort, row: Mapping[Any, Any]) -> str:
    """The place after the run of `row`, which has its `id` and its `SORT_VALUE` (or, newest first, `created_at`)."""
    if sort == NEWEST_FIRST:
        return f"{row['created_at']:x}.{row['id']}"
    place = json.dumps([str(sort), row[SORT_VALUE], row["id"]], separators=(",", ":"))
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def after(database: Database, sort: RunSort, cursor: str | None) -> list[ColumnElement[bool]]:
    """What holds for the runs behind that place.

    Raises:
        ConfigurationError: `cursor` is no place, or one in another order.
    """
    if cursor is None:
        return []
    value, run_id = _newest_place(cursor) if sort == NEWEST_FIRST else _sorted_place(sort, cursor)
    key = sort_key(database, sort)
    later = runs.c.id < run_id if sort.descending else runs.c.id > run_id
    if value is None:
        return [and_(key.is_(None), later)]
    here, there = tuple_(key, runs.c.id), tuple_(value, run_id)
    behind = here < there if sort.descending else here > there
    return [behind if sort.by in _SURE else or_(behind, key.is_(None))]


def _newest_place(cursor: str) -> tuple[int, str]:
    place = _NEWEST.fullmatch(cursor)
    if place is None:
        raise _no_place(cursor)
    return int(place["micros"], 16), plain(place["id"])


def _sorted_place(sort: RunSort, cursor: str) -> tuple[Any, str]:
    try:
        written = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        named, value, run_id = json.loads(written)
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise _no_place(cursor) from None
    if named != str(sort) or not isinstance(run_id, str) or not _fits(value, sort):
        raise _no_place(cursor)
    return (plain(value) if isinstance(value, str) else value), plain(run_id)


def _fits(value: object, sort: RunSort) -> bool:
    if value is None:
        return sort.by not in _SURE
    match _KEYS[sort.by][1]:
        case "whole":
            return _is_whole(value)
        case "number":
            return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))
        case "text":
            return isinstance(value, str)


def _is_whole(value: object) -> bool:
    return type(value) is int and abs(value) < _MOST_WHOLE


def _no_place(cursor: str) -> ConfigurationError:
    return ConfigurationError(
        f"{cursor!r} is not a place in a list of runs in this order.",
        hint="Use `next` of the page before, with the same order.",
        field="cursor",
    )
