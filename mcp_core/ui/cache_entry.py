"""One entry of the cache on a page: what it was asked, what it answers, and what can be done with it."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.cache.base import Entry, Item
from mcp_core.errors import MCPError
from mcp_core.models import Actor
from mcp_core.security.redaction import redactor
from mcp_core.ui import text
from mcp_core.ui.bulk import confirm
from mcp_core.ui.client import current_actor
from mcp_core.ui.filters import viewer_zone
from mcp_core.ui.links import PAGES
from mcp_core.ui.notes import leave_note

__all__ = ["delete_entry", "entry_view", "pin_entry", "readable", "refresh_entry", "state_of"]

LONGEST_SHOWN: Final = 50_000
"""Characters of an entry's body that a page draws."""
_LAST_MOMENT: Final = datetime(9999, 12, 30, tzinfo=UTC).timestamp()
"""What ends later has no date, in whatever zone it is told."""
_MARGIN: Final = 1000
"""What is redacted beyond the cut: half a key is one, too."""


def entry_view(client: MCPClient, item: Item) -> None:
    """Draw an entry with its answer, masked and harmless, and its buttons."""
    try:
        item, entry = client.cache.show(item.key)
    except MCPError as error:
        st.warning(text.sentences(str(error)), icon=":material/help:")
        entry = None
    with st.container(border=True):
        words = f"Stored {text.moment(_at(item.created_at), viewer_zone())}, {_until(item)}"
        st.caption(f"{words} · key {text.code(item.key)}")
        saved = f"{text.seconds(item.saved_seconds)}{_dollars(item)}" if item.hits else "nothing yet"
        st.caption(f"{text.count(item.hits, 'hits')} · saved {saved}".replace("$", "\\$"))
        _buttons(client, item, current_actor())
        if entry is None:
            st.caption("Its answer cannot be read: it is gone, or was encrypted with another key.")
            return
        answer, asked = st.tabs(["Answer", "What was asked"])
        with answer:
            st.code(readable(entry), language="json", wrap_lines=True, height=320)
        with asked:
            _parts(entry)


def _buttons(client: MCPClient, item: Item, actor: Actor) -> None:
    with st.container(horizontal=True):
        if item.run_id and st.button("Open its run", icon=":material/arrow_forward:", key="entry_run"):
            st.switch_page(PAGES["history"], query_params={"run": item.run_id})
        st.button(
            "Unpin" if item.pinned else "Pin",
            icon=":material/keep_off:" if item.pinned else ":material/keep:",
            key="entry_pin",
            help="A pinned entry is never pushed out, and cleared only on purpose. It still goes out of date.",
            on_click=pin_entry,
            args=(client, item.key, actor),
            kwargs={"pinned": not item.pinned},
        )
        st.button(
            "Refresh",
            icon=":material/refresh:",
            key="entry_refresh",
            disabled=not item.run_id,
            help="Asks the model again, which is paid for, and puts the new answer in its place.",
            on_click=refresh_entry,
            args=(client, item.key, actor),
        )
        if st.button("Forget this answer", icon=":material/delete:", key="entry_delete"):
            _confirm_delete(client, item, actor)


@st.dialog("Forget this answer")
def _confirm_delete(client: MCPClient, item: Item, actor: Actor) -> None:
    kept = " It is pinned." if item.pinned else ""
    confirm(
        f"Forget this answer ({text.file_size(item.size_bytes)})?{kept} The model is asked again, and paid for, the "
        "next time. The history stays.",
        "Forget it",
        icon=":material/delete:",
        act=lambda: delete_entry(client, item.key, actor),
        key="delete_entry",
    )


def _parts(entry: Entry) -> None:
    parts = entry.parts()
    if not parts:
        st.caption("This entry does not say what it was asked.")
    for name, said in parts.items():
        st.markdown(f"**{text.escape(name)}**")
        st.code(redactor.shapes(said), language=None, wrap_lines=True)


def readable(entry: Entry) -> str:
    """The body for people: JSON indented, secrets masked, no longer than a page takes."""
    body = entry.body.decode("utf-8", "replace")
    with suppress(ValueError, RecursionError):
        body = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    shown = redactor.shapes(body[: LONGEST_SHOWN + _MARGIN])
    if len(body) <= LONGEST_SHOWN:
        return shown
    return f"{shown[:LONGEST_SHOWN]}\n… {len(body):,} characters in all"


def state_of(item: Item) -> str:
    """Whether it is `fresh` or `outdated`."""
    return "fresh" if item.is_fresh() else "outdated"


def _dollars(item: Item) -> str:
    return "; its price is unknown" if item.saved_usd is None else f" and {text.money(item.saved_usd)}"


def _at(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)


def _until(item: Item) -> str:
    if item.expires_at is None or item.expires_at > _LAST_MOMENT:
        return "fresh for ever"
    return f"{state_of(item)}, until {text.moment(_at(item.expires_at), viewer_zone())}"


def delete_entry(client: MCPClient, key: str, actor: Actor) -> None:
    """Forget one entry, and say so."""
    try:
        there = client.cache.delete(key, actor=actor)
    except MCPError as error:
        leave_note(text.sentences(str(error)), icon=":material/error:")
    else:
        leave_note("The answer is forgotten." if there else "The answer was gone already.", icon=":material/delete:")


def pin_entry(client: MCPClient, key: str, actor: Actor, *, pinned: bool) -> None:
    """Pin an entry, or let go of it, and say so."""
    try:
        client.cache.pin(key, pinned=pinned, actor=actor)
    except MCPError as error:
        leave_note(text.sentences(str(error)), icon=":material/error:")
    else:
        words = "The answer is pinned: it stays." if pinned else "The answer is no longer pinned."
        leave_note(words, icon=":material/keep:")


def refresh_entry(client: MCPClient, key: str, actor: Actor) -> None:
    """Start the run that asks again, and name it."""
    try:
        handle = client.cache.refresh(key, actor=actor)
    except MCPError as error:
        leave_note(text.sentences(str(error)), icon=":material/error:")
    else:
        leave_note(f"Run {handle.id[:12]} asks again.", icon=":material/refresh:")
