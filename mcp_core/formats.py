"""Figures for people, with their units: the same in the browser and on the command line."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from decimal import Decimal

__all__ = ["UNKNOWN", "age", "ago", "count", "file_size", "in_place_of", "moment", "money", "rate", "ratio", "seconds"]

UNKNOWN = "unknown"
"""What stands for a figure nobody knows: never 0."""


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
    """A whole number with its unit: `1,204 tokens`, `1 token`, `1 entry`; `unknown` for None. `unit` is the plural."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f} {_singular(unit) if value == 1 else unit}".rstrip()


def _singular(plural: str) -> str:
    if plural.endswith("ies"):
        return f"{plural[:-3]}y"
    return plural[:-2] if plural.endswith(("sses", "xes")) else plural.removesuffix("s")


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


def in_place_of(stand_ins: Sequence[str], asked: str | None) -> str:
    """Who answered: `acme/m`, `beta/b in place of acme/m` where fallbacks did; empty where no model was asked for."""
    return f"{' and '.join(stand_ins)} in place of {asked}" if stand_ins else asked or ""


def file_size(size: float | None) -> str:
    """Bytes: `512 B`, `3.4 kB`, `98.4 MB`; `unknown` for None."""
    if size is None:
        return UNKNOWN
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" or size >= 99.95 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable: the last unit takes any size")


def age(passed_seconds: float | None) -> str:
    """A time that has passed, in one unit: `12 s`, `3 min`, `5 h`, `1 day`, `2 days`; `unknown` for None."""
    if passed_seconds is None:
        return UNKNOWN
    for limit, size, unit in ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h")):
        if passed_seconds < limit:
            return f"{passed_seconds // size:.0f} {unit}"
    return count(passed_seconds // 86_400, "days")


def ago(at: datetime | None, *, now: datetime | None = None) -> str:
    """How long since: `just now`, `12 s ago`, `3 min ago`, `5 h ago`, `2 days ago`; `never` for None."""
    if at is None:
        return "never"
    passed = ((now or datetime.now(UTC)) - at).total_seconds()
    return "just now" if passed < 5 else f"{age(passed)} ago"


def moment(at: datetime | None, zone: tzinfo | None = None) -> str:
    """A point in time with its zone: `2026-11-04 09:31:07 UTC`; `never` for None."""
    return "never" if at is None else f"{at.astimezone(zone) if zone else at:%Y-%m-%d %H:%M:%S %Z}".rstrip()
