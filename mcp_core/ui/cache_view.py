"""The cache on a page: what it holds, and what it did over time."""

from decimal import Decimal
from typing import Any, Final, Literal, cast

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.cache.base import CacheSize
from mcp_core.errors import MCPError
from mcp_core.ui import cache_charts, charts, figures, text
from mcp_core.ui.filters import Span, viewer_zone
from mcp_core.ui.links import PAGES
from mcp_core.ui.notes import show_notes

__all__ = ["cache_figures", "held_or_why", "nothing_is_cached"]

Breakdown = Literal["model", "provider", "type", "task"]
_BREAKDOWNS: Final = ("model", "provider", "type", "task")


def held_or_why(client: MCPClient) -> CacheSize | None:
    """How much the cache holds; None, and a word about why, where it cannot be read."""
    show_notes()
    try:
        return client.cache.size()
    except MCPError as error:
        st.warning(
            text.sentences(error.message),
            title="The cache cannot be read; runs go on without it",
            icon=":material/warning:",
        )
        if error.hint:
            st.markdown(text.sentences(error.hint))
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
    changes = client.cache.changes_frame(span.since, span.until, by=span.by)
    sizes = client.cache.size_frame(span.since, span.until, by=span.by)
    drawn = (
        ("Hit ratio", charts.hit_ratio_over_time(frame, axis), "chart_ratio"),
        ("What the cache did", charts.cache_outcomes(frame, axis), "chart_outcomes"),
        ("Money saved", charts.saved_money(frame, axis), "chart_money"),
        ("Time saved", charts.saved_time(frame, axis), "chart_time"),
        ("Size", cache_charts.size_over_time(sizes, axis), "chart_size"),
        ("Stored and pushed out", cache_charts.stored_and_evicted(changes, axis), "chart_changes"),
    )
    with st.grid(2, min_column_width=360):
        for title, figure, key in drawn:
            with st.container(border=True):
                st.markdown(f"**{title}**")
                figures.draw(figure, key=key)
    with st.container(border=True):
        _breakdown(client, span, stats)


def _breakdown(client: MCPClient, span: Span, stats: dict[str, Any]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Use of the cache by**", width="content")
        chosen = st.segmented_control(
            "Use of the cache by",
            _BREAKDOWNS,
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
    if rows := stats["by"][group]:
        _breakdown_table(rows, group)


def _breakdown_table(rows: list[dict[str, Any]], group: Breakdown) -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {
            group: [row["name"] or "(none)" for row in rows],
            "hits": [row["hits"] for row in rows],
            "misses": [row["misses"] for row in rows],
            "stale": [row["stale"] for row in rows],
            "ratio": [None if row["hit_ratio"] is None else row["hit_ratio"] * 100 for row in rows],
            "money": [float(row["saved_usd"]) for row in rows],
            "time": [row["saved_seconds"] for row in rows],
            "stored": [row["stored_bytes"] / 1000 for row in rows],
            "evictions": [row["evictions"] for row in rows],
        }
    )
    column = st.column_config.NumberColumn
    st.dataframe(
        frame,
        hide_index=True,
        placeholder="—",
        column_config={
            group: st.column_config.TextColumn(group.capitalize(), pinned=True),
            "hits": column("Hits", format="localized"),
            "misses": column("Misses", format="localized"),
            "stale": column("Stale", format="localized", help="Expired answers that were given all the same."),
            "ratio": column("Hit ratio", format="%.0f %%"),
            "money": column("Money saved", format="$%.6g"),
            "time": column("Time saved", format="%.1f s"),
            "stored": column("Stored", format="%.1f kB", help="Size of the answers that were remembered."),
            "evictions": column("Pushed out", format="localized", help="Entries that had to make room for others."),
        },
        key="cache_by_table",
        alt=f"Use of the cache by {group}, the busiest first: {text.count(len(rows), 'rows')}",
    )


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
