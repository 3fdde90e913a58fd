from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from mcp_core.ui.filters import span_of

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 23, 14, 0, 30, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("choice", "back", "by"),
    [
        ("24h", timedelta(hours=24), "hour"),
        ("7d", timedelta(days=7), "day"),
        ("1y", timedelta(days=365), "day"),
        ("nonsense", timedelta(days=7), "day"),
    ],
)
def test_a_range_goes_back_from_the_next_full_minute(choice: str, back: timedelta, by: str) -> None:
    span = span_of(choice, None, None, now=NOW, zone=UTC)
    assert span.until == datetime(2026, 11, 23, 14, 1, tzinfo=UTC)
    assert span.until - span.since == back
    assert span.by == by


def test_days_are_whole_ones_of_the_reader() -> None:
    span = span_of("custom", date(2026, 11, 2), date(2026, 11, 3), now=NOW, zone=BERLIN)
    assert span.since == datetime(2026, 11, 1, 23, tzinfo=UTC)
    assert span.until == datetime(2026, 11, 3, 23, tzinfo=UTC)
    assert span.by == "hour"


def test_open_ends_and_days_the_wrong_way_round_still_make_a_span() -> None:
    assert span_of("custom", None, None, now=NOW, zone=UTC).until > NOW
    last = span_of("custom", None, date(2026, 11, 3), now=NOW, zone=UTC)
    assert last.until - last.since == timedelta(days=7)
    swapped = span_of("custom", date(2026, 11, 9), date(2026, 11, 3), now=NOW, zone=UTC)
    assert swapped.until - swapped.since == timedelta(hours=1)
    future = span_of("custom", date(2026, 11, 20), date(2027, 1, 1), now=NOW, zone=UTC)
    assert future.until == datetime(2026, 11, 23, 14, 1, tzinfo=UTC)
