"""Figures read the same wherever they are shown."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_core import formats
from mcp_core.cli import output
from mcp_core.ui import text

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("passed", "shown"),
    [
        (None, "unknown"),
        (0, "0 s"),
        (42.9, "42 s"),
        (180, "3 min"),
        (7200, "2 h"),
        (90_000, "1 day"),
        (7 * 86_400, "7 days"),
    ],
)
def test_an_age_has_one_unit(passed: float | None, shown: str) -> None:
    assert formats.age(passed) == shown


@given(st.floats(0, 1e9), st.decimals(0, 10**6, allow_nan=False, places=9))
def test_the_command_line_and_the_pages_write_the_same(value: float, usd: Decimal) -> None:
    assert output.seconds(value) == text.seconds(value) == formats.seconds(value)
    assert output.money(usd) == output.money(str(usd)) == text.money(usd)


@given(st.floats(5, 1e9))
def test_how_long_since_is_the_age(passed: float) -> None:
    now = datetime(2126, 11, 4, tzinfo=UTC)
    at = now - timedelta(seconds=passed)
    assert formats.ago(at, now=now) == f"{formats.age((now - at).total_seconds())} ago"


def test_the_clock_is_asked_where_no_time_is_given() -> None:
    assert formats.ago(datetime.now(UTC)) == "just now"
    assert formats.ago(datetime.now(UTC) - timedelta(days=3, hours=1)) == "3 days ago"
