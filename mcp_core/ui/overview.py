"""The parts of the home page: what to do first, what is running, what ran last."""

from collections.abc import Sequence

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.errors import MCPError
from mcp_core.models import Run, RunStatus
from mcp_core.store import RunFilter
from mcp_core.ui import text
from mcp_core.ui.choices import DEFAULT_TASK, tasks_of
from mcp_core.ui.client import current_actor
from mcp_core.ui.links import PAGES
from mcp_core.ui.palette import BADGES, ICONS, label
from mcp_core.ui.trouble import fragment

__all__ = ["SAMPLE_TEXT", "first_steps", "is_new", "recent", "running"]

SAMPLE_TEXT = (
    "The city library opens its new reading room on Monday. It has seats for two hundred people, a quiet floor, and "
    "a workshop with tools that visitors can borrow. The old room closes for repairs until spring. Entry stays free, "
    "and the opening hours are longer than before: every day from eight in the morning to ten at night."
)
"""What the first example is filled in with."""

_LOOK_SECONDS = 1.0
_MOST_OPEN = 10
_MOST_RECENT = 8
_OPEN = RunFilter(statuses=(RunStatus.QUEUED, RunStatus.RUNNING))


def is_new(client: MCPClient) -> bool:
    """Whether nothing has ever run here."""
    return not client.runs.list(limit=1)[0]


def first_steps(client: MCPClient) -> None:
    """What to do where nothing has run yet: one click opens an example, filled in."""
    with st.container(border=True):
        st.subheader("Run your first task")
        st.markdown(
            "A task is a prompt with variables. Open the example, press Run, and watch the built-in model answer: "
            "it needs no key, no account, and nothing leaves this machine."
        )
        known = {task.name for task in tasks_of(client)}
        if DEFAULT_TASK in known and st.button(
            "Open the example", icon=":material/play_arrow:", type="primary", key="home.example"
        ):
            st.switch_page(PAGES["run"], query_params={"task": DEFAULT_TASK, "var.text": SAMPLE_TEXT})
        st.page_link(PAGES["run"], label="Begin a task of your own", icon=":material/edit_note:")
    st.markdown("Then run it again: the answer comes from the cache at once, and both runs stand in the history.")


def running(client: MCPClient) -> None:
    """Runs that go on now, in whichever process; looked at again only while there are any."""
    if _open(client):
        st.subheader("Running now")
        fragment(_running, every=_LOOK_SECONDS)(client)


def _open(client: MCPClient) -> list[Run]:
    return client.runs.list(_OPEN, limit=_MOST_OPEN)[0]


def _running(client: MCPClient) -> None:
    runs = _open(client)
    if not runs:
        st.rerun()
    live = {run.id: run for run in client.runs.live()}
    for stored in runs:
        run = live.get(stored.id, stored)
        with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
            state = run.status.value
            st.badge(label(state), icon=ICONS[state], color=BADGES[state], width="content")
            _link(run)
            st.caption(f"since {text.ago(run.started_at or run.created_at)}", width="content")
            if st.button("Cancel", icon=":material/cancel:", key=f"home.cancel.{run.id}", type="tertiary"):
                _cancel(client, run.id)
    total = client.runs.count(_OPEN)
    if total > len(runs):
        st.caption(f"and {total - len(runs):,} more in the history")


def _cancel(client: MCPClient, run_id: str) -> None:
    try:
        client.runs.cancel(run_id, actor=current_actor())
    except MCPError as error:
        st.warning(text.sentences(str(error)))
    else:
        st.rerun(scope="fragment")


def _link(run: Run) -> None:
    name = text.escape(run.name or run.id[:12])
    st.page_link(PAGES["history"], label=name, icon="", query_params={"run": run.id}, help="")


def recent(client: MCPClient) -> None:
    """The last finished runs, each with state, cache outcome, time and cost, linked to its own page."""
    st.subheader("Recent runs")
    final = tuple(status for status in RunStatus if status.is_final)
    runs: Sequence[Run] = client.runs.list(RunFilter(statuses=final), limit=_MOST_RECENT)[0]
    if not runs:
        st.caption("None has finished yet.")
    for run in runs:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            _badges(run)
            _link(run)
            st.caption(_facts(run), width="content")
    with st.container(horizontal=True, gap="small"):
        st.page_link(PAGES["run"], label="New run", icon=":material/play_arrow:")
        st.page_link(PAGES["history"], label="All runs", icon=":material/history:")


def _facts(run: Run) -> str:
    cost = "cost unknown" if run.cost_usd is None else text.money(run.cost_usd).replace("$", "\\$")
    facts = [text.ago(run.finished_at), text.seconds(run.duration_seconds), cost]
    # A run that never reached a model has no cost to be unknown.
    return " · ".join(facts if run.attempts or run.cost_usd is not None else facts[:2])


def _badges(run: Run) -> None:
    states = [run.status.value]
    if run.status is RunStatus.SUCCEEDED:
        states.append(run.cache.outcome)
    for state in states:
        st.badge(label(state), icon=ICONS[state], color=BADGES[state], width="content")
