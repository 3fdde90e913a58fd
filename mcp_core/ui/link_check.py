"""The links to the pages of history and cache, checked before anything is drawn by them."""

from collections.abc import Collection, Mapping
from datetime import date, datetime

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.errors import ConfigurationError
from mcp_core.store import SORTS, RunSort
from mcp_core.ui import link_notes
from mcp_core.ui.filters import FILTER_KEYS, RANGES, Span, range_label, types_of, viewer_zone
from mcp_core.ui.links import PageName
from mcp_core.ui.palette import CACHE_COLOURS, STATUS_COLOURS, label
from mcp_core.ui.state import FORM_PARAMS, is_form_param
from mcp_core.ui.table_look import PAGE_SIZES
from mcp_core.ui.tables import COLUMNS

__all__ = ["check_cache", "check_list", "check_names", "check_span", "is_run"]

_SPAN = ("range", "range_from", "range_to")
_NAMES: Mapping[PageName, Collection[str]] = {
    "run": ("run", *FORM_PARAMS),
    "history": ("run", "sort", "before", "cols", "rows", *FILTER_KEYS, *_SPAN),
    "cache": ("cache_by", "cache_order", "cache_q", *_SPAN),
}
"""Page -> what its address may say, beside what the form of a run does."""


def check_names(page: PageName) -> None:
    """Note and take out what the link says that this page knows nothing of."""
    known = _NAMES[page]
    for name in list(st.query_params):
        if name not in known and not (page == "run" and is_form_param(name)):
            link_notes.note(name, st.query_params[name], f"this page knows {', '.join(known)}.")
            st.query_params.pop(name, None)


def is_run(client: MCPClient, run_id: str) -> bool:
    """Whether there is the run that the link names; where not, that is noted and the link forgets it."""
    try:
        client.runs.get(run_id)
    except ConfigurationError as error:
        link_notes.note_error("run", run_id, error)
        st.query_params.pop("run", None)
        return False
    return True


def check_span(key: str = "range") -> None:
    """Check the link's stretch of time."""
    link_notes.check(key, [range_label(name) for name in RANGES])
    today = datetime.now(viewer_zone()).date()
    for name in (f"{key}_from", f"{key}_to"):
        for value in st.query_params.get_all(name):
            try:
                fits = not value or date.fromisoformat(value) <= today
            except ValueError:
                fits = False
            if not fits:
                link_notes.note(name, value, f"allowed is a day up to today, such as {today.isoformat()}.")


def check_list(client: MCPClient, span: Span) -> None:
    """Check the filters, the look and the order of the runs' table; what has no widget is taken out of the link."""
    link_notes.check("statuses", [label(name) for name in STATUS_COLOURS])
    link_notes.check("outcomes", [label(name) for name in CACHE_COLOURS])
    link_notes.check("types", types_of(client, span))
    link_notes.check("cols", [column.title for column in COLUMNS.values()])
    link_notes.check("rows", [str(size) for size in PAGE_SIZES])
    if written := st.query_params.get("sort"):
        try:
            RunSort.parse(written)
        except ConfigurationError:
            link_notes.note("sort", written, f"allowed are {', '.join(SORTS)}, each also with :asc or :desc.")
            st.query_params.pop("sort", None)
            st.query_params.pop("before", None)
    if place := st.query_params.get("before"):
        try:
            client.runs.list(limit=1, cursor=place, sort=st.query_params.get("sort", "created"))
        except ConfigurationError:
            link_notes.note("before", place, "it is no place in this list. The list begins at its first page.")
            st.query_params.pop("before", None)


def check_cache() -> None:
    """Check the link to the page of the cache."""
    check_span()
    link_notes.check("cache_by", ["Model", "Provider", "Type", "Task"])
    link_notes.check("cache_order", ["Newest", "Oldest", "Largest", "Most useful"])
