"""A run as it happens: followed in a fragment, so that the rest of the page stays as it is."""

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.errors import ConfigurationError, MCPError
from mcp_core.models import Run, RunStatus, utcnow
from mcp_core.ui import output, text
from mcp_core.ui.client import current_actor
from mcp_core.ui.follow import Following
from mcp_core.ui.links import PAGES
from mcp_core.ui.palette import BADGES, ICONS, label
from mcp_core.ui.trouble import fragment

__all__ = ["FOLLOW_SECONDS", "live_view", "nothing_yet", "refused", "show"]

FOLLOW_SECONDS = 0.4
"""How often a page looks at an open run: quick enough to read along, slow enough for many readers."""

_READINGS = "mcp.followings"


def live_view(
    client: MCPClient, run_id: str, *, finished: Callable[[Run], None] | None = None, key: str = "live"
) -> Run | None:
    """Draw a run: while it is open it is followed, whichever process has it; once it is over, its answer stands there.

    Args:
        finished: draws below a finished run, such as its actions.
        key: tells two views on one page apart.

    Returns:
        The run as it was drawn; None (and a word about it) where there is no such run.
    """
    try:
        run = client.runs.get(run_id)
    except ConfigurationError as error:
        st.warning(text.sentences(error.message), title="This run is not here", icon=":material/search_off:")
        if error.hint:
            st.markdown(text.sentences(error.hint))
        return None
    if run.status.is_final:
        _readings().pop(run.id, None)
        show(run)
        if finished is not None:
            finished(run)
    else:
        fragment(_follow, every=FOLLOW_SECONDS)(client, run.id, key)
    return run


def nothing_yet() -> None:
    """What stands where the answer will be."""
    with st.container(border=True):
        st.markdown("**The answer shows here**")
        st.caption(
            "Press Run, or Ctrl+Enter. You can close or reload the page meanwhile: the run goes on, and its address "
            "shows it again, also to somebody else."
        )


def refused(error: MCPError) -> None:
    """A run that could not begin: why, and what to do."""
    st.error(text.sentences(error.message), title="The run was not started", icon=":material/error:")
    if error.hint:
        st.markdown(f":material/lightbulb: {text.sentences(error.hint)}")
    if error.run_id:
        st.page_link(
            PAGES["history"],
            label="It is in the history",
            icon=":material/history:",
            query_params={"run": error.run_id},
        )


def show(run: Run) -> None:
    """A finished run: state, figures, answer or error."""
    output.badges(run)
    if run.error is not None:
        output.failure(run.error)
    if run.output.text or run.output.data is not None or run.status == RunStatus.SUCCEEDED:
        output.answer(run)
    if (run.started_at is not None and run.attempts) or run.status == RunStatus.SUCCEEDED:
        output.figures(run)


def _readings() -> dict[str, Following]:
    found: dict[str, Following] = st.session_state.setdefault(_READINGS, {})
    return found


def _follow(client: MCPClient, run_id: str, key: str) -> None:
    """One look at an open run; the fragment looks again until the run is over, then the whole page is drawn anew."""
    reading = _readings().setdefault(run_id, Following())
    run = client.runs.get(run_id)
    reading.take(client.runs.events(run_id, reading.seq))
    if run.status.is_final:
        st.rerun()
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.badge(label(run.status.value), icon=ICONS[run.status.value], color=_colour(run), width="content")
        if run.model:
            st.caption(text.escape(run.model), width="content")
        # Above the answer, where it stays put while the text grows.
        told = reading.cancelling
        if st.button(
            "Cancelling" if told else "Cancel",
            icon=":material/cancel:",
            key=f"{key}.cancel",
            help="The run ends within five seconds." if told else "Stop this run.",
            type="tertiary",
            disabled=told,
        ):
            _cancel(client, run_id, reading)
    with st.container(border=True):
        if reading.text:
            output.draw_markdown(reading.text)
        else:
            _waiting(client, run, reading)
    _progress(reading.progress)
    _retries(reading)
    _figures(run, reading)


def _colour(run: Run) -> Any:
    return BADGES[run.status.value]


def _cancel(client: MCPClient, run_id: str, reading: Following) -> None:
    try:
        reading.cancelling = client.runs.cancel(run_id, actor=current_actor())
    except MCPError as error:
        st.warning(text.sentences(str(error)))


def _waiting(client: MCPClient, run: Run, reading: Following) -> None:
    """Why there is no text yet."""
    if run.status == RunStatus.QUEUED:
        place = client.runs.position(run.id)
        words = "Waiting for a free worker" if place is None else f"Waiting: number {place} in the queue"
        st.markdown(f":shimmer[{words}]")
    elif (run.model or "").startswith("local/") and client.providers.local.state == "loading":
        st.markdown(":shimmer[Starting the built-in model]")
    elif _is_open(reading.progress):
        st.markdown(":shimmer[Waiting for the model]")
    else:
        expected = client.runs.expected_seconds(run.type, run.name, run.model)
        usual = f" (usually {text.seconds(expected)})" if expected and expected >= 1 else ""
        st.markdown(f":shimmer[Waiting for the answer]{usual}")
    if reading.note:
        st.caption(text.sentences(reading.note))


def _is_open(progress: Mapping[str, object] | None) -> bool:
    done, total = (progress or {}).get("done"), (progress or {}).get("total")
    return isinstance(done, int | float) and isinstance(total, int | float) and 0 <= done < total


def _progress(progress: Mapping[str, object] | None) -> None:
    if progress is None or not _is_open(progress):
        return
    done, total = float(str(progress["done"])), float(str(progress["total"]))
    if progress.get("unit") == "bytes":
        amount = f"{text.file_size(done)} of {text.file_size(total)}"
    else:
        amount = f"{done:,.0f} of {total:,.0f} {text.escape(str(progress.get('unit', '')))}".rstrip()
    what = text.escape(str(progress.get("what", "")))
    st.progress(done / total, text=f"{what}: {amount}" if what else amount)


def _retries(reading: Following) -> None:
    if reading.retries:
        last = reading.retries[-1]
        wait = last.get("wait_seconds")
        words = f"Attempt {len(reading.retries)} failed: {text.escape(str(last.get('error', '')))}"
        if "to" in last:
            st.caption(f":material/alt_route: {words} Asking {text.escape(str(last['to']))} instead.")
            return
        pause = f" Trying again in {text.seconds(wait)}." if isinstance(wait, int | float) else " Trying again."
        st.caption(f":material/refresh: {words}{pause}")


def _figures(run: Run, reading: Following) -> None:
    now = utcnow()
    begun = run.started_at or run.created_at
    with st.grid(4, min_column_width=130, gap="small"):
        st.metric("Time", text.seconds(max(0.0, (now - begun).total_seconds())))
        st.metric("Tokens", f"{reading.tokens:,}")
        st.metric("Speed", text.rate(reading.tokens, reading.token_seconds) if reading.tokens > 1 else "—")
        st.metric("Cost", "—", help="Known when the run is over.")
