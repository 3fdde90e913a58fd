"""What can be done with several runs at once: cancel, repeat, delete."""

from collections.abc import Callable, Sequence

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.errors import MCPError
from mcp_core.models import Actor
from mcp_core.ui import text
from mcp_core.ui.client import current_actor
from mcp_core.ui.notes import leave_note

__all__ = ["cancel_runs", "confirm", "delete_runs", "repeat_runs", "toolbar"]


def toolbar(client: MCPClient, selected: Sequence[str], *, on_open: Callable[[str], None]) -> None:
    """Buttons for the selected runs; they stay in place, greyed out, while none is selected."""
    none = not selected
    # Asked for here, since a callback runs before the page that knows who is there.
    actor = current_actor()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Open",
            icon=":material/open_in_full:",
            key="bulk_open",
            disabled=len(selected) != 1,
            on_click=on_open,
            args=(selected[0] if selected else "",),
        )
        st.button(
            "Cancel",
            icon=":material/cancel:",
            key="bulk_cancel",
            disabled=none,
            help="Stop those that are still going.",
            on_click=cancel_runs,
            args=(client, tuple(selected), actor),
        )
        if st.button("Repeat", icon=":material/replay:", key="bulk_repeat", disabled=none):
            _confirm_repeat(client, tuple(selected), actor)
        if st.button("Delete", icon=":material/delete:", key="bulk_delete", disabled=none):
            _confirm_delete(client, tuple(selected), actor)
        st.caption(f"{text.count(len(selected), 'runs')} selected" if selected else "Select runs in the table.")


def confirm(question: str, button: str, *, icon: str, act: Callable[[], None], key: str) -> None:
    """The body of a dialog that asks before it acts, and closes."""
    st.markdown(question)
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep", key=f"{key}_no"):
            st.rerun()
        if st.button(button, type="primary", icon=icon, key=f"{key}_yes", on_click=act):
            st.rerun()


@st.dialog("Delete runs")
def _confirm_delete(client: MCPClient, ids: Sequence[str], actor: Actor) -> None:
    many = text.count(len(ids), "runs")
    confirm(
        f"Delete {many} with everything they answered? This cannot be undone. "
        "Runs that are still going stay, and the charts keep counting what ran.",
        f"Delete {many}",
        icon=":material/delete:",
        act=lambda: delete_runs(client, ids, actor),
        key="delete_runs",
    )


@st.dialog("Repeat runs")
def _confirm_repeat(client: MCPClient, ids: Sequence[str], actor: Actor) -> None:
    many = text.count(len(ids), "runs")
    confirm(
        f"Run {many} again, with the same settings and variables? What the cache does not know is asked and paid for.",
        f"Repeat {many}",
        icon=":material/replay:",
        act=lambda: repeat_runs(client, ids, actor),
        key="repeat_runs",
    )


def delete_runs(client: MCPClient, ids: Sequence[str], actor: Actor) -> None:
    """Delete those that are over, and say how many."""
    try:
        gone = client.runs.delete(ids, actor=actor)
    except MCPError as error:
        leave_note(text.sentences(str(error)), icon=":material/error:")
        return
    left = len(ids) - gone
    stayed = f" {text.count(left, 'runs')} stayed: still going, or deleted before." if left else ""
    leave_note(f"Deleted {text.count(gone, 'runs')}.{stayed}", icon=":material/delete:")


def repeat_runs(client: MCPClient, ids: Sequence[str], actor: Actor) -> None:
    """Start each of them again; the first that cannot be started ends it, and says why."""
    done = 0
    for run_id in ids:
        try:
            client.runs.repeat(run_id, actor=actor)
        except MCPError as error:
            leave_note(
                f"Run {text.escape(run_id[:12])} was not repeated: {text.sentences(str(error))}",
                icon=":material/error:",
            )
            break
        done += 1
    if done:
        leave_note(f"Started {text.count(done, 'runs')} again.", icon=":material/replay:")


def cancel_runs(client: MCPClient, ids: Sequence[str], actor: Actor) -> None:
    """Stop those that are still going, and say how many."""
    stopped = 0
    for run_id in ids:
        try:
            stopped += client.runs.cancel(run_id, actor=actor)
        except MCPError as error:
            leave_note(f"Run {text.escape(run_id[:12])} goes on: {text.sentences(str(error))}", icon=":material/error:")
    leave_note(f"Cancelled {text.count(stopped, 'runs')}.", icon=":material/cancel:")
