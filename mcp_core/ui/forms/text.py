"""Words on a form: labels from names, text that Markdown leaves alone, durations people can read and type."""

import re
from datetime import timedelta

__all__ = ["duration_from_text", "duration_to_iso", "duration_to_text", "label_from_name", "plain", "quoted"]

ACRONYMS = frozenset(
    {"api", "cli", "cpu", "csv", "gpu", "html", "http", "id", "ip", "json", "llm", "sql", "ttl", "uri", "url", "uuid"}
)
WORD_JOINER = "\u2060"

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$&^=])")
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
    """The text so that Streamlit's Markdown shows it letter for letter.

    Backslashes stop the grammar; links, icons, emoji codes and arrows are found after parsing, in what is left,
    so a word joiner (no width) parts them.

    Args:
        paragraphs: keep blank lines as paragraphs (for help texts); otherwise all is one line.
    """
    if paragraphs:
        return "\n\n".join(plain(part) for part in re.split(r"\n\s*\n", text.strip()))
    text = _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
    text = re.sub(r":(?=\S)", f"\\:{WORD_JOINER}", text)
    text = text.replace("@", f"@{WORD_JOINER}")
    text = re.sub(r"(?i)\bwww(?=\\\.)", f"www{WORD_JOINER}", text)
    return re.sub(r"(\\[-<>~=])(?=\\[-<>=])", rf"\1{WORD_JOINER}", text)


def quoted(value: object, limit: int = 60) -> str:
    """A value typed by somebody, shortened, as a Markdown code span in which nothing is interpreted."""
    text = " ".join(str(value).encode(errors="replace").decode().split())
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    fence = "`" * (max((len(run) for run in re.findall(r"`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if text else "an empty text"


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
