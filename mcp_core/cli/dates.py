"""`--since` and the like: moments as people type them."""

import re
from datetime import UTC, datetime, timedelta

from mcp_core.cli.parser import UsageError
from mcp_core.models import utcnow

__all__ = ["parse_since"]

_AGE = re.compile(r"^(\d{1,6})\s*(m|h|d|w)$")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def parse_since(text: str | None, option: str = "--since") -> datetime | None:
    """The moment meant: an age such as `90m`, `12h`, `7d`, `2w`, or an ISO date or time (UTC where it names no zone).

    Raises:
        ConfigurationError: it is neither.
    """
    if text is None:
        return None
    try:
        if match := _AGE.match(text.strip().lower()):
            return utcnow() - int(match[1]) * _UNITS[match[2]]
        moment = datetime.fromisoformat(text.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{option}: found {text!r}, allowed is an age or a date.", hint="Such as 90m, 12h, 7d or 2026-01-31."
        ) from None
