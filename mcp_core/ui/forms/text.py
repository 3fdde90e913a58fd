"""Words on a form: labels from names, text that Markdown leaves alone, durations people can read and type."""

import re
from datetime import timedelta

__all__ = [
    "duration_from_text",
    "duration_to_iso",
    "duration_to_text",
    "label_from_name",
    "plain",
    "quoted",
    "sentences",
]

ACRONYMS = frozenset(
    {"api", "cli", "cpu", "csv", "gpu", "html", "http", "id", "ip", "json", "llm", "sql", "ttl", "uri", "url", "uuid"}
)

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$&^=:])")
_FOUND_LATER = re.compile(r"://|(?i:www)\.|@|--|->|<-|[<>~]=|:[\w+-]*[A-Za-z+-][\w+-]*:|:(100|1234):")
_AROUND = re.compile(r"([(\[{\"'“«]*)(.*?)([)\]}\"'”»….,:;!?]*)", re.DOTALL)
"""Quotes, brackets and the end of a sentence around a word, which are not part of an address."""
_SPAN = re.compile(r"(?<!\S)(\(?)`([^`\s][^`]*)`(?=[)\]},.:;!?]*(?:\s|$))")
"""What a message of ours names as it is typed, `like this`."""
_ICON = ":material/"
_SECOND = 1_000_000
_UNITS = {
    "w": 604_800 * _SECOND,
    "d": 86_400 * _SECOND,
    "h": 3_600 * _SECOND,
    "m": 60 * _SECOND,
    "s": _SECOND,
    "ms": 1_000,
    "us": 1,
}
_DURATION = re.compile(r"(\d+)(?:\.(\d+))?\s*(w|d|h|ms|us|µs|min|m|s)", re.IGNORECASE)


def label_from_name(name: str) -> str:
    """A sentence-case label: `max_api_calls` becomes `Max API calls`."""
    words = [word for word in re.split(r"[_\W]+", name) if word]
    words = [word.upper() if word.lower() in ACRONYMS else word.lower() for word in words]
    label = " ".join(words) or name
    return label[:1].upper() + label[1:]


def plain(text: str, *, paragraphs: bool = False) -> str:
    """The text so that Streamlit's Markdown shows it letter for letter, and what is copied is what was meant.

    Backslashes stop the grammar. Addresses, emoji codes and arrows are found after parsing, in what is left, where a
    backslash is of no help; a word that holds one becomes a span of code, in which nothing is looked for. Icons are
    found before and after, also in code, and are taken apart.

    Args:
        paragraphs: keep blank lines as paragraphs (for help texts); otherwise all is one line.
    """
    if paragraphs:
        return "\n\n".join(plain(part) for part in re.split(r"\n\s*\n", text.strip()))
    return " ".join(_word(word) for word in text.split())


def _word(word: str) -> str:
    if _ICON in word:
        head, tail = word.split(_ICON, 1)
        return f"{_code(head + _ICON[:-1])}/{_word(tail)}"
    if not _FOUND_LATER.search(word):
        return _escaped(word)
    before, inside, after = _AROUND.fullmatch(word).groups()  # type: ignore[union-attr]  # it matches any word
    if not _FOUND_LATER.search(inside):
        before, inside, after = "", word, ""
    return f"{_escaped(before)}{_code(inside)}{_escaped(after)}"


def _escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)


def _code(text: str) -> str:
    fence = "`" * (max((len(run) for run in re.findall(r"`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}"


def sentences(text: str, *, paragraphs: bool = False) -> str:
    """A message of ours as Markdown: what stands in backticks becomes code, all else is shown as by `plain`.

    Args:
        paragraphs: as for `plain`.
    """
    if paragraphs:
        return "\n\n".join(sentences(part) for part in re.split(r"\n\s*\n", text.strip()))
    shown, end = "", 0
    for span in _SPAN.finditer(text):
        if _ICON not in span[2]:
            shown += f"{_between(text[end : span.start()], after=shown)}{_escaped(span[1])}{quoted(span[2], limit=400)}"
            end = span.end()
    return (shown + _between(text[end:], after=shown)).rstrip()


def _between(text: str, *, after: str) -> str:
    """Text beside spans of code, with the blanks that keep it apart from them."""
    shown = plain(text)
    lead = " " if after and text[:1].isspace() else ""
    return f"{lead}{shown} " if shown and text[-1:].isspace() else f"{lead}{shown}"


def quoted(value: object, limit: int = 60) -> str:
    """A value typed by somebody, shortened, as a Markdown code span in which nothing is interpreted."""
    text = " ".join(str(value).encode(errors="replace").decode().split())
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return _code(text) if text else "an empty text"


def _microseconds(value: timedelta) -> int:
    return value // timedelta(microseconds=1)


def _seconds_text(microseconds: int) -> str:
    whole, rest = divmod(microseconds, 1_000_000)
    return f"{whole}.{rest:06d}".rstrip("0") if rest else str(whole)


def duration_to_iso(value: timedelta) -> str:
    """ISO 8601, exact to the microsecond."""
    sign = "-" if value < timedelta() else ""
    days, rest = divmod(abs(_microseconds(value)), _UNITS["d"])
    return f"{sign}P{days}DT{_seconds_text(rest)}S"


def duration_to_text(value: timedelta) -> str:
    """As a person would write it: `1d 2h 30m 5.25s`; `0s` for none. Exact to the microsecond."""
    rest = abs(_microseconds(value))
    parts = []
    for unit in ("d", "h", "m"):
        count, rest = divmod(rest, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    if rest or not parts:
        parts.append(f"{_seconds_text(rest)}s")
    return ("-" if value < timedelta() else "") + " ".join(parts)


def duration_from_text(text: str) -> timedelta | None:
    """Reads `1d 2h 30m 5.25s`, in any selection of w, d, h, m, s, ms, us, and a bare number as seconds.

    None where it is written otherwise.
    """
    body = text.strip()
    sign = -1 if body.startswith("-") else 1
    body = body.removeprefix("-").strip()
    if re.fullmatch(r"\d+(\.\d+)?", body):
        body += "s"
    if not body or _DURATION.sub("", body).strip(" ,"):
        return None
    total = 0
    for whole, fraction, unit in _DURATION.findall(body):
        scale = _UNITS[{"min": "m", "µs": "us"}.get(unit.lower(), unit.lower())]
        part = int(fraction or 0) * scale
        if part % 10 ** len(fraction):
            return None
        total += int(whole) * scale + part // 10 ** len(fraction)
    try:
        return timedelta(microseconds=sign * total)
    except OverflowError:
        return None
