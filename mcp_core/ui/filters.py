"""Which part of the history a page shows. Every choice is in the URL, so a link restores it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, Literal, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from mcp_core import RunStatus
from mcp_core.api.client import MCPClient
from mcp_core.store import RunFilter
from mcp_core.ui.palette import CACHE_COLOURS, STATUS_COLOURS, label

__all__ = [
    "FILTER_KEYS",
    "RANGES",
    "Span",
    "range_label",
    "reset_filters",
    "run_filter",
    "span_of",
    "span_picker",
    "types_of",
    "viewer_zone",
]

CUSTOM: Final = "custom"

RANGES: Final = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
    "1y": timedelta(days=365),
    CUSTOM: timedelta(days=7),
}
"""What people choose and the URL says -> how far back it goes."""

FILTER_KEYS: Final = ("q", "statuses", "outcomes", "types", "models")
"""Names of the filters, in the URL and in the session."""

_HOURLY_UP_TO = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time: from `since` up to `until` (both aware), and the step its charts take."""

    since: datetime
    until: datetime

    @property
    def by(self) -> Literal["hour", "day"]:
        """Hours for a short span, days for a longer one."""
        return "hour" if self.until - self.since <= _HOURLY_UP_TO else "day"


def viewer_zone() -> tzinfo:
    """The time zone of whoever looks at the page; UTC where the browser names none."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def span_of(choice: str, first: date | None, last: date | None, *, now: datetime, zone: tzinfo) -> Span:
    """The span a choice means.

    Args:
        choice: a key of the ranges; `custom` takes the whole days from `first` to `last`, both included, in `zone`.
        now: the present. Spans end at the next full minute, so that pages drawn within one share their queries.
    """
    until = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    back = RANGES.get(choice, RANGES["7d"])
    if choice != CUSTOM:
        return Span(until - back, until)
    if last is not None:
        until = min(until, datetime.combine(last + timedelta(days=1), time(), zone).astimezone(UTC))
    since = until - back if first is None else datetime.combine(first, time(), zone).astimezone(UTC)
    return Span(min(since, until - timedelta(hours=1)), until)


def range_label(choice: str) -> str:
    """A key of the ranges as people and the address have it."""
    return choice.capitalize() if choice == CUSTOM else choice


def types_of(client: MCPClient, span: Span) -> list[str]:
    """The types there are, and then those that are gone but ran in `span`."""
    gone = set(client.dashboard.names(span.since, span.until, "type")) - set(client.registry.names())
    return [*client.registry.names(), *sorted(gone)]


def span_picker(*, key: str = "range") -> Span:
    """Draw the choice of time and return it; `key` names it in the URL."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        choice = st.segmented_control(
            "Time range",
            list(RANGES),
            default="7d",
            required=True,
            format_func=range_label,
            key=key,
            bind="query-params",
            label_visibility="collapsed",
        )
        first = last = None
        if choice == CUSTOM:
            today = datetime.now(viewer_zone()).date()
            first = st.date_input("First day", None, max_value=today, key=f"{key}_from", bind="query-params", width=160)
            last = st.date_input("Last day", None, max_value=today, key=f"{key}_to", bind="query-params", width=160)
    return span_of(choice or "7d", first, last, now=datetime.now(UTC), zone=viewer_zone())


def run_filter(span: Span, *, types: Sequence[str], models: Sequence[str]) -> RunFilter:
    """Draw the filters of the runs' table and return what they mean.

    Args:
        types, models: what there is to choose from; a model the URL names is kept even if it is not among them.
    """
    text = st.text_input(
        "Search",
        key="q",
        type="search",
        bind="query-params",
        placeholder="Name, variables, output or error",
        icon=":material/search:",
        label_visibility="collapsed",
        max_chars=200,
    )
    # Before the first drawing only the address knows what is chosen.
    chosen = sum(bool(st.session_state.get(key, key in st.query_params)) for key in FILTER_KEYS[1:])
    with st.popover(f"Filters ({chosen})" if chosen else "Filters", icon=":material/filter_list:", key="filters"):
        statuses = _pills("Status", STATUS_COLOURS, key="statuses")
        outcomes = _pills("Cache", CACHE_COLOURS, key="outcomes")
        kinds = st.multiselect("Type", list(types), key="types", bind="query-params")
        named = st.multiselect("Model", list(models), key="models", bind="query-params", accept_new_options=True)
        st.button("Clear filters", icon=":material/filter_list_off:", on_click=reset_filters, disabled=not chosen)
    return RunFilter(
        statuses=tuple(RunStatus(name) for name in statuses),
        outcomes=cast(tuple[Literal["hit", "miss", "stale", "bypass"], ...], tuple(outcomes)),
        types=tuple(kinds),
        models=tuple(named),
        text=(text or "").strip(),
        since=span.since,
        until=span.until,
    )


def _pills(words: str, names: Iterable[str], *, key: str) -> list[str]:
    return st.pills(
        words,
        list(names),
        selection_mode="multi",
        format_func=label,
        key=key,
        bind="query-params",
    )


def reset_filters() -> None:
    """Ask for everything again; for use as a callback."""
    for key in FILTER_KEYS:
        st.session_state[key] = "" if key == "q" else []
