"""The parts of the history page: a word to beginners, figures and charts, and the filtered table."""

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.ui.filters import Span, run_filter, types_of
from mcp_core.ui.history_list import history_list, something_runs
from mcp_core.ui.history_overview import history_overview
from mcp_core.ui.links import PAGES
from mcp_core.ui.table_look import table_look
from mcp_core.ui.trouble import fragment

__all__ = ["history_charts", "history_runs", "nothing_has_run"]

CHART_SECONDS = 10.0
"""How often figures and charts look again while something runs."""


def nothing_has_run(client: MCPClient) -> bool:
    """Whether the history is empty; says so, and what to do about it."""
    if client.runs.list(limit=1)[0]:
        return False
    st.info(
        "Every run is kept here: what was asked, what came of it, how long it took and what it cost.",
        title="Nothing has run yet",
        icon=":material/history:",
    )
    st.page_link(PAGES["run"], label="Run the first task", icon=":material/play_arrow:")
    return True


def history_charts(client: MCPClient, span: Span) -> None:
    """Figures and charts of all runs in `span`."""
    every = CHART_SECONDS if something_runs(client) else None
    fragment(history_overview, every=every)(client, span)


def history_runs(client: MCPClient, span: Span) -> None:
    """Filters, and the table of the runs they leave."""
    types = types_of(client, span)
    models = client.dashboard.names(span.since, span.until, "model")
    with st.container(horizontal=True):
        where = run_filter(span, types=types, models=models)
        look = table_look(client, where)
    history_list(client, where, look)
