"""Words and figures on a page: hostile text made harmless, and figures (`mcp_core.formats`) at hand beside it.

Two kinds of foreign text reach a page. Names, errors and the like are shown letter for letter by `escape`. A model's
answer may be Markdown and goes through `markdown_parts`, which leaves its shape and takes away what could load or hide
an address.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from urllib.parse import urlsplit

from mcp_core.formats import UNKNOWN, ago, count, file_size, in_place_of, moment, money, rate, ratio, seconds
from mcp_core.ui.forms.text import plain, quoted, sentences

__all__ = [
    "UNKNOWN",
    "MarkdownPart",
    "ago",
    "code",
    "count",
    "escape",
    "file_size",
    "in_place_of",
    "markdown_parts",
    "moment",
    "money",
    "rate",
    "ratio",
    "safe_markdown",
    "seconds",
    "sentences",
]

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


def code(text: str) -> str:
    """The text as a span of code, letter for letter: for ids and keys that people copy."""
    return quoted(text, limit=200)


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
