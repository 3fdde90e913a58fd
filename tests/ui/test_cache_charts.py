"""Charts of what the cache holds, stores and pushes out."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from mcp_core.ui import cache_charts, figures

pytestmark = [pytest.mark.unit, pytest.mark.cache]

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
AXIS = figures.time_axis(BEGAN, BEGAN + timedelta(days=4), "day", UTC)


def days(*numbers: int) -> pd.Series:
    return pd.Series(pd.to_datetime([BEGAN + timedelta(days=number) for number in numbers], utc=True))


def test_the_size_holds_until_it_is_seen_again() -> None:
    frame = pd.DataFrame({"time": days(1, 3), "entries": [2, 5], "size_bytes": [2000, 5000]})
    figure = cache_charts.size_over_time(frame, AXIS)
    assert figure.layout.meta["alt"] == "Size of the cache over time: 5.0 kB at the end."
    (line,) = figure.data
    assert [None if pd.isna(value) else value for value in line.y][:4] == [None, 2000, 2000, 5000]
    assert line.customdata[2] == "2.0 kB, 2 entries"
    assert figure.layout.yaxis.ticktext == ("0 B", "2.0 kB", "4.0 kB", "6.0 kB")


def test_a_size_nobody_looked_at_is_not_known() -> None:
    frame = pd.DataFrame({"time": days(), "entries": [], "size_bytes": []})
    figure = cache_charts.size_over_time(frame, AXIS)
    assert figure.layout.meta["alt"] == "Size of the cache over time: not known."
    assert figure.layout.annotations[0].text == "Its size was not looked at in this time"


def test_what_was_pushed_out_points_down() -> None:
    frame = pd.DataFrame(
        {
            "time": days(0, 2),
            "stored": [1, 3],
            "stored_bytes": [100, 900],
            "evictions": [0, 2],
            "evicted_bytes": [0, 700],
        }
    )
    figure = cache_charts.stored_and_evicted(frame, AXIS)
    assert figure.layout.meta["alt"] == (
        "Stored by the cache over time: 4 answers, 1.0 kB; pushed out: 2 entries, 700 B."
    )
    up, down = figure.data
    assert list(up.y)[:3] == [100, 0, 900]
    assert list(down.y)[:3] == [0, 0, -700]
    assert up.customdata[0] == "stored 100 B, 1 answer"
    assert down.customdata[2] == "pushed out 700 B, 2 entries"
    assert figure.layout.yaxis.ticktext[0] == "1.0 kB"


@pytest.mark.parametrize("size", [1, 7, 999, 10_000, 123_456, 5_000_000, 2_000_000_000])
def test_marks_are_whole_and_few(size: int) -> None:
    frame = pd.DataFrame({"time": days(1), "entries": [1], "size_bytes": [size]})
    marks = cache_charts.size_over_time(frame, AXIS).layout.yaxis.tickvals
    assert 3 <= len(marks) <= 7
    assert marks[-1] >= size
