"""The entries of the cache on a page: searched, listed, and forgotten by filter."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, cast

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.cache.base import CacheSize, EntryFilter, Item, Order
from mcp_core.errors import MCPError
from mcp_core.models import Actor
from mcp_core.ui import text
from mcp_core.ui.bulk import confirm
from mcp_core.ui.cache_entry import entry_view, state_of
from mcp_core.ui.client import current_actor
from mcp_core.ui.notes import leave_note

__all__ = ["cache_entries", "forget_entries"]

ENTRIES_A_PAGE: Final = 50
_ORDERS: Final = {"newest": "Newest", "oldest": "Oldest", "largest": "Largest", "useful": "Most useful"}
_AGES: Final = {
    "any": ("Any age", None),
    "1h": ("Older than an hour", 3600.0),
    "1d": ("Older than a day", 86_400.0),
    "7d": ("Older than 7 days", 7 * 86_400.0),
    "30d": ("Older than 30 days", 30 * 86_400.0),
}


@st.cache_resource(ttl=15, show_spinner=False)
def _names(_client: MCPClient, data_dir: str) -> dict[str, list[str]]:  # noqa: ARG001  # tells two clients apart
    return _client.cache.names()


def cache_entries(client: MCPClient, held: CacheSize) -> None:
    """Draw the filters, the table of entries they mean, the one selected, and what forgets several."""
    wanted, order = _asked(client)
    meant = client.cache.count(wanted) if wanted != EntryFilter() else held
    pages = max(1, math.ceil(meant.entries / ENTRIES_A_PAGE))
    slot = st.container()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        with st.container(horizontal=True, width="content"):
            if (
                wanted != EntryFilter()
                and meant.entries
                and st.button(
                    f"Forget {text.count(meant.entries, 'entries')}",
                    icon=":material/delete:",
                    key="forget_meant",
                    help="All that the search and the filters above mean, on every page of the list.",
                )
            ):
                _confirm_forget(client, wanted, current_actor())
            if st.button("Clear the cache", icon=":material/delete_sweep:", key="clear_cache"):
                _confirm_clear(client, current_actor())
        page = st.pagination(pages, key="cache_page") if pages > 1 else 1
    with slot:
        items = client.cache.find(
            wanted, order=order, limit=ENTRIES_A_PAGE, offset=(min(page, pages) - 1) * ENTRIES_A_PAGE
        )
        if not items:
            st.info("No entry is like this. Search for something else, or clear the filters.", icon=":material/search:")
            return
        chosen = _table(items, order)
        if chosen is None:
            st.caption("Select an entry to see its answer.")
        else:
            entry_view(client, chosen)


def _asked(client: MCPClient) -> tuple[EntryFilter, Order]:
    names = _names(client, str(client.settings.data_dir))
    with st.container(horizontal=True, vertical_alignment="center"):
        order = st.segmented_control(
            "Order",
            list(_ORDERS),
            default="newest",
            required=True,
            format_func=lambda name: _ORDERS[name],
            key="cache_order",
            bind="query-params",
            label_visibility="collapsed",
            help="Most useful: what has saved the most time so far.",
        )
        said = st.text_input(
            "Search",
            key="cache_q",
            type="search",
            bind="query-params",
            placeholder="Task, model, key, or what was asked",
            icon=":material/search:",
            label_visibility="collapsed",
            max_chars=200,
        )
        with st.popover("Filters", icon=":material/filter_list:", key="cache_filters"):
            task = st.selectbox("Task", ["", *names["task"]], format_func=_or_any, key="cache_task")
            provider = st.selectbox("Provider", ["", *names["provider"]], format_func=_or_any, key="cache_provider")
            model = st.selectbox("Model", ["", *names["model"]], format_func=_or_any, key="cache_model")
            kind = st.selectbox("Type", ["", *names["type"]], format_func=_or_any, key="cache_type")
            age = st.selectbox("Age", list(_AGES), format_func=lambda name: _AGES[name][0], key="cache_age")
            never = st.checkbox("Never hit", key="cache_never", help="Those that have not answered a single time.")
            pinned = st.checkbox("Pinned", key="cache_pinned")
    wanted = EntryFilter(
        type=kind or "",
        provider=provider or "",
        model=model or "",
        task=task or "",
        text=(said or "").strip(),
        older_than_seconds=_AGES[age or "any"][1],
        never_hit=never,
        pinned=True if pinned else None,
    )
    return wanted, cast(Order, order or "newest")


def _or_any(name: str) -> str:
    return name or "Any"


def _table(items: list[Item], order: Order) -> Item | None:
    import pandas as pd

    frame = pd.DataFrame(
        {
            "model": [item.labels.get("model", "") for item in items],
            "task": [item.labels.get("task") or item.labels.get("type", "") for item in items],
            "age": [text.ago(datetime.fromtimestamp(item.created_at, UTC)) for item in items],
            "state": [f"{state_of(item)}, pinned" if item.pinned else state_of(item) for item in items],
            "hits": [item.hits for item in items],
            "saved": [item.saved_seconds for item in items],
            "size": [item.size_bytes / 1000 for item in items],
            "cost": [None if item.cost_usd is None else float(item.cost_usd) for item in items],
            "latency": [item.latency_seconds for item in items],
            "key": [item.key[:12] for item in items],
        }
    )
    digest = sha256(" ".join(item.key for item in items).encode()).hexdigest()[:12]
    column = st.column_config.NumberColumn
    event = st.dataframe(
        frame,
        hide_index=True,
        placeholder="—",
        column_config={
            "model": "Model",
            "task": "Task",
            "age": "Stored",
            "state": "State",
            "hits": column("Hits", format="localized", help="How often it has answered since it was stored."),
            "saved": column("Saved", format="%.1f s", help="What its hits have saved."),
            "size": column("Size", format="%.1f kB"),
            "cost": column("Cost", format="$%.6g", help="What the original call cost."),
            "latency": column("Took", format="%.2f s", help="How long the original call took."),
            "key": st.column_config.TextColumn("Key", help="Beginning of the hash that names the entry."),
        },
        on_select="rerun",
        selection_mode="single-row",
        # Another page of entries is another table: a selection never points at an entry it was not made on.
        key=f"cache_entries_{digest}",
        alt=f"{text.count(len(items), 'entries')} of the cache, {_ORDERS[order].lower()} first",
    )
    rows = [row for row in event.selection.rows if row < len(items)]
    return items[rows[0]] if rows else None


@st.dialog("Clear the cache")
def _confirm_clear(client: MCPClient, actor: Actor) -> None:
    _confirm(client, EntryFilter(), actor, key="clear_all_entries")


@st.dialog("Forget entries")
def _confirm_forget(client: MCPClient, wanted: EntryFilter, actor: Actor) -> None:
    _confirm(client, wanted, actor, key="forget_entries")


def _confirm(client: MCPClient, wanted: EntryFilter, actor: Actor, *, key: str) -> None:
    """Count what would go before anything does. Pinned entries go only where that is said, or where they were meant."""
    everything = client.cache.count(wanted)
    spared = client.cache.count(replace(wanted, pinned=True)).entries if wanted.pinned is None else 0
    meant = client.cache.count(replace(wanted, pinned=False)) if spared else everything
    many = text.count(meant.entries, "entries")
    stay = f" What is pinned stays ({text.count(spared, 'entries')})." if spared else ""
    confirm(
        f"Forget {many} ({text.file_size(meant.size_bytes)})?{stay} Models are asked again, and paid for, where these "
        "answers would have served. The history stays.",
        f"Forget {many}",
        icon=":material/delete_sweep:",
        act=lambda: forget_entries(client, wanted, actor),
        key=key,
    )
    if spared and st.button(
        f"Forget the pinned ones, too: {text.count(everything.entries, 'entries')}",
        icon=":material/keep_off:",
        key=f"{key}_all",
        on_click=lambda: forget_entries(client, wanted, actor, pinned=True),
    ):
        st.rerun()


def forget_entries(client: MCPClient, wanted: EntryFilter, actor: Actor, *, pinned: bool = False) -> None:
    """Forget all entries that are meant, and say how many."""
    try:
        if wanted == EntryFilter():
            gone = client.cache.clear(pinned=pinned, actor=actor)
        else:
            gone = client.cache.forget(wanted, pinned=pinned or wanted.pinned is True, actor=actor)
    except MCPError as error:
        leave_note(text.sentences(str(error)), icon=":material/error:")
    else:
        leave_note(f"Forgot {text.count(gone, 'entries')}.", icon=":material/delete_sweep:")
