"""The health page as a whole: drawn again every second while something goes on, and now and then while nothing does."""

from typing import Final

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.api.health import Health
from mcp_core.ui import machine_view, queue_view, servers, trouble_view
from mcp_core.ui.notes import show_notes
from mcp_core.ui.trouble import fragment

__all__ = ["live"]

BUSY_SECONDS: Final = 1.0
QUIET_SECONDS: Final = 5.0
_BUSY = "health.busy"


def live(client: MCPClient) -> None:
    """Draw the page and keep it up to date."""
    busy = bool(st.session_state.get(_BUSY, False))
    fragment(_draw, every=BUSY_SECONDS if busy else QUIET_SECONDS)(client, busy)


def _draw(client: MCPClient, was_busy: bool) -> None:
    now = client.health.now()
    busy = _goes_on(now)
    if busy != was_busy:
        # How often the page looks again is settled where it is drawn as a whole.
        st.session_state[_BUSY] = busy
        st.rerun()
    show_notes()
    st.subheader("Queue")
    queue_view.queue(client, now.queue)
    st.subheader("Model servers")
    servers.model_servers(client, now)
    st.subheader("This machine")
    machine_view.machine(now)
    st.subheader("Lately")
    trouble_view.latest(client, now)


def _goes_on(now: Health) -> bool:
    moving = ("open", "half-open", "fetching", "loading")
    work = now.outages or now.queue.running or now.queue.waiting
    return bool(work) or any(info.in_use or info.state in moving for info in now.providers)
