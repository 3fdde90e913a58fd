"""What a reader of the history can ask for, and the totals it gets back."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from mcp_core.models import RunStatus

__all__ = [
    "CacheCounts",
    "CacheOutcomeName",
    "CacheUse",
    "Group",
    "LatencyGroup",
    "Period",
    "RunFilter",
    "Totals",
    "Typical",
]

Period = Literal["hour", "day"]
"""Width of a dashboard's time step, in UTC."""

Group = Literal["type", "provider", "model", "task", "actor", "status"]
"""What a dashboard can split its figures by."""

LatencyGroup = Literal["type", "provider", "model"]
"""What latencies can be split by."""

CacheOutcomeName = Literal["hit", "miss", "stale", "bypass"]


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are meant. Fields are joined by *and*; the values within a field by *or*; empty means any.

    Attributes:
        types: names of MCP types.
        models: `provider/model` names.
        actors: ids of actors.
        names: exact names of tasks.
        tags: a run has to carry every one of them.
        text: occurs, in any case, in the name, the variables, the start of the output or the error.
        since: created at or after this moment.
        until: created before this moment.
        outcomes: what the cache did.
        parent_id: children of this run alone.
        ids: these runs alone.
    """

    types: tuple[str, ...] = ()
    statuses: tuple[RunStatus, ...] = ()
    models: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    outcomes: tuple[CacheOutcomeName, ...] = ()
    parent_id: str | None = None
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Totals:
    """Figures of finished runs over a span of time.

    Attributes:
        runs: how many finished.
        hits: answered from the cache; stale: answered from an expired entry; misses: asked and remembered;
            bypass: a model was asked, and the cache was not.
        hit_ratio: hits and stale of hits, stale and misses; None where the cache was not asked.
        errors: failed, timed out or interrupted.
        cost_usd: known cost; `unknown_cost` counts the runs that a model of unknown price has answered.
        saved_usd, saved_seconds: what the cache spared.
        p50_seconds, p95_seconds: latency, exact to 1 %; None where nothing ran.
    """

    runs: int
    hits: int
    misses: int
    stale: int
    bypass: int
    hit_ratio: float | None
    errors: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    unknown_cost: int
    saved_usd: Decimal
    saved_seconds: float
    p50_seconds: float | None
    p95_seconds: float | None


@dataclass(frozen=True, slots=True)
class Typical:
    """What the latest like runs that succeeded without the cache took.

    Attributes:
        runs: how many of them there were; the others are None where there were none.
        median_seconds, p95_seconds: how long they took.
        output_tokens: median of the tokens they were answered with.
    """

    runs: int = 0
    median_seconds: float | None = None
    p95_seconds: float | None = None
    output_tokens: float | None = None


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What the cache did for finished runs over a span of time.

    Attributes:
        hits, misses, stale, bypass: runs by outcome.
        saved_usd, saved_seconds: what asking again would have cost and taken, where known.
    """

    hits: int = 0
    misses: int = 0
    stale: int = 0
    bypass: int = 0
    saved_usd: Decimal = Decimal(0)
    saved_seconds: float = 0.0

    @property
    def hit_ratio(self) -> float | None:
        """Answers from the cache, by the runs that asked it; None where none did."""
        served = self.hits + self.stale
        return served / (served + self.misses) if served + self.misses else None


@dataclass(frozen=True, slots=True)
class CacheCounts:
    """What the cache stored and pushed out over a span of time.

    Attributes:
        stored, stored_bytes: answers remembered, and the bytes of their bodies.
        evictions, evicted_bytes: entries that had to make room for others, and what they took.
    """

    stored: int = 0
    stored_bytes: int = 0
    evictions: int = 0
    evicted_bytes: int = 0
