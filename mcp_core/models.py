"""What travels between the rooms: runs, their events, usage, cache outcome, and who asked.

All of it is frozen. Times are timezone-aware UTC; durations are seconds (float); money is US dollars (Decimal).
`Run.as_json()` is the one JSON shape that the CLI, the web API and exports share.
"""

import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "PRIORITIES",
    "Actor",
    "Artifact",
    "Attempt",
    "CacheOutcome",
    "Outage",
    "Priority",
    "Run",
    "RunError",
    "RunEvent",
    "RunOutput",
    "RunStatus",
    "TaskDefinition",
    "Usage",
    "new_id",
    "utcnow",
]


Priority = Literal["high", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = ("high", "normal", "low")
"""How soon a run is taken from the queue, the soonest first."""


def utcnow() -> datetime:
    """The present moment, timezone-aware, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A new id: 26 lower-case hexadecimal digits that sort by creation time (12 of milliseconds, 14 random)."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(7)}"


class Frozen(BaseModel):
    """Base of what travels: immutable, and strict about unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunStatus(StrEnum):
    """State of a run. `queued` and `running` are open; the others are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"

    @property
    def is_final(self) -> bool:
        """Whether a run in this state never changes again."""
        return self not in (RunStatus.QUEUED, RunStatus.RUNNING)


class Actor(Frozen):
    """Who asks. Every call to the client carries one.

    The default is the one local owner of an installation without sign-in.
    """

    id: str = "local"
    name: str = "Local owner"
    role: Literal["viewer", "operator", "editor", "admin"] = "admin"
    team: str = "default"


class Usage(Frozen):
    """Tokens of a run, as the model server counted them."""

    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )


class CacheOutcome(Frozen):
    """What the cache did for a run. Compares equal to the name of its outcome: `run.cache == "hit"`.

    Attributes:
        outcome: `hit` (answered from the cache), `miss` (asked and remembered), `stale` (an expired answer was
            served), `bypass` (the cache was not asked).
        age_seconds: age of the answer served; None for a miss or bypass.
        saved_usd: what asking again would have cost; None where nothing was saved or the price is unknown.
        saved_seconds: the original latency less that of the hit; None where nothing was saved.
        key: the cache key, a hash; None for bypass.
        original_run_id: the run that first got this answer; None where unknown.
        parts: part of the key -> short hash of its value; tells which part changed between two runs.
        model: the fallback whose remembered answer was served; None where it was that of the model asked for.
    """

    outcome: Literal["hit", "miss", "stale", "bypass"] = "bypass"
    age_seconds: float | None = None
    saved_usd: Decimal | None = None
    saved_seconds: float | None = None
    key: str | None = None
    original_run_id: str | None = None
    parts: dict[str, str] = Field(default_factory=dict)
    model: str | None = None

    def __eq__(self, other: object) -> bool:
        return self.outcome == other if isinstance(other, str) else super().__eq__(other)

    def __hash__(self) -> int:
        return hash(self.outcome)

    def __str__(self) -> str:
        return self.outcome


class Attempt(Frozen):
    """One try at one model server.

    Attributes:
        status: HTTP status; None where no answer came.
        duration_seconds: all of it; waited_seconds: what of that passed before the server was asked, while the local
            model was fetched and started or a limit on calls had to be kept to.
        error: why this attempt did not serve; None for the one that did.
    """

    number: int
    provider: str
    model: str
    status: int | None = None
    started_at: datetime
    duration_seconds: float
    waited_seconds: float = 0.0
    error: str | None = None


class Artifact(Frozen):
    """A file a run produced. Its bytes are fetched by `client.runs.artifact(run_id, name)`."""

    name: str
    media_type: str
    size_bytes: int
    sha256: str


class RunOutput(BaseModel):
    """What an executor returns.

    Attributes:
        text: the answer as text; empty where there is none.
        data: the answer as JSON-compatible data; None where there is none.
        artifacts: files that belong to the answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = ""
    data: Any = None
    artifacts: tuple[Artifact, ...] = ()


class RunError(Frozen):
    """Why a run did not succeed: the error's class, what happened, and what to do."""

    type: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that happened in a run. A plain dataclass: every token is one.

    Attributes:
        seq: position within the run, from 1, without gaps in memory; stored events keep their order.
        kind: `queued`, `started`, `token`, `retry`, `fallback`, `wait`, `cache`, `exchange`, `progress`, `log`,
            `finished` or a type's own.
        data: JSON-compatible details; a `token` event has `text`.
    """

    run_id: str
    seq: int
    kind: str
    at: datetime
    data: dict[str, Any] = field(default_factory=dict)


class Outage(Frozen):
    """A provider that is to be taken for down for a while: an outage that somebody simulates.

    Attributes:
        actor_id: who wanted it.
        since, until: from when to when.
    """

    provider: str
    actor_id: str
    since: datetime
    until: datetime


class TaskDefinition(Frozen):
    """A named task: a config with the place it was loaded from."""

    name: str
    type: str
    config: dict[str, Any]
    source: str


class Run(Frozen):
    """One execution of a task.

    Attributes:
        config: snapshot of the task's config, JSON-compatible, secrets masked.
        model: `provider/model` asked for; None for types without one.
        cost_usd: what it cost; 0 for a cache hit; None where the price is unknown.
        priority: how soon it is taken from the queue.
        owner: id of the process lease that runs it; None while nobody does.
        parent_id: the run that started this one; retry_of: the run this one repeats.
    """

    id: str
    type: str
    name: str = ""
    status: RunStatus = RunStatus.QUEUED
    actor_id: str = "local"
    team: str = "default"
    config: dict[str, Any] = Field(default_factory=dict)
    variables: dict[str, Any] = Field(default_factory=dict)
    tags: tuple[str, ...] = ()
    model: str | None = None
    priority: Priority = "normal"
    output: RunOutput = RunOutput()
    usage: Usage = Usage()
    cost_usd: Decimal | None = None
    cache: CacheOutcome = CacheOutcome()
    attempts: tuple[Attempt, ...] = ()
    error: RunError | None = None
    created_at: datetime = Field(default_factory=utcnow)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    parent_id: str | None = None
    retry_of: str | None = None
    owner: str | None = None

    @property
    def duration_seconds(self) -> float | None:
        """Seconds from start to finish, not below 0 (clocks jump); None while it is open or where it never started."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, (self.finished_at - self.started_at).total_seconds())

    @property
    def queued_seconds(self) -> float | None:
        """Seconds from creation to start, not below 0; None where it has not started."""
        return None if self.started_at is None else max(0.0, (self.started_at - self.created_at).total_seconds())

    @property
    def stand_ins(self) -> tuple[str, ...]:
        """The fallbacks that answered in place of `model`, asked or from the cache, each once; empty where none did."""
        fallbacks = self.config.get("fallbacks") or ()
        served = [f"{attempt.provider}/{attempt.model}" for attempt in self.attempts if attempt.error is None]
        found = [model for model in served if model in fallbacks and model != self.model]
        return tuple(dict.fromkeys([*found, *([self.cache.model] if self.cache.model else [])]))

    def as_json(self) -> dict[str, Any]:
        """The run as JSON-compatible data: the shape of CLI `--json`, the web API and exports."""
        data = self.model_dump(mode="json", exclude={"owner": True, "cache": {"key", "original_run_id", "parts"}})
        data["duration_seconds"] = self.duration_seconds
        data["queued_seconds"] = self.queued_seconds
        return data
