"""What every chart is made of: its axis of time, its look, its bars, and how it comes onto a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import streamlit as st

from mcp_core.ui.palette import PATTERNS, QUIET
from mcp_core.ui.text import money

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

__all__ = [
    "TimeAxis",
    "add_bars",
    "add_stack",
    "by_name",
    "dollars",
    "draw",
    "finished",
    "marker",
    "new_figure",
    "per_step",
    "time_axis",
    "time_unit",
]

HEIGHT = 230
"""Pixels: two rows of charts fit on a laptop's screen."""


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """Every step of a span, whether anything happened in it or not.

    Attributes:
        steps: beginnings of the steps, in UTC, as frames have them.
        shown: the same moments as the chart writes them.
        hover: how a moment reads under the pointer, as plotly's date format.
    """

    steps: "pd.DatetimeIndex"
    shown: "pd.DatetimeIndex"
    hover: str


def time_axis(since: datetime, until: datetime, by: str, zone: tzinfo) -> TimeAxis:
    """The axis of a span: hours in the reader's `zone`, or days, which the history counts in UTC."""
    import pandas as pd

    width = "h" if by == "hour" else "D"
    steps = pd.date_range(pd.Timestamp(since).tz_convert("UTC").floor(width), until, freq=width, inclusive="left")
    if by == "hour":
        return TimeAxis(steps, steps.tz_convert(zone).tz_localize(None), "%a %-d %b, %H:%M")
    return TimeAxis(steps, steps.tz_localize(None), "%a %-d %b %Y")


def per_step(frame: "pd.DataFrame", axis: TimeAxis, *, empty: float = 0.0) -> "pd.DataFrame":
    """The numbers of a frame with one row a step: `empty` where nothing happened."""
    return frame.groupby("time").sum(numeric_only=True).reindex(axis.steps, fill_value=empty)


def draw(figure: "Figure", *, key: str) -> None:
    """Put a figure on the page, named for those who cannot see it."""
    st.plotly_chart(figure, key=key, alt=figure.layout.meta["alt"], config={"displayModeBar": False})


def by_name(frame: "pd.DataFrame", group: str, value: str, axis: TimeAxis) -> "pd.DataFrame":
    """One row a step, one column a name that occurs."""
    sums = frame.groupby(["time", frame[group].astype(str)], observed=True)[value].sum()
    wide = sums.unstack(fill_value=0).reindex(axis.steps, fill_value=0)
    return wide.loc[:, wide.sum() > 0]


def dollars(value: float) -> str:
    """An amount out of a frame with its unit."""
    return money(Decimal(str(round(value, 9))))


def time_unit(longest: float) -> tuple[str, float]:
    """Unit of a time axis, and how many seconds it has."""
    for limit, unit, scale in ((1.0, "ms", 0.001), (120.0, "s", 1.0), (7200.0, "min", 60.0)):
        if longest < limit:
            return unit, scale
    return "h", 3600.0


def new_figure(alt: str, axis: TimeAxis | None = None) -> "Figure":
    """An empty figure that says `alt` to those who cannot see it; over time where there is an `axis`."""
    from mcp_core.ui.plotting import go

    figure = go.Figure(
        layout={
            "meta": {"alt": alt},
            "height": HEIGHT,
            "margin": {"l": 0, "r": 8, "t": 8, "b": 0},
            "legend": {
                "orientation": "h",
                "y": 1.02,
                "yanchor": "bottom",
                "x": 0,
                "title": None,
                "traceorder": "normal",
            },
            "showlegend": False,
            "hovermode": "x unified",
            # A finger on the chart is to scroll the page, not to zoom.
            "dragmode": False,
            "bargap": 0.15,
            "xaxis": {"title": None, "fixedrange": True},
            "yaxis": {"title": None, "fixedrange": True, "rangemode": "tozero", "automargin": True, "nticks": 5},
        }
    )
    if axis is not None:
        figure.update_xaxes(type="date", hoverformat=axis.hover, nticks=7)
    return figure


def add_stack(figure: "Figure", wide: "pd.DataFrame", axis: TimeAxis, styles: Mapping[str, tuple[str, str]]) -> None:
    """Stacked bars, a trace for each column of `wide` in the order of `styles` (column -> name and colour)."""
    from mcp_core.ui.plotting import go

    for column, (name, colour) in styles.items():
        if column in wide and wide[column].sum():
            style = marker(colour, PATTERNS.get(column, ""))
            # A count of nothing is left out, so that hovering lists what there was.
            counts = wide[column].where(wide[column] > 0)
            figure.add_trace(go.Bar(x=axis.shown, y=counts, name=name, marker=style, hovertemplate="%{y:,d}"))
    figure.update_layout(barmode="stack", showlegend=True)
    # Between two whole numbers there is nothing to mark.
    figure.update_yaxes(tickformat=",d", dtick=1 if wide.sum(axis=1).max() < 5 else None)


def add_bars(figure: "Figure", axis: TimeAxis, values: "pd.Series[Any]", colour: str, notes: Sequence[str]) -> None:
    """One bar a step, and under the pointer what `notes` says of it."""
    from mcp_core.ui.plotting import go

    figure.add_trace(
        go.Bar(
            x=axis.shown,
            y=values,
            marker=marker(colour, ""),
            customdata=list(notes),
            hovertemplate="%{customdata}<extra></extra>",
        )
    )


def marker(colour: str, pattern: str) -> dict[str, Any]:
    """How a bar is filled; `pattern` is plotly's name of a hatching, empty for none."""
    style: dict[str, Any] = {"color": colour, "line": {"width": 0}}
    if pattern:
        style["pattern"] = {"shape": pattern, "fgcolor": "rgba(255,255,255,0.55)", "size": 5, "fillmode": "overlay"}
    return style


def finished(figure: "Figure", amount: float, empty: str) -> "Figure":
    """Where there is nothing to show, say so in the figure's place rather than draw bare axes."""
    if not amount:
        figure.update_xaxes(visible=False)
        figure.update_yaxes(visible=False)
        figure.update_layout(showlegend=False)
        figure.add_annotation(text=empty, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper", font_color=QUIET)
    return figure
