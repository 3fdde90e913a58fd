"""Tables of runs: which columns there are, how they read, and what is selected."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from mcp_core.formats import count
from mcp_core.models import utcnow
from mcp_core.store import RunSort
from mcp_core.ui.palette import CACHE_COLOURS, STATUS_COLOURS, label

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "DEFAULT_COLUMNS", "ORDERS", "order_asked", "readable", "runs_table"]


@dataclass(frozen=True, slots=True)
class Column:
    """How a column reads: title, `st.column_config` type with arguments, a word of help, and which order is its own."""

    title: str
    kind: str = "TextColumn"
    help: str | None = None
    arguments: Mapping[str, Any] | None = None
    sort: str = ""


def _badges(colours: Mapping[str, str]) -> dict[str, Any]:
    return {"options": [label(name) for name in colours], "color": list(colours.values())}


_TIME = {"format": "YYYY-MM-DD HH:mm:ss"}
_SECONDS = {"format": "%.2f s"}
_DOLLARS = {"format": "$%.6g"}
_WHOLE = {"format": "localized"}

COLUMNS: Final[Mapping[str, Column]] = {
    "name": Column("Task", arguments={"pinned": True}, sort="task"),
    "status": Column("Status", "MultiselectColumn", arguments=_badges(STATUS_COLOURS), sort="status"),
    "model": Column("Model", sort="model"),
    "cache": Column("Cache", "MultiselectColumn", arguments=_badges(CACHE_COLOURS), sort="cache"),
    "created_at": Column("Asked at", "DatetimeColumn", arguments=_TIME, sort="created"),
    "duration_seconds": Column("Time", "NumberColumn", "From start to finish, or until now.", _SECONDS, "duration"),
    "cost_usd": Column("Cost", "NumberColumn", "Unknown where nobody knows the model's price.", _DOLLARS, "cost"),
    "output_tokens": Column("Tokens out", "NumberColumn", "Tokens of the answer.", _WHOLE, "tokens_out"),
    "input_tokens": Column("Tokens in", "NumberColumn", "Tokens of the prompt.", _WHOLE, "tokens_in"),
    "saved_usd": Column("Saved", "NumberColumn", "What asking the model again would have cost.", _DOLLARS, "saved"),
    "saved_seconds": Column("Time saved", "NumberColumn", "How much sooner the answer came.", _SECONDS, "time_saved"),
    "queued_seconds": Column("Waited", "NumberColumn", "Time in the queue.", _SECONDS, "waited"),
    "attempts": Column("Attempts", "NumberColumn", "Tries at model servers.", _WHOLE, "attempts"),
    "error_type": Column("Error", sort="error"),
    "type": Column("Type", sort="type"),
    "finished_at": Column("Finished at", "DatetimeColumn", arguments=_TIME, sort="finished"),
    "actor_id": Column("Who", sort="actor"),
    "id": Column("Run"),
    "parent_id": Column("Started by run"),
    "retry_of": Column("Repeats run"),
}
"""Column of the history's frame -> how it reads."""

ORDERS: Final[Mapping[str, str]] = {column.sort: column.title for column in COLUMNS.values() if column.sort}
"""What runs can be sorted by -> the title of its column."""

DEFAULT_COLUMNS: Final = ("name", "status", "model", "cache", "created_at", "duration_seconds", "cost_usd")

_TEXTS = ("name", "model", "error_type", "type", "actor_id", "parent_id", "retry_of")
_OPEN = "open"


def readable(frame: "pd.DataFrame", zone: tzinfo) -> "pd.DataFrame":
    """A frame of runs as people read it: times in `zone`, badges, an open run's time so far.

    Only what is unknown stays missing: the cost and the saving of models without a known price.
    """
    shown = frame.copy()
    end = shown["finished_at"].fillna(utcnow())
    shown["duration_seconds"] = (end - shown["started_at"]).dt.total_seconds().clip(lower=0).fillna(0.0)
    shown["queued_seconds"] = shown["queued_seconds"].fillna(0.0)
    spared = shown["cache"].isin(("hit", "stale"))
    shown["saved_usd"] = shown["saved_usd"].where(spared, 0.0)
    shown["saved_seconds"] = shown["saved_seconds"].where(spared, 0.0).fillna(0.0)
    for name in _TEXTS:
        shown[name] = shown[name].astype("str").fillna("")
    shown["name"] = shown["name"].where(shown["name"] != "", shown["type"])
    for name in ("created_at", "finished_at"):
        shown[name] = shown[name].dt.tz_convert(zone)
    for name in ("status", "cache"):
        shown[name] = [[label(str(value))] for value in shown[name]]
    return shown


def runs_table(
    frame: "pd.DataFrame",
    columns: Sequence[str],
    *,
    sort: RunSort,
    zone: tzinfo,
    on_open: Callable[[str], None],
    on_sort: Callable[[RunSort], None],
    key: str,
) -> list[str]:
    """Draw a page of runs and return the ids of those selected.

    Args:
        frame: rows of `client.runs.page`.
        columns: names out of `COLUMNS`, in the order to show them.
        sort: the order of the rows, which the header of its column shows.
        on_sort: called with the order that a press on a column's header asks for; the same again turns it round.
        on_open: called with a run's id when its button is pressed.
        key: tells tables on one page apart.
    """
    ids = [str(run_id) for run_id in frame["id"]]
    shown = readable(frame, zone)
    shown.insert(0, _OPEN, ":material/open_in_full:")
    config: dict[str, Any] = {
        name: getattr(st.column_config, column.kind)(_title(column, sort), help=column.help, **(column.arguments or {}))
        for name, column in COLUMNS.items()
    }
    # Selections are positions. A table of other runs is another table, so none can point at a run it was not made on.
    # So is one in another order: its header can be pressed again.
    place = f"{key}_{sha256(' '.join([str(sort), *ids]).encode()).hexdigest()[:12]}"
    click = f"{place}_{_OPEN}"

    def opened() -> None:
        state = st.session_state[click]
        if state is not None and 0 <= state.row < len(ids):
            on_open(ids[state.row])

    def pressed() -> None:
        if (asked := order_asked(st.session_state[place].selection.columns, sort)) is not None:
            on_sort(asked)

    config[_OPEN] = st.column_config.ButtonColumn(
        "Open", width="small", on_click=opened, key=click, help="Show this run.", pinned=True, type="tertiary"
    )
    chosen = _still_chosen(key, place, ids)
    event = st.dataframe(
        shown,
        column_order=[_OPEN, *columns],
        column_config=config,
        hide_index=True,
        placeholder="unknown",
        on_select=pressed,
        # A header is pressed for an order of the whole history; the table itself would sort this page alone.
        selection_mode=("multi-row", "single-column"),
        selection_default={"selection": {"rows": chosen, "columns": [], "cells": []}} if chosen else None,
        height="content" if len(ids) <= 15 else 570,
        key=place,
        alt=f"{count(len(ids), 'runs')}, sorted by {ORDERS[sort.by]}{', descending' if sort.descending else ''}",
    )
    selected = [ids[row] for row in event.selection.rows if row < len(ids)]
    st.session_state[f"{key}_chosen"] = (place, selected)
    return selected


def order_asked(columns: Sequence[str], now: RunSort) -> RunSort | None:
    """The order that a press on the header of one of `columns` asks for; None where those have none."""
    for name in columns:
        if name in COLUMNS and (by := COLUMNS[name].sort):
            return now.reversed if by == now.by else RunSort.parse(by)
    return None


def _title(column: Column, sort: RunSort) -> str:
    return f"{column.title} {'↓' if sort.descending else '↑'}" if column.sort == sort.by else column.title


def _still_chosen(key: str, place: str, ids: Sequence[str]) -> list[int]:
    """Where the runs selected in the table drawn before stand in this one."""
    before, selected = st.session_state.get(f"{key}_chosen", ("", []))
    return [] if before == place else [ids.index(run_id) for run_id in selected if run_id in ids]
