"""A run's own page: what it was asked, what it did and what came of it, live while it goes on."""

from functools import partial

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.errors import ConfigurationError
from mcp_core.models import Run
from mcp_core.ui import actions, live, run_details, text
from mcp_core.ui.cache_story import cache_story
from mcp_core.ui.filters import viewer_zone
from mcp_core.ui.navigate import leave_run
from mcp_core.ui.trouble import fragment

__all__ = ["run_page"]

REFRESH_SECONDS = 2.0
"""How often timeline, events and log of an open run look again; its answer is followed more closely."""


def run_page(client: MCPClient, run_id: str) -> None:
    """Draw everything about one run; where there is none, say so."""
    st.button("All runs", icon=":material/arrow_back:", type="tertiary", on_click=leave_run, key="leave_run")
    try:
        run = client.runs.get(run_id)
    except ConfigurationError as error:
        st.warning(text.sentences(error.message), title="This run is not here", icon=":material/search_off:")
        st.markdown(text.sentences(error.hint))
        return
    _head(run)
    drawn = live.live_view(client, run.id, finished=lambda done: actions.run_actions(client, done))
    if drawn is None:
        return
    if drawn.status.is_final:
        _files(client, drawn)
        cache_story(client, drawn)
        _details(client, drawn.id)
        actions.exchange_view(client, drawn)
    else:
        fragment(_details, every=REFRESH_SECONDS)(client, drawn.id)


def _head(run: Run) -> None:
    st.subheader(text.escape(run.name or run.type))
    words = [
        f"{text.escape(run.type)} run",
        f"asked {text.moment(run.created_at, viewer_zone())} by {text.escape(run.actor_id)}",
        f"id {text.code(run.id)}",
    ]
    if run.tags:
        words.append("tags " + ", ".join(text.escape(tag) for tag in run.tags))
    st.caption(" · ".join(words))
    linked = [("Started by", run.parent_id), ("Repeats", run.retry_of)]
    if any(run_id for _, run_id in linked):
        with st.container(horizontal=True):
            for words_for_it, run_id in linked:
                if run_id:
                    run_details.run_button(
                        f"{words_for_it} run {text.escape(run_id[:12])}", run_id, key=f"go_{words_for_it}"
                    )


def _files(client: MCPClient, run: Run) -> None:
    if run.output.artifacts:
        with st.container(horizontal=True):
            for artifact in run.output.artifacts:
                st.download_button(
                    f"{text.escape(artifact.name)} ({text.file_size(artifact.size_bytes)})",
                    data=partial(client.runs.artifact, run.id, artifact.name),
                    file_name=artifact.name,
                    mime=artifact.media_type,
                    icon=":material/attach_file:",
                    on_click="ignore",
                    key=f"file_{artifact.name}",
                )


def _details(client: MCPClient, run_id: str) -> None:
    run = client.runs.get(run_id)
    tabs = st.tabs(list(run_details.PARTS), key="part", on_change="rerun")
    for tab, draw in zip(tabs, run_details.PARTS.values(), strict=True):
        if tab.open:
            with tab:
                draw(client, run)
