"""What a look at the queue finds: plain values, for pages, the command line and programs."""

from dataclasses import dataclass
from datetime import datetime

from mcp_core.models import Priority

__all__ = ["ActorLoad", "QueueLimits", "QueueSnapshot", "QueuedRun", "RunningRun", "WorkerProcess"]


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A run that waits.

    Attributes:
        position: its place in the queue of its process, 1 for the next one. Exact for the process that asks; what
            others are told follows from the rule all of them queue by. None where no living process has it.
        owner: the process that has it, as in `WorkerProcess.owner`; None where nobody does.
        waited_seconds: since it was submitted.
    """

    id: str
    type: str
    name: str
    model: str | None
    actor_id: str
    priority: Priority
    position: int | None
    owner: str | None
    created_at: datetime
    waited_seconds: float


@dataclass(frozen=True, slots=True)
class RunningRun:
    """A run that goes on.

    Attributes:
        owner: the process that runs it, as in `WorkerProcess.owner`.
        elapsed_seconds: since it began.
    """

    id: str
    type: str
    name: str
    model: str | None
    actor_id: str
    priority: Priority
    owner: str | None
    started_at: datetime | None
    elapsed_seconds: float


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """A process that runs things.

    Attributes:
        owner: id of its lease, as in `Run.owner`.
        here: whether it is this one.
        workers: runs it executes at a time; busy: those it executes; idle: how many more it could.
        aside: its running runs that wait for a provider and hold no worker meanwhile; 0 where it is another process,
            whose busy then counts them.
        given_up: of its threads, those stuck in a run that was ended over its head.
        waiting: runs in its queue, of `queue_size`.
        heard_seconds: age of its last heartbeat.
    """

    owner: str
    host: str
    pid: int
    here: bool
    workers: int
    busy: int
    idle: int
    aside: int
    given_up: int
    waiting: int
    queue_size: int
    heard_seconds: float


@dataclass(frozen=True, slots=True)
class ActorLoad:
    """What one actor has open, over all processes, and keeps.

    Attributes:
        stored_bytes: outputs and files of finished runs in the history.
    """

    actor_id: str
    running: int
    waiting: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """The limits this process keeps to; 0 is none.

    Attributes:
        queue_size: runs that may wait in it; queue_free: how many more may.
        actor_running, actor_queued: runs of one actor that it executes at a time, and that may wait in it.
        actor_bytes: bytes of outputs and files kept of one actor's runs.
        drain_seconds: how long running runs may go on when it is told to end.
    """

    workers: int
    queue_size: int
    queue_free: int
    actor_running: int
    actor_queued: int
    actor_bytes: int
    drain_seconds: float


@dataclass(frozen=True, slots=True)
class QueueSnapshot:
    """The queue at one moment.

    Attributes:
        waiting: the next one first within each process, at most 1,000; running: the oldest first, at most 1,000.
        processes: those heard of lately, this one first.
        actors: those with open runs, the busiest first.
    """

    at: datetime
    waiting: tuple[QueuedRun, ...]
    waiting_total: int
    running: tuple[RunningRun, ...]
    running_total: int
    processes: tuple[WorkerProcess, ...]
    actors: tuple[ActorLoad, ...]
    limits: QueueLimits
