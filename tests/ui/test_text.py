from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_core.ui import text

pytestmark = pytest.mark.unit

JOINER = "\u2060"
PIECES = (
    *(
        "![",
        "](",
        "http://evil.example/a?q=1",
        ")",
        "[",
        "]",
        "]: ",
        "\n",
        "\r",
        "```",
        "~~~",
        "mermaid",
        "`",
        "$",
        "$$",
    ),
    *(">", " ", "- ", ":red[", ":material/home:", "\\", "&#109;ermaid", "<img src=x>", "!", "a", "{background='x'}"),
)
NASTY = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


def prose(answer: str) -> str:
    return "\n".join(part.text for part in text.markdown_parts(answer) if not part.is_code)


@given(NASTY)
def test_no_image_directive_definition_or_diagram_is_left_in_prose(answer: str) -> None:
    found = prose(answer)
    assert "![" not in found
    assert "]:" not in found
    assert ":red[" not in found
    assert ":material/" not in found
    fenced = [line for line in found.splitlines() if "```" in line or "~~~" in line]
    assert not any("mermaid" in line or "&#" in line for line in fenced)


@given(NASTY)
def test_nothing_that_was_said_is_left_out(answer: str) -> None:
    # What follows the opening of a block of code on its line is its language, not text.
    answer = answer.replace("```", "").replace("~~~", "")
    parts = "".join(part.text for part in text.markdown_parts(answer))
    for word in ("evil", "home", "img"):
        assert parts.count(word) >= answer.count(word)


def test_code_comes_by_itself_and_unchanged() -> None:
    parts = list(text.markdown_parts("Before\n```rust\nlet v = vec![1];\n```\nafter `x`"))
    assert parts == [
        text.MarkdownPart("Before"),
        text.MarkdownPart("let v = vec![1];", is_code=True, language="rust"),
        text.MarkdownPart("after `x`"),
    ]


def test_a_fence_that_is_not_closed_is_code_to_the_end() -> None:
    assert list(text.markdown_parts("~~~\n![x](http://evil)\n```")) == [
        text.MarkdownPart("![x](http://evil)\n```", is_code=True)
    ]


@pytest.mark.parametrize(
    ("written", "safe"),
    [
        ("[here](http://evil.example/x)", "[here (evil\\.example)](http://evil.example/x)"),
        ("[here](//evil.example)", "[here (evil\\.example)](//evil.example)"),
        ("[here](&#104;ttp://evil.example)", "[here (evil\\.example)](&#104;ttp://evil.example)"),
        ("[here](<https://evil.example/(a)> 'b')", "[here (evil\\.example)](<https://evil.example/(a)> 'b')"),
        ("[part](#part)", "[part](#part)"),
        ("![dot](http://evil.example/p.png)", f"!{JOINER}[dot (evil\\.example)](http://evil.example/p.png)"),
        ("**bold** and $x^2$", "**bold** and $x^2$"),
        ("12:30:00, a: b", "12:30:00, a: b"),
        ("[bad](http://[::1)", "[bad (` http://[::1 `)](http://[::1)"),
    ],
)
def test_links_name_their_host(written: str, safe: str) -> None:
    assert text.safe_markdown(written) == safe


def test_escaped_text_has_no_markdown() -> None:
    assert text.escape("**a** [b](c)") == "\\*\\*a\\*\\* \\[b\\]\\(c\\)"


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        (None, "unknown"),
        (Decimal(0), "$0"),
        (Decimal("0.0012"), "$0.0012"),
        (Decimal("0.00000123"), "$0.0000012"),
        (Decimal("0.00000000001"), "<$0.00000001"),
        (Decimal("3.5"), "$3.50"),
        (Decimal("1234.567"), "$1,234.57"),
        (Decimal("-0.5"), "-$0.50"),
    ],
)
def test_money(usd: Decimal | None, shown: str) -> None:
    assert text.money(usd) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "unknown"),
        (-1.0, "0.0 ms"),
        (0.0004, "0.4 ms"),
        (0.38, "380 ms"),
        (1.23, "1.2 s"),
        (59.97, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
        (300_000, "3.5 days"),
    ],
)
def test_seconds(value: float | None, shown: str) -> None:
    assert text.seconds(value) == shown


def test_counts_rates_shares_and_sizes_have_units() -> None:
    assert [text.count(1204, "tokens"), text.count(1, "tokens"), text.count(None), text.count(0)] == [
        "1,204 tokens",
        "1 token",
        "unknown",
        "0",
    ]
    assert [text.rate(130, 1.0), text.rate(3, 1.0), text.rate(3, None), text.rate(0, 1.0)] == [
        "130 tokens/s",
        "3.0 tokens/s",
        "unknown",
        "unknown",
    ]
    shares = (None, 0.0, 0.0004, 0.031, 0.3714, 0.995, 0.99999, 1.0)
    assert [text.ratio(share) for share in shares] == [
        "unknown",
        "0 %",
        "<0.1 %",
        "3.1 %",
        "37 %",
        "99.5 %",
        ">99.9 %",
        "100 %",
    ]
    assert [text.file_size(size) for size in (None, 512, 3400, 98_362_432, 5e12)] == [
        "unknown",
        "512 B",
        "3.4 kB",
        "98.4 MB",
        "5000 GB",
    ]


def test_times_are_told_from_now_and_with_their_zone() -> None:
    now = datetime(2026, 11, 4, 12, 0, tzinfo=UTC)
    passed = (1, 12, 200, 7200, 90_000, 200_000)
    assert [text.ago(now - timedelta(seconds=s), now=now) for s in passed] == [
        "just now",
        "12 s ago",
        "3 min ago",
        "2 h ago",
        "1 day ago",
        "2 days ago",
    ]
    assert text.ago(None) == "never"
    assert text.moment(now) == "2026-11-04 12:00:00 UTC"
    assert text.moment(now, timezone(timedelta(hours=1), "CET")) == "2026-11-04 13:00:00 CET"
    assert text.moment(None) == "never"


@pytest.mark.parametrize(
    ("value", "shown"), [("abc123", "` abc123 `"), ("a`b", "`` a`b ``"), ("[x](http://e)", "` [x](http://e) `")]
)
def test_an_id_stands_in_code_and_cannot_leave_it(value: str, shown: str) -> None:
    assert text.code(value) == shown
