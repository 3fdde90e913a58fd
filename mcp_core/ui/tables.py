"""Tables of runs: which columns there are, how they read, and what is selected."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from mcp_core.models import utcnow
from mcp_core.ui.palette import CACHE_COLOURS, STATUS_COLOURS, label

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "DEFAULT_COLUMNS", "readable", "runs_table"]


@dataclass(frozen=True, slots=True)
class Column:
    """How a column reads: its title, its `st.column_config` type with arguments, and a word of help."""

    title: str
    kind: str = "TextColumn"
    help: str | None = None
    arguments: Mapping[str, Any] | None = None


def _badges(colours: Mapping[str, str]) -> dict[str, Any]:
    return {"options": [label(name) for name in colours], "color": list(colours.values())}


_TIME = {"format": "YYYY-MM-DD HH:mm:ss"}
_SECONDS = {"format": "%.2f s"}
_DOLLARS = {"format": "$%.6f"}
_WHOLE = {"format": "localized"}

COLUMNS: Final[Mapping[str, Column]] = {
    "name": Column("Task", arguments={"pinned": True}),
    "status": Column("Status", "MultiselectColumn", arguments=_badges(STATUS_COLOURS)),
    "model": Column("Model"),
    "cache": Column("Cache", "MultiselectColumn", arguments=_badges(CACHE_COLOURS)),
    "created_at": Column("Asked at", "DatetimeColumn", arguments=_TIME),
    "duration_seconds": Column("Time", "NumberColumn", "From start to finish, or until now.", _SECONDS),
    "cost_usd": Column("Cost", "NumberColumn", "Unknown where nobody knows the model's price.", _DOLLARS),
    "output_tokens": Column("Tokens out", "NumberColumn", "Tokens of the answer.", _WHOLE),
    "input_tokens": Column("Tokens in", "NumberColumn", "Tokens of the prompt.", _WHOLE),
    "saved_usd": Column("Saved", "NumberColumn", "What asking the model again would have cost.", _DOLLARS),
    "saved_seconds": Column("Time saved", "NumberColumn", "How much sooner the answer came.", _SECONDS),
    "queued_seconds": Column("Waited", "NumberColumn", "Time in the queue.", _SECONDS),
    "attempts": Column("Attempts", "NumberColumn", "Tries at model servers.", _WHOLE),
    "error_type": Column("Error"),
    "type": Column("Type"),
    "finished_at": Column("Finished at", "DatetimeColumn", arguments=_TIME),
    "actor_id": Column("Who"),
    "id": Column("Run"),
    "parent_id": Column("Started by run"),
    "retry_of": Column("Repeats run"),
}
"""Column of the history's frame -> how it reads."""

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
    frame: "pd.DataFrame", columns: Sequence[str], *, zone: tzinfo, on_open: Callable[[str], None], key: str
) -> list[str]:
    """Draw a page of runs and return the ids of those selected.

    Args:
        frame: rows of `client.runs.page`.
        columns: names out of `COLUMNS`, in the order to show them.
        on_open: called with a run's id when its button is pressed.
        key: tells tables on one page apart.
    """
    ids = [str(run_id) for run_id in frame["id"]]
    shown = readable(frame, zone)
    shown.insert(0, _OPEN, ":material/open_in_full:")
    config: dict[str, Any] = {
        name: getattr(st.column_config, column.kind)(column.title, help=column.help, **(column.arguments or {}))
        for name, column in COLUMNS.items()
    }
    # Selections are positions. A table of other runs is another table, so none can point at a run it was not made on.
    place = f"{key}_{sha256(' '.join(ids).encode()).hexdigest()[:12]}"
    click = f"{place}_{_OPEN}"

    def opened() -> None:
        state = st.session_state[click]
        if state is not None and 0 <= state.row < len(ids):
            on_open(ids[state.row])

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
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": chosen, "columns": [], "cells": []}} if chosen else None,
        height="content" if len(ids) <= 15 else 570,
        key=place,
        alt=f"{len(ids)} runs, newest first",
    )
    selected = [ids[row] for row in event.selection.rows if row < len(ids)]
    st.session_state[f"{key}_chosen"] = (place, selected)
    return selected


def _still_chosen(key: str, place: str, ids: Sequence[str]) -> list[int]:
    """Where the runs selected in the table drawn before stand in this one."""
    before, selected = st.session_state.get(f"{key}_chosen", ("", []))
    return [] if before == place else [ids.index(run_id) for run_id in selected if run_id in ids]
