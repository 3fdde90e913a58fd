"""The history at a glance: figures with their course over time, and charts. All from the store's sums."""

from typing import TYPE_CHECKING, Literal

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.ui import charts, figures, text
from mcp_core.ui.filters import Span, viewer_zone

if TYPE_CHECKING:
    import pandas as pd

    from mcp_core.store import Totals

__all__ = ["history_overview", "success_ratio"]


def history_overview(client: MCPClient, span: Span) -> None:
    """Draw metrics and charts of all runs in `span`."""
    dashboard, by = client.dashboard, span.by
    axis = figures.time_axis(span.since, span.until, by, viewer_zone())
    statuses = dashboard.runs(span.since, span.until, by=by, group="status")
    latency = dashboard.latency(span.since, span.until, by=by)
    _metrics(dashboard.totals(span.since, span.until), statuses, latency, axis)
    with st.grid(2, min_column_width=360):
        with st.container(border=True):
            st.markdown("**Runs**")
            figures.draw(charts.runs_over_time(statuses, axis), key="chart_runs")
        with st.container(border=True):
            st.markdown("**Latency**")
            figures.draw(charts.latency_over_time(latency, axis), key="chart_latency")
        with st.container(border=True):
            st.markdown("**Cost**")
            figures.draw(charts.cost_over_time(statuses, axis), key="chart_cost")
        with st.container(border=True):
            st.markdown("**Errors by kind**")
            errors = dashboard.errors(span.since, span.until, by=by)
            figures.draw(charts.errors_over_time(errors, axis), key="chart_errors")
    days = " Days are those of UTC." if by == "day" else ""
    st.caption(f"Figures and charts count all runs that finished in this time, also those deleted since.{days}")


def success_ratio(statuses: "pd.DataFrame") -> float | None:
    """Share of the runs that succeeded among those that succeeded or went wrong; None where there are none.

    Args:
        statuses: columns `status`, `runs`, `errors`. A cancelled run is neither.
    """
    succeeded = int(statuses["runs"].where(statuses["status"].astype(str) == "succeeded", 0).sum())
    judged = succeeded + int(statuses["errors"].sum())
    return succeeded / judged if judged else None


def _metrics(totals: "Totals", statuses: "pd.DataFrame", latency: "pd.DataFrame", axis: figures.TimeAxis) -> None:
    steps = figures.per_step(statuses, axis)
    served = steps["hits"] + steps["stale"]
    asked = served + steps["misses"]
    won = figures.per_step(statuses[statuses["status"].astype(str) == "succeeded"], axis)["runs"]
    judged = won + steps["errors"]
    p95 = figures.per_step(latency, axis, empty=float("nan"))["p95"]
    cost_known = totals.runs > totals.unknown_cost or not totals.runs
    cost_note = f" {text.count(totals.unknown_cost, 'runs')} of unknown price left out." if totals.unknown_cost else ""
    with st.grid(3, min_column_width=150, gap="small"):
        _metric("Runs", text.count(totals.runs), steps["runs"], "Runs that finished, however they ended.", chart="bar")
        _metric(
            "Success rate",
            text.ratio(success_ratio(statuses)) if judged.sum() else "—",
            won / judged.where(judged > 0),
            "Runs that succeeded, of those that succeeded or went wrong. Cancelled runs are neither.",
        )
        _metric(
            "Hit ratio",
            text.ratio(totals.hit_ratio) if asked.sum() else "—",
            served / asked.where(asked > 0),
            "Answers from the cache, of the runs that asked it.",
        )
        _metric(
            "Cost",
            text.money(totals.cost_usd) if cost_known else text.UNKNOWN,
            steps["cost_usd"],
            f"What the model calls cost, in US dollars.{cost_note}",
            chart="bar",
        )
        _metric(
            "Saved",
            text.money(totals.saved_usd),
            steps["saved_usd"],
            f"What asking again would have cost. The cache also spared {text.seconds(totals.saved_seconds)}.",
            chart="bar",
        )
        _metric(
            "95th percentile",
            "—" if totals.p95_seconds is None else text.seconds(totals.p95_seconds),
            p95,
            "Latency: 95 of 100 runs took no longer. "
            f"Half of them took no longer than {text.seconds(totals.p50_seconds)}.",
        )


def _metric(
    label: str, value: str, course: "pd.Series[float]", explained: str, *, chart: Literal["line", "bar"] = "line"
) -> None:
    # A step without a value goes on as its neighbour was: a gap in a sparkline would read as a fall to nothing.
    st.metric(
        label,
        value.replace("$", "\\$"),
        border=True,
        height="stretch",
        help=explained.replace("$", "\\$"),
        chart_data=[float(point) for point in course.ffill().bfill().fillna(0.0)],
        chart_type=chart,
        delta_color="blue",
    )
