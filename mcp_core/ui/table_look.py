"""How the table of runs looks: its columns, kept for each person, and its rows a page; and its downloads."""

from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Final

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.api.exports import ExportFormat, export
from mcp_core.errors import MCPError
from mcp_core.models import Actor
from mcp_core.store import RunFilter
from mcp_core.ui import text
from mcp_core.ui.client import current_actor
from mcp_core.ui.notes import leave_note
from mcp_core.ui.tables import COLUMNS, DEFAULT_COLUMNS

__all__ = ["COLUMNS_KEY", "MOST_EXPORTED", "PAGE_SIZES", "Look", "exported", "table_look"]

MOST_EXPORTED: Final = 10_000
"""Runs one download holds at most, the newest ones."""

PAGE_SIZES: Final = (25, 100, 500)

COLUMNS_KEY: Final = "history.columns"
"""Under which a person's columns are kept."""

_FIRST_COLUMNS = "history_columns"


@dataclass(frozen=True, slots=True)
class Look:
    """How the table looks: names of `COLUMNS` in order, and rows a page."""

    columns: tuple[str, ...]
    rows: int


def table_look(client: MCPClient, where: RunFilter) -> Look:
    """Draw the choice of columns and page size, and the downloads of the runs that match."""
    actor = current_actor()
    with st.popover("Table", icon=":material/view_column:", key="table_look"):
        columns = st.multiselect(
            "Columns",
            list(COLUMNS),
            default=_first_columns(client, actor),
            format_func=lambda name: COLUMNS[name].title,
            key="cols",
            bind="query-params",
            on_change=_keep_columns,
            args=(client, actor),
            help="In the order they are chosen. They are kept for you; a link with other columns shows those.",
        )
        size = st.segmented_control(
            "Rows a page", PAGE_SIZES, default=PAGE_SIZES[1], required=True, key="rows", bind="query-params"
        )
    with st.popover("Download", icon=":material/download:", key="downloads"):
        kinds: tuple[tuple[ExportFormat, str, str], ...] = (
            ("csv", "CSV, for spreadsheets", "text/csv"),
            ("json", "JSON, with everything", "application/json"),
        )
        for kind, words, mime in kinds:
            st.download_button(
                words,
                data=partial(exported, client, where, kind),
                file_name=f"runs.{kind}",
                mime=mime,
                on_click="ignore",
                width="stretch",
                key=f"download_{kind}",
            )
        st.caption(f"All runs that match, not only this page; the newest {MOST_EXPORTED:,} at most.")
    return Look(tuple(columns) or DEFAULT_COLUMNS, size or PAGE_SIZES[1])


def exported(client: MCPClient, where: RunFilter, kind: ExportFormat) -> bytes:
    """The newest `MOST_EXPORTED` of the runs that match, as a file."""
    # A lone surrogate is legal in a model's answer and not in UTF-8. Spreadsheets tell UTF-8 by its mark.
    content = "".join(export(islice(client.runs.iterate(where), MOST_EXPORTED), kind))
    return content.encode("utf-8-sig" if kind == "csv" else "utf-8", "replace")


def _first_columns(client: MCPClient, actor: Actor) -> list[str]:
    """The columns this session begins with: a widget's default must stay what it is while the widget is there."""
    if _FIRST_COLUMNS not in st.session_state:
        kept: Any = client.preferences.get(COLUMNS_KEY, actor=actor)
        # Another version may have known other columns.
        known = [name for name in kept if isinstance(name, str) and name in COLUMNS] if isinstance(kept, list) else []
        st.session_state[_FIRST_COLUMNS] = list(dict.fromkeys(known)) or list(DEFAULT_COLUMNS)
    found: list[str] = st.session_state[_FIRST_COLUMNS]
    return found


def _keep_columns(client: MCPClient, actor: Actor) -> None:
    try:
        client.preferences.set(COLUMNS_KEY, list(st.session_state["cols"]) or None, actor=actor)
    except MCPError as error:
        leave_note(f"The columns are not kept: {text.sentences(str(error))}", icon=":material/error:")
