"""The cache on a page: what it holds, what it did over time, and its entries one by one."""

import json
import math
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final, Literal, cast

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.cache.base import CacheSize, Entry
from mcp_core.errors import MCPError
from mcp_core.models import Actor
from mcp_core.security.redaction import redactor
from mcp_core.ui import charts, figures, text
from mcp_core.ui.bulk import confirm
from mcp_core.ui.client import current_actor
from mcp_core.ui.filters import Span, viewer_zone
from mcp_core.ui.links import PAGES
from mcp_core.ui.notes import leave_note, show_notes

__all__ = ["cache_entries", "cache_figures", "clear_cache", "delete_entry", "held_or_why", "nothing_is_cached"]

ENTRIES_A_PAGE: Final = 50
LONGEST_SHOWN: Final = 50_000
"""Characters of an entry's body that a page draws."""
_MARGIN: Final = 1000
"""What is redacted beyond the cut: half a key is one, too."""

Breakdown = Literal["model", "type", "task"]


def held_or_why(client: MCPClient) -> CacheSize | None:
    """How much the cache holds; None, and a word about why, where it cannot be read."""
    show_notes()
    try:
        return client.cache.size()
    except MCPError as error:
        st.warning(
            text.escape(error.message),
            title="The cache cannot be read; runs go on without it",
            icon=":material/warning:",
        )
        if error.hint:
            st.markdown(text.escape(error.hint))
        return None


def nothing_is_cached(held: CacheSize) -> bool:
    """Whether the cache holds nothing; says so, and what to do about it."""
    if held.entries:
        return False
    st.info(
        "An answer is remembered when a model has been asked for it. The same question then costs nothing.",
        title="Nothing is remembered",
        icon=":material/bolt:",
    )
    st.page_link(PAGES["run"], label="Run a task", icon=":material/play_arrow:")
    return True


def cache_figures(client: MCPClient, span: Span, held: CacheSize | None) -> None:
    """Draw what the cache holds, and what it did in `span`."""
    stats = client.cache.stats(since=span.since, until=span.until)
    _metrics(stats, held)
    axis = figures.time_axis(span.since, span.until, span.by, viewer_zone())
    frame = client.cache.frame(span.since, span.until, by=span.by)
    with st.grid(2, min_column_width=360):
        with st.container(border=True):
            st.markdown("**Hit ratio**")
            figures.draw(charts.hit_ratio_over_time(frame, axis), key="chart_ratio")
        with st.container(border=True):
            st.markdown("**What the cache did**")
            figures.draw(charts.cache_outcomes(frame, axis), key="chart_outcomes")
        with st.container(border=True):
            st.markdown("**Money saved**")
            figures.draw(charts.saved_money(frame, axis), key="chart_money")
        with st.container(border=True):
            st.markdown("**Time saved**")
            figures.draw(charts.saved_time(frame, axis), key="chart_time")
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("**Use of the cache by**", width="content")
            chosen = st.segmented_control(
                "Use of the cache by",
                ("model", "type", "task"),
                default="model",
                required=True,
                format_func=str.capitalize,
                key="cache_by",
                bind="query-params",
                label_visibility="collapsed",
            )
        group = cast(Breakdown, chosen or "model")
        split = client.cache.frame(span.since, span.until, by="day", group=group)
        figures.draw(charts.outcomes_by(split, group), key="chart_by")


def _metrics(stats: dict[str, Any], held: CacheSize | None) -> None:
    limit = stats["max_bytes"]
    with st.grid(5, min_column_width=150, gap="small"):
        st.metric("Entries", text.count(held.entries if held else None), border=True, height="stretch")
        st.metric(
            "Size",
            text.file_size(held.size_bytes if held else None),
            border=True,
            height="stretch",
            help=f"Of at most {text.file_size(limit)} (`MCP_CACHE_MAX_BYTES`). What was used longest ago goes first.",
        )
        asked = stats["hits"] + stats["stale"] + stats["misses"]
        st.metric(
            "Hit ratio",
            text.ratio(stats["hit_ratio"]) if asked else "—",
            border=True,
            height="stretch",
            help=f"{text.count(stats['hits'] + stats['stale'], 'answers')} from the cache, of "
            f"{text.count(asked, 'runs')} that asked it in this time.",
        )
        st.metric(
            "Money saved",
            text.money(Decimal(stats["saved_usd"])).replace("$", "\\$"),
            border=True,
            height="stretch",
            help="What asking again would have cost, where the price is known.",
        )
        st.metric("Time saved", text.seconds(stats["saved_seconds"]), border=True, height="stretch")
    if held:
        share = min(1.0, held.size_bytes / limit)
        st.progress(share, text=f"{text.ratio(share)} of {text.file_size(limit)} used")
    st.caption(
        f"Kept in: {text.escape(str(stats['backend']))}. Answers stay fresh for {text.seconds(stats['ttl_seconds'])} "
        "unless their task says otherwise."
    )


def cache_entries(client: MCPClient, held: CacheSize) -> None:
    """Draw the table of entries, newest first, the one selected, and the button that clears them all."""
    pages = max(1, math.ceil(held.entries / ENTRIES_A_PAGE))
    slot = st.container()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        if st.button("Clear the cache", icon=":material/delete_sweep:", key="clear_cache"):
            _confirm_clear(client, held, current_actor())
        page = st.pagination(pages, key="cache_page") if pages > 1 else 1
    with slot:
        entries = list(client.cache.entries(limit=ENTRIES_A_PAGE, offset=(min(page, pages) - 1) * ENTRIES_A_PAGE))
        chosen = _entry_table(entries)
        if chosen is None:
            st.caption("Select an entry to see its answer.")
        else:
            _entry(client, chosen)


def _entry_table(entries: list[Entry]) -> Entry | None:
    import pandas as pd

    frame = pd.DataFrame(
        {
            "model": [entry.labels.get("model", "") for entry in entries],
            "task": [entry.labels.get("task") or entry.labels.get("type", "") for entry in entries],
            "age": [text.ago(_at(entry.created_at)) for entry in entries],
            "state": [_state(entry) for entry in entries],
            "size": [len(entry.body) for entry in entries],
            "cost": [None if entry.cost_usd is None else float(entry.cost_usd) for entry in entries],
            "latency": [entry.latency_seconds for entry in entries],
            "key": [entry.key[:12] for entry in entries],
        }
    )
    digest = sha256(" ".join(entry.key for entry in entries).encode()).hexdigest()[:12]
    event = st.dataframe(
        frame,
        hide_index=True,
        placeholder="unknown",
        column_config={
            "model": "Model",
            "task": "Task",
            "age": "Stored",
            "state": "State",
            "size": st.column_config.NumberColumn("Size", format="bytes"),
            "cost": st.column_config.NumberColumn("Cost", format="$%.6f", help="What the original call cost."),
            "latency": st.column_config.NumberColumn("Took", format="%.2f s", help="How long the original call took."),
            "key": st.column_config.TextColumn("Key", help="Beginning of the hash that names the entry."),
        },
        on_select="rerun",
        selection_mode="single-row",
        # Another page of entries is another table: a selection never points at an entry it was not made on.
        key=f"cache_entries_{digest}",
        alt=f"{text.count(len(entries), 'entries')} of the cache, newest first",
    )
    rows = [row for row in event.selection.rows if row < len(entries)]
    return entries[rows[0]] if rows else None


def _entry(client: MCPClient, entry: Entry) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            words = f"Stored {text.moment(_at(entry.created_at), viewer_zone())}, {_until(entry)}"
            st.caption(f"{words} · key {text.code(entry.key)}")
        with st.container(horizontal=True):
            if entry.run_id and st.button("Open its run", icon=":material/arrow_forward:", key="entry_run"):
                st.switch_page(PAGES["history"], query_params={"run": entry.run_id})
            st.button(
                "Forget this answer",
                icon=":material/delete:",
                key="entry_delete",
                on_click=delete_entry,
                args=(client, entry.key, current_actor()),
            )
        st.code(_readable(entry), language="json", wrap_lines=True, height=320)


def _readable(entry: Entry) -> str:
    """The body for people: JSON indented, secrets masked, no longer than a page takes."""
    body = entry.body.decode("utf-8", "replace")
    with suppress(ValueError, RecursionError):
        body = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    shown = redactor.shapes(body[: LONGEST_SHOWN + _MARGIN])
    if len(body) <= LONGEST_SHOWN:
        return shown
    return f"{shown[:LONGEST_SHOWN]}\n… {len(body):,} characters in all"


def _at(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)


def _state(entry: Entry) -> str:
    return "fresh" if entry.is_fresh() else "outdated"


def _until(entry: Entry) -> str:
    if entry.expires_at is None:
        return "fresh for ever"
    return f"{_state(entry)}, until {text.moment(_at(entry.expires_at), viewer_zone())}"


@st.dialog("Clear the cache")
def _confirm_clear(client: MCPClient, held: CacheSize, actor: Actor) -> None:
    many = text.count(held.entries, "entries")
    confirm(
        f"Forget all {many} ({text.file_size(held.size_bytes)})? Models are asked again, and paid for, where these "
        "answers would have served. The history stays.",
        f"Forget {many}",
        icon=":material/delete_sweep:",
        act=lambda: clear_cache(client, actor),
        key="clear_all_entries",
    )


def clear_cache(client: MCPClient, actor: Actor) -> None:
    """Forget all entries, and say how many."""
    try:
        gone = client.cache.clear(actor=actor)
    except MCPError as error:
        leave_note(text.escape(str(error)), icon=":material/error:")
    else:
        leave_note(f"Forgot {text.count(gone, 'entries')}.", icon=":material/delete_sweep:")


def delete_entry(client: MCPClient, key: str, actor: Actor) -> None:
    """Forget one entry, and say so."""
    try:
        there = client.cache.delete(key, actor=actor)
    except MCPError as error:
        leave_note(text.escape(str(error)), icon=":material/error:")
    else:
        leave_note("The answer is forgotten." if there else "The answer was gone already.", icon=":material/delete:")
