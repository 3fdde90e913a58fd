"""The one language of colours and icons: what happened to a run, and what the cache did for it.

The chart colours are mid-tones that stand out on the light and the dark background alike; whatever went wrong also has
a pattern, so that nothing is told by colour alone.
"""

from collections.abc import Mapping
from typing import Final, Literal

__all__ = [
    "ACCENT",
    "BADGES",
    "CACHE_COLOURS",
    "ICONS",
    "OTHER_COLOURS",
    "PATTERNS",
    "QUIET",
    "STATUS_COLOURS",
    "SUCCESS",
    "BadgeColour",
    "label",
]

BadgeColour = Literal["green", "red", "orange", "violet", "gray", "blue", "yellow"]

ACCENT: Final = "#4A86C8"
SUCCESS: Final = "#2F9461"
QUIET: Final = "#7C8A9C"

STATUS_COLOURS: Final[Mapping[str, str]] = {
    "succeeded": SUCCESS,
    "failed": "#D1524C",
    "timed_out": "#C9702A",
    "interrupted": "#8F6ED0",
    "cancelled": QUIET,
    "running": ACCENT,
    "queued": "#2C93A3",
}
"""Status of a run -> its colour, in the order charts stack them."""

CACHE_COLOURS: Final[Mapping[str, str]] = {
    "hit": SUCCESS,
    "stale": "#A07C1C",
    "miss": ACCENT,
    "bypass": QUIET,
}
"""Cache outcome -> its colour, in the order charts stack them."""

OTHER_COLOURS: Final = ("#4A86C8", "#C9702A", "#2F9461", "#8F6ED0", "#D1524C", "#2C93A3", "#A07C1C", "#7C8A9C")
"""For names without a meaning of their own, such as kinds of error."""

PATTERNS: Final[Mapping[str, str]] = {"failed": "/", "timed_out": "x", "interrupted": "\\", "stale": "."}
"""What went wrong, or was served late -> the hatching of its bars."""

BADGES: Final[Mapping[str, BadgeColour]] = {
    "succeeded": "green",
    "failed": "red",
    "timed_out": "orange",
    "interrupted": "violet",
    "cancelled": "gray",
    "running": "blue",
    "queued": "gray",
    "hit": "green",
    "stale": "yellow",
    "miss": "blue",
    "bypass": "gray",
}
"""Status or cache outcome -> the named colour of its badge."""

ICONS: Final[Mapping[str, str]] = {
    "succeeded": ":material/check_circle:",
    "failed": ":material/error:",
    "timed_out": ":material/timer_off:",
    "interrupted": ":material/power_off:",
    "cancelled": ":material/cancel:",
    "running": ":material/play_circle:",
    "queued": ":material/schedule:",
    "hit": ":material/bolt:",
    "stale": ":material/history:",
    "miss": ":material/cloud_download:",
    "bypass": ":material/block:",
}
"""Status or cache outcome -> its icon."""


def label(name: str) -> str:
    """A status or outcome as people read it: `timed_out` is "Timed out"."""
    return name.replace("_", " ").capitalize()
