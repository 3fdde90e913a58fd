"""What a cache holds: an answer with what is known of it, what a list shows of it, and which entries are meant."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

__all__ = ["ORDERS", "CacheSize", "Entry", "EntryFilter", "Item", "Order", "sort_items"]

_SKEW_SECONDS = 300.0
"""How far the clocks of hosts that share a cache may differ."""

Order = Literal["newest", "oldest", "largest", "useful"]
"""`useful`: those that have saved the most time first."""

ORDERS: tuple[Order, ...] = ("newest", "oldest", "largest", "useful")


def _iso(moment: float) -> str | None:
    try:
        return datetime.fromtimestamp(moment, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None  # a damaged file may say anything


def _is_fresh(created_at: float, expires_at: float | None, now: float | None) -> bool:
    if expires_at is None:
        return True
    now = time.time() if now is None else now
    return expires_at > now and created_at <= now + _SKEW_SECONDS


@dataclass(frozen=True, slots=True)
class Entry:
    """A remembered answer.

    Attributes:
        key: hash that names it (64 hexadecimal digits).
        body: the answer as the model server sent it (or would have, for a streamed one), bytes.
        content_type: media type of the body.
        created_at: when it was stored; Unix time in seconds.
        expires_at: when it becomes stale; None for never.
        latency_seconds: how long the original call took.
        cost_usd: what the original call cost; None where unknown.
        run_id: the run that first got it; empty where unknown.
        labels: what statistics and searches group by: `type`, `provider`, `model`, `task`.
        about: the parts of the key, shortened and with secrets masked, as a JSON object of texts; empty where unknown.
    """

    key: str
    body: bytes
    content_type: str = "application/json"
    created_at: float = field(default_factory=time.time)
    expires_at: float | None = None
    latency_seconds: float = 0.0
    cost_usd: Decimal | None = None
    run_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    about: str = ""

    def is_fresh(self, now: float | None = None) -> bool:
        """Whether it has not expired at `now` (Unix time; default the present).

        One that can expire but comes from the future does not count as fresh: it was stored while the clock was
        wrong, and nobody can say when its time is up.
        """
        return _is_fresh(self.created_at, self.expires_at, now)

    def age_seconds(self, now: float | None = None) -> float:
        """Seconds since it was stored, not below 0 (clocks jump)."""
        return max(0.0, (time.time() if now is None else now) - self.created_at)

    def parts(self) -> dict[str, str]:
        """The parts of its key, shortened: name -> text."""
        try:
            found = json.loads(self.about) if self.about else {}
        except (ValueError, RecursionError):
            return {}
        return {str(name): str(text) for name, text in found.items()} if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class CacheSize:
    """How much a cache holds: `entries` (count), `size_bytes` (bodies and their metadata, as stored)."""

    entries: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Item:
    """What a list shows of an entry: all but its answer and its key's parts.

    Attributes:
        size_bytes: what it takes, as stored.
        hits: how often it has answered since it was stored. Counted in memory and written in batches, so a count may
            lack the last hits of other processes, or of one that was killed.
        used_at: when it was last used; Unix time in seconds.
        pinned: whether it is kept whatever comes: never evicted, and cleared only on purpose.
    """

    key: str
    size_bytes: int
    created_at: float
    expires_at: float | None = None
    latency_seconds: float = 0.0
    cost_usd: Decimal | None = None
    run_id: str = ""
    content_type: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    hits: int = 0
    used_at: float = 0.0
    pinned: bool = False

    @classmethod
    def of(cls, entry: Entry, size_bytes: int, *, hits: int, used_at: float | None, pinned: bool) -> "Item":
        """What a list shows of `entry`."""
        return cls(
            key=entry.key,
            size_bytes=size_bytes,
            created_at=entry.created_at,
            expires_at=entry.expires_at,
            latency_seconds=entry.latency_seconds,
            cost_usd=entry.cost_usd,
            run_id=entry.run_id,
            content_type=entry.content_type,
            labels=entry.labels,
            hits=hits,
            used_at=entry.created_at if used_at is None else used_at,
            pinned=pinned,
        )

    @property
    def saved_seconds(self) -> float:
        """What its hits have saved, not counting what they took themselves."""
        return self.hits * self.latency_seconds

    @property
    def saved_usd(self) -> Decimal | None:
        """What its hits have saved; None where the price is unknown."""
        return None if self.cost_usd is None else self.cost_usd * self.hits

    def is_fresh(self, now: float | None = None) -> bool:
        """As `Entry.is_fresh`."""
        return _is_fresh(self.created_at, self.expires_at, now)

    def as_json(self) -> dict[str, Any]:
        """It as JSON-compatible data: the shape of `cache entries --json`."""
        return {
            "key": self.key,
            **{name: self.labels.get(name, "") for name in ("type", "provider", "model", "task")},
            "created_at": _iso(self.created_at),
            "expires_at": None if self.expires_at is None else _iso(self.expires_at),
            "fresh": self.is_fresh(),
            "used_at": _iso(self.used_at),
            "pinned": self.pinned,
            "hits": self.hits,
            "size_bytes": self.size_bytes,
            "latency_seconds": self.latency_seconds,
            "cost_usd": None if self.cost_usd is None else str(self.cost_usd),
            "saved_seconds": self.saved_seconds,
            "saved_usd": None if self.saved_usd is None else str(self.saved_usd),
            "run_id": self.run_id or None,
            "content_type": self.content_type,
        }


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries are meant; what is left at its default does not restrict.

    Attributes:
        type, provider, model, task: exactly this label.
        text: found in the key, a label or a part of the key, whatever the case.
        older_than_seconds: stored longer ago than that.
        never_hit: only those that have never answered.
        pinned: only pinned ones (True), or only others (False).
    """

    type: str = ""
    provider: str = ""
    model: str = ""
    task: str = ""
    text: str = ""
    older_than_seconds: float | None = None
    never_hit: bool = False
    pinned: bool | None = None

    @property
    def wanted_labels(self) -> dict[str, str]:
        """The labels asked for, by name."""
        names = {"type": self.type, "provider": self.provider, "model": self.model, "task": self.task}
        return {name: label for name, label in names.items() if label}

    def made_before(self, now: float | None = None) -> float | None:
        """The moment before which an entry has to have been stored; None for any."""
        if self.older_than_seconds is None:
            return None
        return (time.time() if now is None else now) - self.older_than_seconds

    def fits(self, item: Item) -> bool:
        """Whether all but `text` is as wanted."""
        before = self.made_before()
        return (
            all(item.labels.get(name, "") == label for name, label in self.wanted_labels.items())
            and (before is None or item.created_at < before)
            and not (self.never_hit and item.hits)
            and (self.pinned is None or item.pinned is self.pinned)
        )

    def names(self, item: Item) -> bool:
        """Whether `text` is in the key or a label."""
        text = self.text.casefold()
        return text in item.key or any(text in label.casefold() for label in item.labels.values())

    def is_about(self, entry: Entry | None) -> bool:
        """Whether `text` is in a part of the entry's key."""
        text = self.text.casefold()
        return entry is not None and any(text in part.casefold() for part in entry.parts().values())


def sort_items(items: list[Item], order: Order) -> list[Item]:
    """`items` in that order."""
    if order == "largest":
        return sorted(items, key=lambda item: (-item.size_bytes, item.key))
    if order == "useful":
        return sorted(items, key=lambda item: (-item.saved_seconds, -item.hits, item.key))
    return sorted(items, key=lambda item: (item.created_at, item.key), reverse=order == "newest")
