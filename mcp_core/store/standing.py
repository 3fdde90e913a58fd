"""How things stand on this history at the moment: its processes and their open runs."""

from dataclasses import dataclass
from datetime import datetime

from mcp_core.models import Priority, RunStatus

__all__ = ["OpenRun", "Process", "ProcessLoad"]


@dataclass(frozen=True, slots=True)
class ProcessLoad:
    """What a process says of itself with each heartbeat.

    Attributes:
        workers: runs it executes at a time; given_up: of its threads, those stuck in a run that was ended.
        queue_size: runs that may wait in it.
    """

    workers: int = 0
    given_up: int = 0
    queue_size: int = 0


@dataclass(frozen=True, slots=True)
class Process:
    """A process that has the history open and runs things.

    Attributes:
        owner: id of its lease, as in `Run.owner`.
        heard_seconds: age of its last heartbeat, by the database's clock.
    """

    owner: str
    host: str
    pid: int
    load: ProcessLoad
    heard_seconds: float


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that is queued or running, without its payload."""

    id: str
    type: str
    name: str
    model: str | None
    actor_id: str
    priority: Priority
    status: RunStatus
    owner: str | None
    created_at: datetime
    started_at: datetime | None
