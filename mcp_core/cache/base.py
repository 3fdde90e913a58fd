"""The one interface of everything that remembers an answer, and what it remembers."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

__all__ = ["Cache", "CacheSize", "Entry"]

_SKEW_SECONDS = 300.0
"""How far the clocks of hosts that share a cache may differ."""


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

    def is_fresh(self, now: float | None = None) -> bool:
        """Whether it has not expired at `now` (Unix time; default the present).

        One that can expire but comes from the future does not count as fresh: it was stored while the clock was
        wrong, and nobody can say when its time is up.
        """
        if self.expires_at is None:
            return True
        now = time.time() if now is None else now
        return self.expires_at > now and self.created_at <= now + _SKEW_SECONDS

    def age_seconds(self, now: float | None = None) -> float:
        """Seconds since it was stored, not below 0 (clocks jump)."""
        return max(0.0, (time.time() if now is None else now) - self.created_at)


@dataclass(frozen=True, slots=True)
class CacheSize:
    """How much a cache holds: `entries` (count), `size_bytes` (bodies and their metadata, as stored)."""

    entries: int
    size_bytes: int


class Cache(ABC):
    """A store of entries by key. All methods are thread-safe; none may fail a run.

    A backend raises `CacheError` when it cannot work; callers log it and go on without the cache. A damaged entry is
    dropped, logged and reported as missing. `get` also returns expired entries: freshness is the caller's policy.
    """

    name: str = "custom"
    evictions: int = 0
    """Entries this process pushed out to stay below the largest size."""

    @abstractmethod
    def get(self, key: str) -> Entry | None:
        """The entry under `key`, fresh or expired; None where there is none."""

    @abstractmethod
    def set(self, entry: Entry) -> None:
        """Store `entry` under its key, replacing what was there."""

    @abstractmethod
    def delete(self, key: str) -> bool:
        """Forget `key`; returns whether it was there."""

    @abstractmethod
    def clear(self) -> int:
        """Forget everything; returns how many entries that were."""

    @abstractmethod
    def size(self) -> CacheSize:
        """How much it holds."""

    @abstractmethod
    def entries(self, *, limit: int = 1000, offset: int = 0) -> Iterator[Entry]:
        """Entries, newest first, at most `limit` after skipping `offset`."""

    def touch(self, key: str) -> None:  # noqa: B027  (a backend that evicts nothing need not know)
        """Note that the entry under `key` was used, though a cache in front of this one answered. Never raises."""

    def close(self) -> None:  # noqa: B027  (a backend without resources has nothing to close)
        """Release connections and files."""
