"""The table of runs: filtered, sorted, a page at a time, to be acted on; it keeps up while something runs."""

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.models import RunStatus
from mcp_core.store import NEWEST_FIRST, RunFilter, RunSort
from mcp_core.ui import bulk, text
from mcp_core.ui.filters import FILTER_KEYS, reset_filters, viewer_zone
from mcp_core.ui.navigate import show_run
from mcp_core.ui.notes import show_notes
from mcp_core.ui.table_look import Look
from mcp_core.ui.tables import ORDERS, runs_table
from mcp_core.ui.trouble import fragment

__all__ = ["REFRESH_SECONDS", "history_list", "something_runs"]

REFRESH_SECONDS = 2.0
"""How often the table looks again while something runs."""

_OPEN = RunFilter(statuses=(RunStatus.QUEUED, RunStatus.RUNNING))
_BEFORE = "before"
_SORT = "sort"
_TRAIL = "history_trail"
_ASKED = "history_asked"


def something_runs(client: MCPClient) -> bool:
    """Whether a run is queued or running, here or in another process."""
    return bool(client.runs.live()) or bool(client.runs.list(_OPEN, limit=1)[0])


def history_list(client: MCPClient, where: RunFilter, look: Look) -> None:
    """Draw the table of the runs that match, with its pages and actions."""
    _back_to_first_page_if_asked_anew()
    busy = something_runs(client)
    fragment(_page, every=REFRESH_SECONDS if busy else None)(client, where, look, busy)


def _back_to_first_page_if_asked_anew() -> None:
    asked = tuple(str(st.session_state.get(key)) for key in (*FILTER_KEYS, "range", "rows"))
    if st.session_state.setdefault(_ASKED, asked) != asked:
        st.session_state[_ASKED] = asked
        _first_page()


def _page(client: MCPClient, where: RunFilter, look: Look, busy: bool) -> None:
    show_notes()
    cursor = st.query_params.get(_BEFORE)
    sort = RunSort.parse(st.query_params.get(_SORT, str(NEWEST_FIRST)))
    frame, following = client.runs.page(where, limit=look.rows, cursor=cursor, sort=sort)
    if frame.empty and cursor is None:
        _nothing_matches()
    else:
        _order(sort)
        selected = runs_table(
            frame,
            look.columns,
            sort=sort,
            zone=viewer_zone(),
            on_open=show_run,
            on_sort=_sorted_by,
            key="history_table",
        )
        bulk.toolbar(client, selected, on_open=show_run)
        _pager(len(frame), cursor, following)
    if busy and not something_runs(client):
        # Draws everything once more, now without the timer.
        st.rerun()


def _order(sort: RunSort) -> None:
    """Draw the choice of order. The address has the last word, since a column's header changes it as well."""
    st.session_state["sort_by"] = sort.by

    def by() -> None:
        _sorted_by(RunSort.parse(st.session_state["sort_by"]))

    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.selectbox(
            "Sort by",
            list(ORDERS),
            format_func=lambda name: f"Sort by: {ORDERS[name]}",
            key="sort_by",
            on_change=by,
            width=220,
            label_visibility="collapsed",
        )
        st.button(
            "Descending" if sort.descending else "Ascending",
            icon=":material/arrow_downward:" if sort.descending else ":material/arrow_upward:",
            help="Turn the order round. Runs without a value come last either way.",
            on_click=_sorted_by,
            args=(sort.reversed,),
            key="sort_turn",
        )


def _sorted_by(sort: RunSort) -> None:
    _first_page()
    if sort == NEWEST_FIRST:
        st.query_params.pop(_SORT, None)
    else:
        st.query_params[_SORT] = str(sort)


def _nothing_matches() -> None:
    st.info("No run matches these filters in this time.", icon=":material/filter_list_off:")
    st.button("Clear filters", on_click=reset_filters, key="clear_all")


def _pager(rows: int, cursor: str | None, following: str | None) -> None:
    trail: list[str | None] = st.session_state.setdefault(_TRAIL, [])
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        page = f"page {len(trail) + 1}" if trail or cursor is None else "a page from a link"
        st.caption(
            f"{text.count(rows, 'runs')}, {page}. A column's header sorts all runs, not only these.", width="content"
        )
        st.button(
            "First", icon=":material/first_page:", on_click=_first_page, disabled=cursor is None, key="page_first"
        )
        st.button("Back", icon=":material/chevron_left:", on_click=_page_before, disabled=not trail, key="page_back")
        st.button(
            "Next",
            icon=":material/chevron_right:",
            icon_position="right",
            on_click=_next_page,
            args=(following,),
            disabled=following is None,
            key="page_next",
        )


def _first_page() -> None:
    st.session_state[_TRAIL] = []
    st.query_params.pop(_BEFORE, None)


def _next_page(cursor: str) -> None:
    st.session_state[_TRAIL].append(st.query_params.get(_BEFORE))
    st.query_params[_BEFORE] = cursor


def _page_before() -> None:
    cursor = st.session_state[_TRAIL].pop()
    if cursor is None:
        _first_page()
    else:
        st.query_params[_BEFORE] = cursor
