import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from mcp_core.models import RunStatus
from mcp_core.ui import charts
from mcp_core.ui.figures import TimeAxis, per_step, time_axis
from mcp_core.ui.palette import BADGES, CACHE_COLOURS, ICONS, OTHER_COLOURS, STATUS_COLOURS, label

pytestmark = pytest.mark.unit

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=3)
AXIS = time_axis(SINCE, UNTIL, "day", UTC)
CONFIG = tomllib.loads((Path(__file__).resolve().parents[2] / ".streamlit" / "config.toml").read_text("utf-8"))


def days(*numbers: int) -> "pd.Series[pd.Timestamp]":
    return pd.Series([pd.Timestamp(SINCE + timedelta(days=number)) for number in numbers])


def cache_frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "time": days(0, 0, 2),
            "model": ["a/x", "b/y", "a/x"],
            "hits": [3, 0, 1],
            "stale": [1, 0, 0],
            "misses": [4, 1, 0],
            "bypass": [0, 2, 0],
            "saved_usd": [0.5, 0.0, 0.0012],
            "saved_seconds": [90.0, 0.0, 30.0],
        }
    )


EMPTY = cache_frame().iloc[:0]


def test_days_are_those_of_utc_and_hours_those_of_the_reader() -> None:
    zone = ZoneInfo("Asia/Tokyo")
    by_day = time_axis(SINCE + timedelta(hours=5), UNTIL, "day", zone)
    assert list(by_day.shown.strftime("%d %H")) == ["01 00", "02 00", "03 00"]
    by_hour = time_axis(SINCE, SINCE + timedelta(hours=2), "hour", zone)
    assert list(by_hour.shown.strftime("%H")) == ["09", "10"]
    assert list(by_hour.steps.strftime("%H")) == ["00", "01"]


def test_an_axis_keeps_its_hours_over_the_change_to_winter_time() -> None:
    since = datetime(2026, 10, 24, 22, tzinfo=UTC)
    axis = time_axis(since, since + timedelta(hours=6), "hour", ZoneInfo("Europe/Berlin"))
    assert list(axis.shown.strftime("%H")) == ["00", "01", "02", "02", "03", "04"]


def test_steps_without_runs_are_there() -> None:
    steps = per_step(cache_frame(), AXIS)
    assert steps["hits"].tolist() == [3, 0, 1]


def test_runs_are_stacked_in_the_order_and_colours_of_their_states() -> None:
    frame = pd.DataFrame(
        {"time": days(0, 1, 1), "status": pd.Categorical(["failed", "succeeded", "failed"]), "runs": [2, 5, 1]}
    )
    figure = charts.runs_over_time(frame, AXIS)
    assert [trace.name for trace in figure.data] == ["Succeeded", "Failed"]
    assert [trace.marker.color for trace in figure.data] == [STATUS_COLOURS["succeeded"], STATUS_COLOURS["failed"]]
    assert figure.data[1].marker.pattern.shape, "what went wrong is told by more than its colour"
    assert pd.Series(figure.data[1].y).fillna(0).tolist() == [2, 1, 0]
    assert figure.layout.meta["alt"] == "Runs over time: 8 in all, 5 succeeded, 3 failed."


@pytest.mark.parametrize(
    ("longest", "unit", "drawn"), [(0.25, "ms", 250.0), (12.0, "s", 12.0), (300.0, "min", 5.0), (10_800.0, "h", 3.0)]
)
def test_latency_takes_the_unit_that_fits(longest: float, unit: str, drawn: float) -> None:
    frame = pd.DataFrame({"time": days(1), "p50": [longest / 2], "p95": [longest]})
    figure = charts.latency_over_time(frame, AXIS)
    high, median = figure.data
    assert (high.name, median.name) == ("95th percentile", "Median")
    assert figure.layout.yaxis.ticksuffix == f" {unit}"
    assert high.y[1] == pytest.approx(drawn)
    assert pd.isna(high.y[0]), "a day without runs is a gap, not a latency of nothing"


def test_cost_says_what_it_leaves_out() -> None:
    frame = pd.DataFrame({"time": days(0, 1), "cost_usd": [0.0012, 3.5], "unknown_cost": [0, 2]})
    figure = charts.cost_over_time(frame, AXIS)
    assert figure.layout.meta["alt"] == "Cost over time: $3.50 in all, 2 runs of unknown price left out."
    assert list(figure.data[0].customdata) == ["$0.0012", "$3.50, 2 of unknown price", "$0"]


def test_rare_kinds_of_error_are_put_together() -> None:
    kinds = [f"Error{number}" for number in range(10)]
    frame = pd.DataFrame({"time": days(*[0] * 10), "error_type": kinds, "errors": range(10, 0, -1)})
    figure = charts.errors_over_time(frame, AXIS)
    assert [trace.name for trace in figure.data] == [*kinds[:6], "others"]
    assert figure.data[-1].y[0] == 4 + 3 + 2 + 1
    assert "55 in all, most of them Error0" in figure.layout.meta["alt"]


def test_hit_ratio_counts_stale_answers_and_has_gaps_where_the_cache_was_not_asked() -> None:
    figure = charts.hit_ratio_over_time(cache_frame(), AXIS)
    ratio = figure.data[0].y
    assert ratio[0] == pytest.approx(400 / 9)
    assert pd.isna(ratio[1])
    assert ratio[2] == 100
    assert figure.layout.meta["alt"] == "Hit ratio over time: 50 % overall."


def test_cache_outcomes_are_stacked_in_their_order() -> None:
    figure = charts.cache_outcomes(cache_frame(), AXIS)
    assert [trace.name for trace in figure.data] == ["Hit", "Stale", "Miss", "Bypass"]
    assert figure.layout.meta["alt"] == "Cache outcomes over time: 4 hit, 1 stale, 5 miss, 2 bypass."


def test_savings_have_their_units() -> None:
    money, time = charts.saved_money(cache_frame(), AXIS), charts.saved_time(cache_frame(), AXIS)
    assert list(money.data[0].customdata) == ["$0.50", "$0", "$0.0012"]
    assert list(time.data[0].customdata) == ["1 min 30 s", "0.0 ms", "30.0 s"]
    assert time.layout.meta["alt"] == "Time saved by the cache over time: 2 min 00 s in all."


def test_the_busiest_group_is_on_top() -> None:
    figure = charts.outcomes_by(cache_frame(), "model")
    assert figure.data[0].y[-1] == "a/x"
    assert "busiest a/x" in figure.layout.meta["alt"]


def test_many_groups_are_cut_to_the_busiest() -> None:
    frame = pd.DataFrame({"task": [f"t{n:02d}" for n in range(30)], "hits": range(30)}).assign(
        stale=0, misses=0, bypass=0
    )
    figure = charts.outcomes_by(frame, "task")
    assert list(figure.data[0].y) == [f"t{n:02d}" for n in range(18, 30)]


@pytest.mark.parametrize(
    "figure",
    [
        charts.runs_over_time(pd.DataFrame({"time": days(), "status": [], "runs": []}), AXIS),
        charts.latency_over_time(pd.DataFrame({"time": days(), "p50": [], "p95": []}, dtype="float64"), AXIS),
        charts.cost_over_time(pd.DataFrame({"time": days(), "cost_usd": [], "unknown_cost": []}), AXIS),
        charts.errors_over_time(pd.DataFrame({"time": days(), "error_type": [], "errors": []}), AXIS),
        charts.hit_ratio_over_time(EMPTY, AXIS),
        charts.cache_outcomes(EMPTY, AXIS),
        charts.saved_money(EMPTY, AXIS),
        charts.saved_time(EMPTY, AXIS),
        charts.outcomes_by(EMPTY, "model"),
    ],
    ids=lambda figure: str(figure.layout.meta["alt"]).split(":")[0],
)
def test_a_chart_of_nothing_says_so(figure: object) -> None:
    layout = figure.layout  # type: ignore[attr-defined]
    assert re.match(r"(No|Nothing) ", layout.annotations[0].text) or "not asked" in layout.annotations[0].text
    assert layout.xaxis.visible is False
    assert layout.meta["alt"].endswith(".")


def test_a_finger_on_a_chart_scrolls_the_page() -> None:
    figure = charts.saved_time(cache_frame(), AXIS)
    assert figure.layout.dragmode is False
    assert figure.layout.xaxis.fixedrange is True


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("colour", sorted({*STATUS_COLOURS.values(), *CACHE_COLOURS.values(), *OTHER_COLOURS}))
def test_every_colour_stands_out_on_both_backgrounds(colour: str, theme: str) -> None:
    levels = sorted((luminance(colour), luminance(CONFIG["theme"][theme]["backgroundColor"])))
    assert (levels[1] + 0.05) / (levels[0] + 0.05) >= 3, "the least contrast of WCAG 2.2 for graphics"


def test_every_state_has_a_colour_a_badge_and_an_icon() -> None:
    states = {status.value for status in RunStatus}
    assert set(STATUS_COLOURS) == states
    assert set(BADGES) == set(ICONS) == states | set(CACHE_COLOURS)
    assert label("timed_out") == "Timed out"


@pytest.mark.parametrize(("runs", "step"), [(1, 1), (4, 1), (5, None), (4000, None)])
def test_counts_are_marked_at_whole_numbers(runs: int, step: int | None) -> None:
    frame = pd.DataFrame({"time": days(0), "status": ["succeeded"], "runs": [runs]})
    assert charts.runs_over_time(frame, AXIS).layout.yaxis.dtick == step


def test_an_axis_of_an_hour_has_one_step() -> None:
    axis: TimeAxis = time_axis(SINCE, SINCE + timedelta(minutes=40), "hour", UTC)
    assert len(axis.steps) == 1
