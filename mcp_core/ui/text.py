"""Words and figures on a page: hostile text made harmless, and numbers with their units.

Two kinds of foreign text reach a page. Names, errors and the like are shown letter for letter by `escape`. A model's
answer may be Markdown and goes through `markdown_parts`, which leaves its shape and takes away what could load or hide
an address.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from html import unescape
from urllib.parse import urlsplit

from mcp_core.models import utcnow
from mcp_core.ui.forms.text import plain

__all__ = [
    "UNKNOWN",
    "MarkdownPart",
    "ago",
    "count",
    "escape",
    "file_size",
    "markdown_parts",
    "moment",
    "money",
    "rate",
    "ratio",
    "safe_markdown",
    "seconds",
]

UNKNOWN = "unknown"
"""What stands for a figure nobody knows: never 0."""

_JOINER = "\u2060"
"""No width and no meaning: parts two characters that Markdown would read together."""

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([^`\n]*)$")
_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]{1,30}")
_LINK = re.compile(r"\]\((?=\s*<?([^\s)>]*))")
_DIRECTIVE = re.compile(r":(?=[A-Za-z][A-Za-z0-9_/-]*[\[{:])")
_FENCE_INFO = re.compile(r"^.*(?:`{3}|~{3}).*$", re.MULTILINE)


def escape(text: str, *, paragraphs: bool = False) -> str:
    """The text so that Markdown shows it letter for letter: no links, images, icons, colours or formulas.

    Args:
        paragraphs: keep blank lines as paragraphs; otherwise all becomes one line.
    """
    return plain(text, paragraphs=paragraphs)


@dataclass(frozen=True, slots=True)
class MarkdownPart:
    """A piece of a model's answer: Markdown made harmless, or a block of code.

    Attributes:
        text: for `st.markdown`, or for `st.code` where `is_code`.
        language: the code's language; None where it names none.
    """

    text: str
    is_code: bool = False
    language: str | None = None


def markdown_parts(text: str) -> Iterator[MarkdownPart]:
    """A model's answer in pieces that are safe to draw, in order.

    Blocks of code come by themselves, to be drawn by `st.code`: what is code then depends on nobody's reading of the
    Markdown around it. In the rest, images become links, links name their host, and Streamlit's own directives
    (icons, colours, badges) and diagrams stay text.
    """
    prose: list[str] = []
    code: list[str] = []
    fence = language = ""
    for line in text.splitlines():
        found = _FENCE.match(line)
        if fence:
            if found and found[1][0] == fence[0] and len(found[1]) >= len(fence) and not found[2].strip():
                yield MarkdownPart("\n".join(code), is_code=True, language=language or None)
                fence, code = "", []
            else:
                code.append(line)
        elif found:
            if "".join(prose).strip():
                yield MarkdownPart(safe_markdown("\n".join(prose)))
            prose, fence = [], found[1]
            named = _LANGUAGE.match(found[2])
            language = named[0].lower() if named else ""
        else:
            prose.append(line)
    if fence:
        yield MarkdownPart("\n".join(code), is_code=True, language=language or None)
    elif "".join(prose).strip():
        yield MarkdownPart(safe_markdown("\n".join(prose)))


def safe_markdown(text: str) -> str:
    """Foreign Markdown as one string that `st.markdown` can draw without loading anything.

    Works by letters, not by a parser of its own that could disagree with the browser's: no image, reference
    definition, directive or diagram survives wherever it stands.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.replace("![", f"!{_JOINER}[").replace("]:", f"]{_JOINER}:")
    text = _DIRECTIVE.sub(f":{_JOINER}", text)
    text = _FENCE_INFO.sub(_without_diagram, text)
    return _LINK.sub(_with_host, text)


def _without_diagram(line: re.Match[str]) -> str:
    return re.sub(r"(?i)m(?=ermaid)", rf"\g<0>{_JOINER}", line[0].replace("&", "&amp;"))


def _with_host(link: re.Match[str]) -> str:
    # The reader of Markdown resolves entities and escapes in an address before the browser goes there.
    address = unescape(link[1]).replace("\\", "").replace(_JOINER, "")
    try:
        host = urlsplit(address).hostname
    except ValueError:
        host = address[:60]
    return f" ({escape(host)})](" if host else "]("


def money(usd: Decimal | None) -> str:
    """Dollars: `$0`, `$0.0012`, `$3.50`; `unknown` for None. Two figures are shown of what is below a cent."""
    if usd is None:
        return UNKNOWN
    if usd == 0:
        return "$0"
    sign, usd = ("-" if usd < 0 else ""), abs(usd)
    if usd >= Decimal("0.01"):
        return f"{sign}${usd:,.2f}"
    places = -usd.adjusted() + 1
    return f"{sign}${usd:.{places}f}" if places <= 9 else f"{sign}<$0.00000001"


def seconds(value: float | None) -> str:
    """A duration: `0.4 ms`, `380 ms`, `1.2 s`, `3 min 05 s`, `2 h 10 min`; `unknown` for None."""
    if value is None:
        return UNKNOWN
    value = max(0.0, value)
    if value < 0.001:
        return f"{value * 1000:.1f} ms"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours / 24:.1f} days"


def count(value: float | None, unit: str = "") -> str:
    """A whole number with its unit: `1,204 tokens`, `1 token`; `unknown` for None. `unit` is the plural."""
    if value is None:
        return UNKNOWN
    if unit.endswith("s") and value == 1:
        unit = unit[:-1]
    return f"{value:,.0f} {unit}".rstrip()


def rate(tokens: int, over_seconds: float | None) -> str:
    """Speed of an answer: `130 tokens/s`; `unknown` where there is no time to divide by."""
    if not over_seconds or over_seconds <= 0 or tokens <= 0:
        return UNKNOWN
    speed = tokens / over_seconds
    return f"{speed:,.0f} tokens/s" if speed >= 10 else f"{speed:.1f} tokens/s"


def ratio(value: float | None) -> str:
    """A share: `0 %`, `37 %`, `99.5 %`; `unknown` for None. Never rounded up to all or down to none."""
    if value is None:
        return UNKNOWN
    percent = value * 100
    if 0 < percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.1f}".removesuffix(".0") + " %" if percent < 10 or percent > 99 else f"{percent:.0f} %"


def file_size(size: float | None) -> str:
    """Bytes: `512 B`, `3.4 kB`, `98 MB`; `unknown` for None."""
    if size is None:
        return UNKNOWN
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" or size >= 99.95 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable: the last unit takes any size")


def ago(at: datetime | None, *, now: datetime | None = None) -> str:
    """How long since: `just now`, `12 s ago`, `3 min ago`, `5 h ago`, `2 days ago`; `never` for None."""
    if at is None:
        return "never"
    passed = ((now or utcnow()) - at).total_seconds()
    if passed < 5:
        return "just now"
    for limit, size, unit in ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h")):
        if passed < limit:
            return f"{passed // size:.0f} {unit} ago"
    days = int(passed // 86_400)
    return "1 day ago" if days == 1 else f"{days} days ago"


def moment(at: datetime | None, zone: tzinfo | None = None) -> str:
    """A point in time with its zone: `2026-11-04 09:31:07 UTC`; `never` for None."""
    return "never" if at is None else f"{at.astimezone(zone) if zone else at:%Y-%m-%d %H:%M:%S %Z}".rstrip()
