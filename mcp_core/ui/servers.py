"""Model servers in full: circuits, endpoints, calls under way, what is left of rates, a test, and simulated outages."""

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.api.health import LONGEST_OUTAGE_MINUTES, Health
from mcp_core.errors import MCPError
from mcp_core.models import Actor, Outage, utcnow
from mcp_core.providers.rates import Headroom
from mcp_core.providers.registry import ProviderInfo
from mcp_core.security.permissions import may
from mcp_core.ui import health, text
from mcp_core.ui.client import current_actor
from mcp_core.ui.notes import leave_note

__all__ = ["begin_outage", "end_outage", "model_servers"]

USUAL_MINUTES: Final = 5.0
"""How long a simulated outage lasts unless somebody says otherwise."""

_CIRCUITS: Mapping[str, tuple[str, str, Any]] = {
    "closed": ("Circuit closed", ":material/check_circle:", "green"),
    "open": ("Circuit open", ":material/heart_broken:", "red"),
    "half-open": ("Circuit half-open", ":material/healing:", "orange"),
}
_CIRCUIT_HELP = (
    "Closed: the server is asked. Open: it failed several times in a row and is left alone for a while. "
    "Half-open: the next call, and no other, finds out whether it is back."
)


def model_servers(client: MCPClient, now: Health) -> None:
    """Each provider in a card of its own."""
    if not now.providers:
        st.info(
            "Set `OPENAI_API_KEY` or `ANTHROPIC_API_KEY`, or write a `providers.toml`.",
            title="No model server is configured",
            icon=":material/cloud_off:",
        )
        return
    outages = {outage.provider: outage for outage in now.outages}
    actor = current_actor()
    with st.grid(2, min_column_width=330):
        for info in now.providers:
            with st.container(border=True, key=f"server_{info.name}"):
                _server(client, info, outages.get(info.name), actor)
    _who_asked(now)
    if now.sharing_trouble:
        st.warning(text.sentences(now.sharing_trouble), icon=":material/cloud_off:")
    together = now.shared and not now.sharing_trouble
    shared = "All processes count together" if together else "Each process counts by itself"
    st.caption(f"{shared} what fails and what is left of rates.")


def _server(client: MCPClient, info: ProviderInfo, outage: Outage | None, actor: Actor) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        health.state_badge(info)
        with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content"):
            health.test_button(client, info)
            if outage is None:
                _offer_outage(client, info.name, actor)
    if outage is not None:
        _outage(client, outage, actor)
    st.caption(health.about(info))
    _circuits(info)
    share = min(1.0, info.in_use / info.max_concurrency) if info.max_concurrency else 0.0
    st.progress(share, text=f"{info.in_use:,} of at most {text.count(info.max_concurrency, 'calls')} under way")
    for room in info.limits:
        _headroom(room)
    unloads = client.providers.local.unloads_in_seconds if info.name == health.LOCAL else None
    if unloads is not None:
        st.caption(f":material/bedtime: Leaves memory in {text.seconds(unloads)} unless it is asked.")
    health.test_result(info.name)


def _circuits(info: ProviderInfo) -> None:
    if info.endpoints:
        for endpoint in info.endpoints:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                _circuit(endpoint.state, endpoint.retry_in_seconds)
                words = f"{endpoint.base_url} · weight {endpoint.weight:g} · {text.count(endpoint.in_use, 'calls')}"
                st.caption(text.sentences(words), width="content")
    else:
        state = info.state if info.state in ("open", "half-open") else "closed"
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            _circuit(state, info.retry_in_seconds)


def _circuit(state: str, retry_in_seconds: float | None) -> None:
    words, icon, colour = _CIRCUITS[state]
    st.badge(words, icon=icon, color=colour, width="content", help=_CIRCUIT_HELP)
    if retry_in_seconds is not None:
        st.caption(f"asked again in {text.seconds(retry_in_seconds)}", width="content")


def _headroom(room: Headroom) -> None:
    left = max(0.0, room.left)
    words = f"{room.subject}: {left:,.0f} of {room.most:,.0f} {room.what} at once, {room.per_minute:,} a minute"
    if room.left < 0:
        words = f"{room.subject}: calls wait for their turn, {room.per_minute:,} {room.what} a minute"
    st.progress(min(1.0, left / room.most), text=text.sentences(words))


def _who_asked(now: Health) -> None:
    if now.actors:
        with st.container(border=True):
            st.markdown("**Who asked last**")
            for room in now.actors:
                _headroom(room)


def _offer_outage(client: MCPClient, name: str, actor: Actor) -> None:
    allowed = may(actor, "simulate_outage")
    with st.popover(
        "Outage",
        icon=":material/power_off:",
        disabled=not allowed,
        key=f"outage.{name}",
        help="See what people would see if this server were down." if allowed else "Needs the role admin.",
    ):
        st.markdown(f"**Simulate an outage of {text.escape(name)}?**")
        st.markdown(
            "Its calls fail, for everybody and in every process, as at a server that refuses connections: "
            "fallbacks answer, and remembered answers are given, expired ones too."
        )
        st.number_input(
            "Minutes",
            min_value=0.5,
            max_value=LONGEST_OUTAGE_MINUTES,
            value=USUAL_MINUTES,
            step=1.0,
            format="%g",
            key=f"outage.minutes.{name}",
        )
        st.button(
            "Simulate the outage",
            type="primary",
            icon=":material/power_off:",
            key=f"outage.begin.{name}",
            on_click=begin_outage,
            args=(client, name, actor),
        )


def _outage(client: MCPClient, outage: Outage, actor: Actor) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        left = text.seconds(max(0.0, (outage.until - utcnow()).total_seconds()))
        st.markdown(f":orange[:material/power_off:] **An outage is simulated**, {left} left", width="content")
        st.button(
            "End the outage",
            icon=":material/power:",
            key=f"outage.end.{outage.provider}",
            disabled=not may(actor, "simulate_outage"),
            on_click=end_outage,
            args=(client, outage.provider, actor),
        )


def begin_outage(client: MCPClient, name: str, actor: Actor) -> None:
    """Take a provider for down for as long as its form says, and tell."""
    # The form's value of now: what the button was drawn with may be older than what was just typed.
    minutes = st.session_state.get(f"outage.minutes.{name}", USUAL_MINUTES)
    try:
        outage = client.health.simulate_outage(name, minutes=minutes, actor=actor)
    except MCPError as error:
        leave_note(text.sentences(str(error)), icon=":material/error:")
        return
    leave_note(f"{text.escape(outage.provider)} is taken for down.", icon=":material/power_off:")


def end_outage(client: MCPClient, name: str, actor: Actor) -> None:
    """End a simulated outage, and say so."""
    try:
        ended = client.health.end_outage(name, actor=actor)
    except MCPError as error:
        leave_note(text.sentences(str(error)), icon=":material/error:")
        return
    words = f"The outage of {text.escape(name)} is over." if ended else "It was over already."
    leave_note(words, icon=":material/power:")
