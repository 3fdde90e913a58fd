"""History: how things went over time, every run, and a run's own page at `?run=ID`."""

import streamlit as st

from mcp_core.ui import current_client, filters, history_view, link_check, run_page

client = current_client()
link_check.check_names("history")
if (run_id := st.query_params.get("run")) and link_check.is_run(client, run_id):
    run_page.run_page(client, run_id)
elif not history_view.nothing_has_run(client):
    link_check.check_span()
    span = filters.span_picker()
    link_check.check_list(client, span)
    history_view.history_charts(client, span)
    st.subheader("Runs")
    history_view.history_runs(client, span)
