"""Charts of the history and the cache: pure functions from a DataFrame to a plotly figure.

Frames are those of `client.dashboard` and `client.cache.frame`. Every figure tells what it shows in
`figure.layout.meta["alt"]`, for those who cannot see it; `figures.draw` passes it on.
"""

from typing import TYPE_CHECKING

from mcp_core.ui.figures import (
    TimeAxis,
    add_bars,
    add_stack,
    by_name,
    dollars,
    finished,
    marker,
    new_figure,
    per_step,
    time_unit,
)
from mcp_core.ui.palette import ACCENT, CACHE_COLOURS, OTHER_COLOURS, PATTERNS, STATUS_COLOURS, SUCCESS, label
from mcp_core.ui.text import count, ratio, seconds

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

__all__ = [
    "cache_outcomes",
    "cost_over_time",
    "errors_over_time",
    "hit_ratio_over_time",
    "latency_over_time",
    "outcomes_by",
    "runs_over_time",
    "saved_money",
    "saved_time",
]

_KINDS_SHOWN = 7
_GROUPS_SHOWN = 12
_OUTCOME_COLUMNS = {"hits": "hit", "stale": "stale", "misses": "miss", "bypass": "bypass"}
_WARM = "#C9702A"


def runs_over_time(frame: "pd.DataFrame", axis: TimeAxis) -> "Figure":
    """Runs by status, stacked. `frame` has `time`, `status`, `runs`."""
    wide = by_name(frame, "status", "runs", axis)
    total = int(wide.to_numpy().sum())
    parts = [f"{int(wide[name].sum())} {label(name).lower()}" for name in STATUS_COLOURS if name in wide]
    figure = new_figure(f"Runs over time: {', '.join([f'{total} in all', *parts])}.", axis)
    add_stack(figure, wide, axis, {name: (label(name), colour) for name, colour in STATUS_COLOURS.items()})
    return finished(figure, total, "No run finished in this time")


def latency_over_time(frame: "pd.DataFrame", axis: TimeAxis) -> "Figure":
    """Median and 95th percentile of the time runs took. `frame` has `time`, and `p50` and `p95` in seconds."""
    from mcp_core.ui.plotting import go

    steps = per_step(frame, axis, empty=float("nan"))
    known = steps.dropna(subset=["p50"])
    worst = float(known["p95"].max()) if len(known) else 0.0
    figure = new_figure(
        f"Latency over time: median up to {seconds(float(known['p50'].max()))}, 95th percentile up to {seconds(worst)}."
        if len(known)
        else "Latency over time: nothing was timed.",
        axis,
    )
    unit, scale = time_unit(worst)
    for column, name, colour, dash in (("p95", "95th percentile", _WARM, "dot"), ("p50", "Median", ACCENT, "solid")):
        figure.add_trace(
            go.Scatter(
                x=axis.shown,
                y=steps[column] / scale,
                name=name,
                mode="lines+markers",
                line={"color": colour, "width": 2, "dash": dash},
                marker={"size": 5},
                customdata=[seconds(value) for value in steps[column].fillna(0)],
                hovertemplate="%{customdata}",
            )
        )
    figure.update_layout(showlegend=True)
    figure.update_yaxes(ticksuffix=f" {unit}")
    return finished(figure, len(known), "No run was timed in this time")


def cost_over_time(frame: "pd.DataFrame", axis: TimeAxis) -> "Figure":
    """Known cost of the runs. `frame` has `time`, `cost_usd`, and in `unknown_cost` the runs of unknown price."""
    steps = per_step(frame, axis)
    total, unknown = float(steps["cost_usd"].sum()), int(steps["unknown_cost"].sum())
    left_out = f", {count(unknown, 'runs')} of unknown price left out" if unknown else ""
    figure = new_figure(f"Cost over time: {dollars(total)} in all{left_out}.", axis)
    notes = [
        dollars(cost) + (f", {int(runs)} of unknown price" if runs else "")
        for cost, runs in zip(steps["cost_usd"], steps["unknown_cost"], strict=True)
    ]
    add_bars(figure, axis, steps["cost_usd"], ACCENT, notes)
    figure.update_yaxes(tickprefix="$", tickformat=",.3~r")
    return finished(figure, total, "No known cost in this time")


def errors_over_time(frame: "pd.DataFrame", axis: TimeAxis) -> "Figure":
    """Runs that went wrong, by kind; rare kinds are put together. `frame` has `time`, `error_type`, `errors`."""
    wide = by_name(frame, "error_type", "errors", axis)
    kinds = wide.sum().sort_values(ascending=False, kind="stable").index.tolist()
    if len(kinds) > _KINDS_SHOWN:
        rest = kinds[_KINDS_SHOWN - 1 :]
        wide = wide.assign(others=wide[rest].sum(axis=1)).drop(columns=rest)
        kinds = [*kinds[: _KINDS_SHOWN - 1], "others"]
    total = int(wide.to_numpy().sum())
    commonest = f", most of them {kinds[0]}" if total else ""
    figure = new_figure(f"Errors over time: {total} in all{commonest}.", axis)
    add_stack(figure, wide, axis, {kind: (kind, OTHER_COLOURS[place]) for place, kind in enumerate(kinds)})
    return finished(figure, total, "Nothing went wrong in this time")


def hit_ratio_over_time(frame: "pd.DataFrame", axis: TimeAxis) -> "Figure":
    """Share of answers from the cache among the runs that asked it. `frame` has `time`, `hits`, `stale`, `misses`."""
    from mcp_core.ui.plotting import go

    steps = per_step(frame, axis)
    served = steps["hits"] + steps["stale"]
    asked = served + steps["misses"]
    total = float(asked.sum())
    overall = f"{ratio(float(served.sum()) / total)} overall" if total else "the cache was not asked"
    figure = new_figure(f"Hit ratio over time: {overall}.", axis)
    figure.add_trace(
        go.Scatter(
            x=axis.shown,
            y=served / asked.where(asked > 0) * 100,
            mode="lines+markers",
            line={"color": SUCCESS, "width": 2},
            marker={"size": 5},
            customdata=[f"{int(part)} of {int(whole)}" for part, whole in zip(served, asked, strict=True)],
            hovertemplate="%{y:.0f} %, %{customdata}<extra></extra>",
        )
    )
    figure.update_yaxes(range=[-4, 104], tickvals=[0, 50, 100], ticktext=["0 %", "50 %", "100 %"])
    return finished(figure, total, "The cache was not asked in this time")


def cache_outcomes(frame: "pd.DataFrame", axis: TimeAxis) -> "Figure":
    """What the cache did, stacked. `frame` has `time`, `hits`, `stale`, `misses`, `bypass`."""
    wide = per_step(frame, axis)[list(_OUTCOME_COLUMNS)].rename(columns=_OUTCOME_COLUMNS)
    parts = [f"{count(wide[name].sum())} {name}" for name in CACHE_COLOURS]
    figure = new_figure(f"Cache outcomes over time: {', '.join(parts)}.", axis)
    add_stack(figure, wide, axis, {name: (label(name), colour) for name, colour in CACHE_COLOURS.items()})
    return finished(figure, float(wide.to_numpy().sum()), "No run finished in this time")


def saved_money(frame: "pd.DataFrame", axis: TimeAxis) -> "Figure":
    """What asking again would have cost. `frame` has `time`, `saved_usd`."""
    saved = per_step(frame, axis)["saved_usd"]
    figure = new_figure(f"Money saved by the cache over time: {dollars(saved.sum())} in all.", axis)
    add_bars(figure, axis, saved, SUCCESS, [dollars(value) for value in saved])
    figure.update_yaxes(tickprefix="$", tickformat=",.3~r")
    return finished(figure, float(saved.sum()), "No known saving of money in this time")


def saved_time(frame: "pd.DataFrame", axis: TimeAxis) -> "Figure":
    """How much sooner answers came from the cache. `frame` has `time`, `saved_seconds`."""
    saved = per_step(frame, axis)["saved_seconds"]
    figure = new_figure(f"Time saved by the cache over time: {seconds(float(saved.sum()))} in all.", axis)
    unit, scale = time_unit(float(saved.max()) if len(saved) else 0.0)
    add_bars(figure, axis, saved / scale, SUCCESS, [seconds(value) for value in saved])
    figure.update_yaxes(ticksuffix=f" {unit}")
    return finished(figure, float(saved.sum()), "No time was saved in this time")


def outcomes_by(frame: "pd.DataFrame", group: str) -> "Figure":
    """What the cache did for each `group`, the busiest on top. `frame` has it, `hits`, `stale`, `misses`, `bypass`."""
    from mcp_core.ui.plotting import go

    sums = frame.groupby(group, observed=True)[list(_OUTCOME_COLUMNS)].sum()
    busiest = sums.sum(axis=1).sort_values(ascending=False, kind="stable").index[:_GROUPS_SHOWN]
    sums = sums.loc[busiest[::-1]]
    names = [str(name) or "(none)" for name in sums.index]
    most = f", the busiest {names[-1]}" if names else ""
    figure = new_figure(f"Cache outcomes by {group}: {len(names)} shown{most}.")
    for column, outcome in _OUTCOME_COLUMNS.items():
        if sums[column].sum():
            figure.add_trace(
                go.Bar(
                    y=names,
                    x=sums[column],
                    name=label(outcome),
                    orientation="h",
                    marker=marker(CACHE_COLOURS[outcome], PATTERNS.get(outcome, "")),
                    hovertemplate="%{x:,d}",
                )
            )
    figure.update_layout(barmode="stack", hovermode="y unified", height=90 + 28 * max(2, len(names)), showlegend=True)
    figure.update_yaxes(type="category", nticks=0, ticklabelstandoff=6)
    figure.update_xaxes(tickformat=",d")
    return finished(figure, len(names), "No run finished in this time")
