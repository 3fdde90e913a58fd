"""Charts of what the cache holds, stores and pushes out: pure functions, as those of `charts`."""

from typing import TYPE_CHECKING

from mcp_core.ui.figures import TimeAxis, add_bars, finished, marker, new_figure, per_step
from mcp_core.ui.palette import ACCENT, OTHER_COLOURS
from mcp_core.ui.text import count, file_size

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

__all__ = ["size_over_time", "stored_and_evicted"]

_STEPS = (1.0, 2.0, 5.0)


def size_over_time(frame: "pd.DataFrame", axis: TimeAxis) -> "Figure":
    """What the cache held, as last seen in each step. `frame` has `time`, `entries`, `size_bytes`."""
    from plotly import graph_objects as go

    # Between two looks it held what it held at the first: nobody looks while nothing changes.
    steps = per_step(frame, axis, empty=float("nan"))[["entries", "size_bytes"]].ffill()
    sizes = steps["size_bytes"]
    known = sizes.dropna()
    last = f"{file_size(float(known.iloc[-1]))} at the end" if len(known) else "not known"
    figure = new_figure(f"Size of the cache over time: {last}.", axis)
    notes = [
        "" if size != size else f"{file_size(float(size))}, {count(held, 'entries')}"
        for size, held in zip(sizes, steps["entries"], strict=True)
    ]
    figure.add_trace(
        go.Scatter(
            x=axis.shown,
            y=sizes,
            mode="lines+markers",
            line={"color": ACCENT, "width": 2, "shape": "hv"},
            marker={"size": 5},
            customdata=notes,
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    _in_bytes(figure, float(known.max()) if len(known) else 0.0)
    return finished(figure, len(known), "Its size was not looked at in this time")


def stored_and_evicted(frame: "pd.DataFrame", axis: TimeAxis) -> "Figure":
    """Bytes of new answers upwards, of entries pushed out downwards. `frame` is `client.cache.changes_frame`."""
    from plotly import graph_objects as go

    steps = per_step(frame, axis)
    stored, evicted = steps["stored_bytes"], steps["evicted_bytes"]
    figure = new_figure(
        f"Stored by the cache over time: {count(steps['stored'].sum(), 'answers')}, {file_size(float(stored.sum()))}; "
        f"pushed out: {count(steps['evictions'].sum(), 'entries')}, {file_size(float(evicted.sum()))}.",
        axis,
    )
    told = zip(stored, steps["stored"], strict=True)
    add_bars(
        figure, axis, stored, ACCENT, [f"stored {file_size(size)}, {count(many, 'answers')}" for size, many in told]
    )
    told = zip(evicted, steps["evictions"], strict=True)
    if evicted.sum():
        figure.add_trace(
            go.Bar(
                x=axis.shown,
                y=-evicted,
                marker=marker(OTHER_COLOURS[1], "/"),
                customdata=[f"pushed out {file_size(size)}, {count(many, 'entries')}" for size, many in told],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
        figure.update_layout(barmode="relative")
        figure.update_yaxes(rangemode="normal")
    _in_bytes(figure, float(max(stored.max(), evicted.max())) if len(steps) else 0.0, float(evicted.max()))
    return finished(figure, float(stored.sum() + evicted.sum()), "Nothing was stored or pushed out in this time")


def _in_bytes(figure: "Figure", longest: float, below: float = 0.0) -> None:
    """Mark whole numbers of a unit: plotly's own prefixes would call a megabyte M."""
    if longest <= 0:
        return
    scale = 1.0
    while longest / scale > 4 * _STEPS[-1]:
        scale *= 10
    step = next(step for step in (*_STEPS, 10.0) if longest / scale / step <= 4) * scale
    places = [step * place for place in range(-int(below // step) - (below > 0), int(longest // step) + 2)]
    figure.update_yaxes(tickvals=places, ticktext=[file_size(abs(place)) for place in places])
