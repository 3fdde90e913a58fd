"""What went wrong lately, as a table: retries, fallbacks, stale answers and errors, each with its run."""

from collections.abc import Mapping

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.api.health import Health
from mcp_core.api.trouble import TroubleKind
from mcp_core.ui import text
from mcp_core.ui.filters import viewer_zone
from mcp_core.ui.links import run_url

__all__ = ["latest"]

_KINDS: Mapping[TroubleKind, str] = {
    "retry": "Asked again",
    "fallback": "Fell back",
    "stale": "Expired answer",
    "error": "Failed",
}


def latest(client: MCPClient, now: Health) -> None:
    """The table, newest first."""
    if not now.trouble:
        st.caption(":material/check_circle: No retries, fallbacks, expired answers or errors in the latest runs.")
        return
    import pandas as pd

    zone = viewer_zone()
    frame = pd.DataFrame(
        {
            "when": [text.moment(one.at, zone) for one in now.trouble],
            "what": [_KINDS[one.kind] for one in now.trouble],
            "why": [one.text for one in now.trouble],
            "server": [one.provider or "—" for one in now.trouble],
            "task": [one.run_name for one in now.trouble],
            "run": [run_url(client.settings, one.run_id) for one in now.trouble],
        }
    )
    st.dataframe(
        frame,
        hide_index=True,
        column_config={
            "when": "When",
            "what": "What",
            "why": st.column_config.TextColumn("Why", width="large"),
            "server": "Server",
            "task": "Task",
            "run": st.column_config.LinkColumn("Run", display_text="Open"),
        },
        key="trouble",
        alt=f"{text.count(len(now.trouble), 'troubles')} of the latest runs, newest first",
    )
