"""The live queue: how much runs and waits, how busy each process is, and the runs, which can be cancelled."""

from typing import Final

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.api.snapshot import QueuedRun, QueueSnapshot, RunningRun, WorkerProcess
from mcp_core.errors import MCPError
from mcp_core.models import Actor
from mcp_core.ui import text
from mcp_core.ui.client import current_actor
from mcp_core.ui.links import PAGES
from mcp_core.ui.notes import leave_note
from mcp_core.ui.palette import BADGES, ICONS, label

__all__ = ["cancel_run", "queue"]

MOST_SHOWN: Final = 10
"""Running and waiting runs that have a line of their own, each."""

_CANCELLING = "queue.cancelling"


def queue(client: MCPClient, now: QueueSnapshot) -> None:
    """Draw it."""
    _figures(now)
    actor = current_actor()
    asked: set[str] = st.session_state.setdefault(_CANCELLING, set())
    asked &= {run.id for run in now.running} | {run.id for run in now.waiting}
    for running in now.running[:MOST_SHOWN]:
        words = f"for {text.seconds(running.elapsed_seconds)}"
        _line(client, running, "running", words, actor)
    for waiting in now.waiting[:MOST_SHOWN]:
        place = f"place {waiting.position:,}" if waiting.position else "its process is gone"
        _line(client, waiting, "queued", f"{place}, for {text.seconds(waiting.waited_seconds)}", actor)
    shown = len(now.running[:MOST_SHOWN]) + len(now.waiting[:MOST_SHOWN])
    more = now.running_total + now.waiting_total - shown
    if more > 0:
        st.caption(f"and {text.count(more, 'runs')} more, on the history page")
    elif not shown:
        st.caption(":material/check_circle: Nothing runs or waits.")
    with st.expander(f"{text.count(len(now.processes), 'processes')} on this history", icon=":material/memory:"):
        for process in now.processes:
            st.markdown(_process(process))


def _figures(now: QueueSnapshot) -> None:
    workers = sum(process.workers for process in now.processes)
    busy = sum(process.busy for process in now.processes)
    with st.grid(4, min_column_width=150, gap="small"):
        st.metric("Running", text.count(now.running_total), border=True, height="stretch")
        st.metric("Waiting", text.count(now.waiting_total), border=True, height="stretch")
        st.metric(
            "Workers busy",
            f"{busy:,} of {workers:,}",
            border=True,
            height="stretch",
            help="Of all processes on this history. `MCP_WORKERS` is how many each has.",
        )
        st.metric(
            "Places left",
            text.count(now.limits.queue_free),
            border=True,
            height="stretch",
            help=f"In the queue of this process, which has {now.limits.queue_size:,} (`MCP_QUEUE_SIZE`).",
        )


def _line(client: MCPClient, run: QueuedRun | RunningRun, state: str, words: str, actor: Actor) -> None:
    told = run.id in st.session_state[_CANCELLING]
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(label(state), icon=ICONS[state], color=BADGES[state], width="content")
        name = text.escape(run.name or run.id[:12])
        st.page_link(PAGES["history"], label=name, icon="", query_params={"run": run.id}, help="")
        about = [words, run.model or run.type, f"by {run.actor_id}"]
        if run.priority != "normal":
            about.append(f"{run.priority} priority")
        st.caption(text.escape(" · ".join(about)), width="content")
        st.button(
            "Cancelling" if told else "Cancel",
            icon=":material/cancel:",
            key=f"queue.cancel.{run.id}",
            type="tertiary",
            disabled=told,
            on_click=cancel_run,
            args=(client, run.id, actor),
        )


def _process(process: WorkerProcess) -> str:
    words = [
        f"{process.busy:,} of {text.count(process.workers, 'workers')} busy",
        f"{process.waiting:,} of {text.count(process.queue_size, 'places')} in its queue taken",
    ]
    if process.aside:
        words.append(f"{process.aside:,} waiting for a model server")
    if process.given_up:
        words.append(f"{process.given_up:,} stuck in a run that was ended")
    if not process.here:
        words.append(f"heard of {text.seconds(process.heard_seconds)} ago")
    name = f"{process.host}, process {process.pid}" + (" (this one)" if process.here else "")
    return f"**{text.escape(name)}**: {text.escape(', '.join(words))}"


def cancel_run(client: MCPClient, run_id: str, actor: Actor) -> None:
    """Stop a run, in whichever process it is."""
    try:
        if client.runs.cancel(run_id, actor=actor):
            st.session_state.setdefault(_CANCELLING, set()).add(run_id)
        else:
            leave_note("It was over already.", icon=":material/cancel:")
    except MCPError as error:
        leave_note(f"The run goes on: {text.sentences(str(error))}", icon=":material/error:")
