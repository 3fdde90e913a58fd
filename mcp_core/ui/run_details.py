"""The parts of a run's page below its answer: timeline, input, events, attempts, log, and the runs it started."""

import json
from collections.abc import Callable
from typing import Any

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.errors import MCPError
from mcp_core.models import Run, utcnow
from mcp_core.ui import figures, text
from mcp_core.ui.filters import viewer_zone
from mcp_core.ui.navigate import show_run
from mcp_core.ui.palette import ICONS, label
from mcp_core.ui.timeline import MOST_CHILDREN, timeline_bars, timeline_figure

__all__ = ["PARTS", "run_button"]

MOST_EVENTS = 1000
"""Events a page lists; a run with more shows the first ones and the download has them all."""


def run_button(words: str, run_id: str, *, key: str) -> None:
    """A quiet button that goes to another run's page."""
    st.button(words, icon=":material/arrow_forward:", type="tertiary", on_click=show_run, args=(run_id,), key=key)


def _timeline(client: MCPClient, run: Run) -> None:
    children = client.runs.children(run.id)
    figures.draw(timeline_figure(timeline_bars(run, children, now=utcnow())), key="timeline")
    if len(children) > MOST_CHILDREN:
        st.caption(f"The first {MOST_CHILDREN} of {text.count(len(children), 'runs')} it started are drawn.")
    for child in children[:MOST_CHILDREN]:
        words = f"{text.escape(child.name or child.type)}: {label(child.status.value).lower()}"
        run_button(f"{ICONS[child.status.value]} {words}", child.id, key=f"child_{child.id}")


def _input(_client: MCPClient, run: Run) -> None:
    st.markdown("**Variables**")
    if run.variables:
        st.json(run.variables)
    else:
        st.caption("This run has none.")
    st.markdown("**Settings**")
    st.json(run.config, expanded=1)


def _events(client: MCPClient, run: Run) -> None:
    import pandas as pd

    events = [event for event in client.runs.events(run.id) if event.kind != "token"]
    if not events:
        st.caption("No events are kept of this run.")
        return
    frame = pd.DataFrame(
        {
            "after": [(event.at - run.created_at).total_seconds() for event in events[:MOST_EVENTS]],
            "kind": [event.kind for event in events[:MOST_EVENTS]],
            # What went over the wire is shown below the tabs, and may be large.
            "data": [_shortened(event.data) for event in events[:MOST_EVENTS]],
        }
    )
    st.dataframe(
        frame,
        hide_index=True,
        column_config={
            "after": st.column_config.NumberColumn("After", format="%.3f s", width="small"),
            "kind": st.column_config.TextColumn("Event", width="small"),
            "data": st.column_config.JsonColumn("Details", width="large"),
        },
        alt=f"{text.count(len(events), 'events')} of this run, in order",
    )
    if len(events) > MOST_EVENTS:
        st.caption(f"The first {MOST_EVENTS:,} of {text.count(len(events), 'events')}.")


def _shortened(data: dict[str, Any]) -> str:
    short = {name: value if len(str(value)) <= 2000 else f"{str(value)[:2000]}…" for name, value in data.items()}
    return json.dumps(short, ensure_ascii=False)


def _attempts(_client: MCPClient, run: Run) -> None:
    import pandas as pd

    if not run.attempts:
        st.caption("No model server was asked.")
        return
    frame = pd.DataFrame(
        {
            "number": [attempt.number for attempt in run.attempts],
            "model": [f"{attempt.provider}/{attempt.model}" for attempt in run.attempts],
            "status": [str(attempt.status) if attempt.status is not None else "no answer" for attempt in run.attempts],
            "started": [attempt.started_at for attempt in run.attempts],
            "seconds": [attempt.duration_seconds for attempt in run.attempts],
            "waited": [attempt.waited_seconds for attempt in run.attempts],
            "error": [attempt.error or "" for attempt in run.attempts],
        }
    )
    frame["started"] = frame["started"].dt.tz_convert(viewer_zone())
    st.dataframe(
        frame,
        hide_index=True,
        column_config={
            "number": st.column_config.NumberColumn("Attempt", width="small"),
            "model": "Model",
            "status": st.column_config.TextColumn("HTTP status", width="small"),
            "started": st.column_config.DatetimeColumn("Started", format="HH:mm:ss.SSS", width="small"),
            "seconds": st.column_config.NumberColumn("Time", format="%.3f s", width="small"),
            "waited": st.column_config.NumberColumn(
                "Waited",
                format="%.3f s",
                width="small",
                help="Of that time, before the server was asked: while the local model was fetched and started, or a "
                "limit on calls had to be kept to.",
            ),
            "error": "Why it did not serve",
        },
        alt=f"{text.count(len(run.attempts), 'attempts')} at model servers",
    )


def _log(client: MCPClient, run: Run) -> None:
    try:
        log = client.logs.of_run(run)
    except MCPError as error:
        st.warning(text.sentences(str(error)), icon=":material/description:")
        return
    if log.truncated:
        st.caption("Only the newest lines are shown; the log file may have earlier ones.")
    if not log.lines:
        st.caption("The log says nothing about this run. A lower MCP_LOG_LEVEL makes it say more.")
        return
    zone = viewer_zone()
    lines = [f"{line.at.astimezone(zone):%H:%M:%S.%f}"[:-3] + f" {line.level:<8} {line.message}" for line in log.lines]
    tracebacks = [line.exception for line in log.lines if line.exception]
    st.code(
        "\n".join([*lines, *tracebacks]), language=None, wrap_lines=True, height=320 if len(lines) > 14 else "content"
    )


PARTS: dict[str, Callable[[MCPClient, Run], None]] = {
    "Timeline": _timeline,
    "Input": _input,
    "Events": _events,
    "Attempts": _attempts,
    "Log": _log,
}
"""Name of a part -> what draws it, in order."""
