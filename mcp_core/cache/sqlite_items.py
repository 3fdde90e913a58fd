"""How the SQLite cache says which entries are meant, in which order, and what a list shows of them."""

from decimal import Decimal
from typing import Any

from mcp_core.cache.entry import EntryFilter, Item, Order
from mcp_core.cache.ledger import LABELS

__all__ = ["ONE_ITEM", "STORE", "counting", "deleting", "item_of", "listing"]

Query = tuple[str, list[Any]]
"""A statement and its values. What its text is put together from are names and orders of this module alone."""

_COLUMNS = (
    "key, size, created_at, used_at, hits, pinned, expires_at, latency, cost, run_id, content_type,"
    " type, provider, model, task"
)

ONE_ITEM = f"SELECT {_COLUMNS} FROM entries WHERE key = ?"  # noqa: S608  (see `Query`)

STORE = (
    "INSERT INTO entries (key, size, created_at, used_at, hits, pinned, expires_at, latency, cost, run_id,"
    " content_type, type, provider, model, task, data) VALUES (?, ?, ?, ?, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (key) DO UPDATE SET size = excluded.size, created_at = excluded.created_at,"
    " used_at = excluded.used_at, hits = 0, expires_at = excluded.expires_at, latency = excluded.latency,"
    " cost = excluded.cost, run_id = excluded.run_id, content_type = excluded.content_type, type = excluded.type,"
    " provider = excluded.provider, model = excluded.model, task = excluded.task, data = excluded.data"
)
"""An entry stored, or another put in its place: that one has no hits yet, but stays pinned."""

_ORDER = {
    "newest": "created_at DESC, key DESC",
    "oldest": "created_at, key",
    "largest": "size DESC, key",
    "useful": "hits * latency DESC, hits DESC, key",
}


def listing(wanted: EntryFilter, order: Order, limit: int, offset: int) -> Query:
    """Entries that are meant, whatever their text, in that order; a limit of -1 is none."""
    where, values = _condition(wanted)
    text = f"SELECT {_COLUMNS} FROM entries WHERE {where} ORDER BY {_ORDER[order]} LIMIT ? OFFSET ?"  # noqa: S608
    return text, [*values, limit, offset]


def counting(wanted: EntryFilter) -> Query:
    """How many entries are meant, whatever their text, and how large they are together."""
    where, values = _condition(wanted)
    return f"SELECT count(*), coalesce(sum(size), 0) FROM entries WHERE {where}", values  # noqa: S608


def deleting(wanted: EntryFilter) -> Query:
    """Away with those entries."""
    where, values = _condition(wanted)
    return f"DELETE FROM entries WHERE {where}", values  # noqa: S608


def _condition(wanted: EntryFilter) -> Query:
    terms: list[str] = ["1"]
    values: list[Any] = []
    for name, label in wanted.wanted_labels.items():
        terms.append(f"{name} = ?")
        values.append(label)
    if (before := wanted.made_before()) is not None:
        terms.append("created_at < ?")
        values.append(before)
    if wanted.never_hit:
        terms.append("hits = 0")
    if wanted.pinned is not None:
        terms.append(f"pinned = {int(wanted.pinned)}")  # no parameter, so that the index of the pinned ones is used
    return " AND ".join(terms), values


def item_of(row: tuple[Any, ...]) -> Item:
    """What a list shows of the entry whose columns are `row`."""
    key, size, created_at, used_at, hits, pinned, expires_at, latency, cost, run_id, content_type, *labels = row
    return Item(
        key=key,
        size_bytes=size,
        created_at=created_at,
        expires_at=expires_at,
        latency_seconds=latency,
        cost_usd=None if cost is None else Decimal(cost),
        run_id=run_id,
        content_type=content_type,
        labels={name: label for name, label in zip(LABELS, labels, strict=True) if label},
        hits=hits,
        used_at=used_at,
        pinned=bool(pinned),
    )
