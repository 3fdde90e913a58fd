"""Figures read the same wherever they are shown."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

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


@pytest.mark.parametrize(
    ("unit", "one"),
    [
        ("runs", "run"),
        ("entries", "entry"),
        ("tries", "try"),
        ("processes", "process"),
        ("caches", "cache"),
        ("people", "people"),
        ("", ""),
    ],
)
def test_one_of_a_thing_is_named_as_one(unit: str, one: str) -> None:
    assert formats.count(1, unit) == f"1 {one}".rstrip()
    assert [formats.count(number, unit) for number in (0, 2, 1204)] == [
        f"{number} {unit}".rstrip() for number in ("0", "2", "1,204")
    ]


NOUNS = re.compile(
    r" (actors|answers|attempts|bars|budgets|calls|checks|days|endpoints|entries|errors|events|files|hits|messages"
    r"|models|places|processes|providers|requests|rows|runs|samples|servers|tasks|tokens|tries|types|variables|workers)\b"
)
"""Beside lengths: a text of one character is never too long."""


def counted_by_hand(path: Path) -> Iterator[str]:
    """Where a text puts a number that may be one in front of the plural of what it counts."""
    for text_node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(text_node, ast.JoinedStr):
            continue
        for number, words in pairwise(text_node.values):
            if not isinstance(number, ast.FormattedValue) or not isinstance(words, ast.Constant):
                continue
            limit = isinstance(number.value, ast.Name) and number.value.id.strip("_").isupper()
            noun = NOUNS.match(str(words.value))
            if noun and not limit:
                yield f"{path}:{text_node.lineno}: {ast.unparse(number.value)} {noun[1]}"


def test_numbers_and_what_they_count_agree_everywhere() -> None:
    root = Path(formats.__file__).parent
    modules = sorted(set(root.rglob("*.py")) - {Path(formats.__file__)})
    found = [line for path in modules for line in counted_by_hand(path)]
    found += [line for path in sorted((root.parent / "pages").glob("*.py")) for line in counted_by_hand(path)]
    assert found == [], "say it with `mcp_core.formats.count`"


def test_the_clock_is_asked_where_no_time_is_given() -> None:
    assert formats.ago(datetime.now(UTC)) == "just now"
    assert formats.ago(datetime.now(UTC) - timedelta(days=3, hours=1)) == "3 days ago"
