"""When things happened in a run: its wait, its work, its attempts at model servers, and the runs it started."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mcp_core.models import Run
from mcp_core.ui.palette import PATTERNS, QUIET, STATUS_COLOURS, SUCCESS
from mcp_core.ui.text import count, seconds

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["MOST_CHILDREN", "Bar", "timeline_bars", "timeline_figure"]

MOST_CHILDREN = 40
"""Runs started by a run that its timeline draws; more would be too thin to read."""

_LONGEST_NAME = 28


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: `start` and `length` in seconds after the run's creation, and how to draw it."""

    name: str
    start: float
    length: float
    colour: str
    note: str
    pattern: str = ""


def timeline_bars(run: Run, children: Sequence[Run], *, now: datetime) -> list[Bar]:
    """The bars of a run's timeline, first thing first.

    Args:
        now: where the bars of what still goes on end.
    """

    def after(moment: datetime) -> float:
        return max(0.0, (moment - run.created_at).total_seconds())

    started = run.started_at or run.finished_at or now
    bars = [Bar("Waiting", 0.0, after(started), QUIET, f"waited {seconds(after(started))} in the queue")]
    if run.started_at is not None:
        bars.append(_work("This run", run, run.started_at, run.created_at, now))
    for attempt in run.attempts:
        status = f"HTTP {attempt.status}" if attempt.status is not None else "no answer"
        bars.append(
            Bar(
                f"Attempt {attempt.number}",
                after(attempt.started_at),
                attempt.duration_seconds,
                SUCCESS if attempt.error is None else STATUS_COLOURS["failed"],
                f"{attempt.provider}, {status}, {seconds(attempt.duration_seconds)}",
                "" if attempt.error is None else PATTERNS["failed"],
            )
        )
    bars.extend(
        _work(_short(child.name or child.type), child, child.started_at, run.created_at, now)
        for child in children[:MOST_CHILDREN]
        if child.started_at is not None
    )
    return bars


def timeline_figure(bars: Sequence[Bar]) -> "Figure":
    """Bars of time, one below the other, over seconds since the run was asked for."""
    from mcp_core.ui.plotting import go

    length = max((bar.start + bar.length for bar in bars), default=0.0)
    scale, unit = (1000.0, "ms") if length < 1 else (1.0, "s")
    figure = go.Figure(
        layout={
            "meta": {"alt": f"Timeline of the run: {count(len(bars), 'bars')} over {seconds(length)}."},
            "height": 60 + 30 * len(bars),
            "margin": {"l": 0, "r": 8, "t": 4, "b": 0},
            "dragmode": False,
            "showlegend": False,
            "bargap": 0.35,
            "xaxis": {"fixedrange": True, "ticksuffix": f" {unit}", "rangemode": "tozero", "nticks": 6},
            "yaxis": {"fixedrange": True, "autorange": "reversed", "automargin": True, "type": "category"},
        }
    )
    # Categories are the bars' places, since two attempts or children may share a name.
    figure.add_trace(
        go.Bar(
            y=[str(place) for place in range(len(bars))],
            x=[max(bar.length, length / 300) * scale for bar in bars],
            base=[bar.start * scale for bar in bars],
            orientation="h",
            marker={
                "color": [bar.colour for bar in bars],
                "line": {"width": 0},
                "pattern": {
                    "shape": [bar.pattern for bar in bars],
                    "fgcolor": "rgba(255,255,255,0.55)",
                    "size": 5,
                    "fillmode": "overlay",
                },
            },
            customdata=[f"{bar.name}: {bar.note}" for bar in bars],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    figure.update_yaxes(tickmode="array", tickvals=list(range(len(bars))), ticktext=[bar.name for bar in bars])
    return figure


def _work(name: str, run: Run, started: datetime, origin: datetime, now: datetime) -> Bar:
    start = max(0.0, (started - origin).total_seconds())
    length = max(0.0, ((run.finished_at or now) - started).total_seconds())
    status = run.status.value
    note = f"{status.replace('_', ' ')}, {seconds(length)}"
    return Bar(name, start, length, STATUS_COLOURS[status], note, PATTERNS.get(status, ""))


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
