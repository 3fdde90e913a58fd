"""The queue as it is now, over all processes on this history: what waits and runs, where, and how much room is left."""

import os
import socket
import threading
import time
from collections import Counter, defaultdict
from datetime import datetime

from mcp_core.api.execution import Engine
from mcp_core.api.line import Line, Ticket
from mcp_core.api.snapshot import ActorLoad, QueuedRun, QueueLimits, QueueSnapshot, RunningRun, WorkerProcess
from mcp_core.errors import ResourceLimitError
from mcp_core.formats import file_size
from mcp_core.models import RunStatus, utcnow
from mcp_core.settings import Settings
from mcp_core.store import OpenRun, Store

__all__ = ["QueueService"]

MOST_RUNS = 1000
"""Waiting and running runs a snapshot names, each; `waiting_total` and `running_total` count all."""

_FRESH_SECONDS = 0.5
BYTES_FRESH_SECONDS = 10.0
"""What is kept is added up at most so often; a burst within that time may go past the limit."""


class QueueService:
    """What waits and runs. Reached as `client.queue`."""

    def __init__(self, store: Store, engine: Engine, settings: Settings) -> None:
        self._store = store
        self._engine = engine
        self._settings = settings
        self._lock = threading.Lock()
        self._snapshot: tuple[float, QueueSnapshot] | None = None
        self._bytes: tuple[float, dict[str, int]] | None = None

    def snapshot(self, *, max_age_seconds: float = _FRESH_SECONDS) -> QueueSnapshot:
        """The queue as it is, or was at most so many seconds ago: many readers cost no more than one.

        Raises:
            StoreError: the history cannot be read.
        """
        with self._lock:
            if self._snapshot is None or time.monotonic() - self._snapshot[0] > max_age_seconds:
                self._snapshot = time.monotonic(), self._look()
            return self._snapshot[1]

    def position(self, run_id: str) -> int | None:
        """Place of a run in the queue of its process, 1 for the next one; None where it does not wait."""
        live = self._engine.get(run_id)
        if live is not None and live.run.status is not RunStatus.QUEUED:
            return None
        found = next((run.position for run in self.snapshot().waiting if run.id == run_id), None)
        if found is None and live is not None:
            ids = self._engine.waiting()  # it has come after the last look
            return ids.index(run_id) + 1 if run_id in ids else None
        return found

    def stored_bytes(self, *, max_age_seconds: float | None = None) -> dict[str, int]:
        """Bytes of outputs and files kept of finished runs, by actor; at most so many seconds old, default ten."""
        with self._lock:
            return self._stored_bytes(max_age_seconds)

    def check_kept(self, actor_id: str) -> None:
        """Raise `ResourceLimitError` if the history keeps as much of the actor's as one may have."""
        limit = self._settings.actor_bytes
        if self.stored_bytes().get(actor_id, 0) < limit:
            return
        kept = self.stored_bytes(max_age_seconds=0.0).get(actor_id, 0)  # some may just have been deleted
        if kept >= limit:
            raise ResourceLimitError(
                f"The history keeps {file_size(kept)} of {actor_id}'s runs; one person may have {file_size(limit)}.",
                hint="Delete some of them, on the history page or by `history delete`, or raise MCP_ACTOR_BYTES.",
            )

    def _stored_bytes(self, max_age_seconds: float | None = None) -> dict[str, int]:
        age = BYTES_FRESH_SECONDS if max_age_seconds is None else max_age_seconds
        if self._bytes is None or time.monotonic() - self._bytes[0] > age:
            self._bytes = time.monotonic(), self._store.stored_bytes()
        return self._bytes[1]

    def _look(self) -> QueueSnapshot:
        now = utcnow()
        counts = self._store.open_counts()
        running = self._store.open_runs(RunStatus.RUNNING, MOST_RUNS) if counts["running"] else []
        queued = self._store.open_runs(RunStatus.QUEUED, MOST_RUNS) if counts["queued"] else []
        running, queued = self._as_known_here(running, queued)
        processes = self._processes(running, queued)
        return QueueSnapshot(
            at=now,
            waiting=tuple(self._waiting(queued, {process.owner for process in processes}, now)[:MOST_RUNS]),
            waiting_total=_total(counts["queued"], queued),
            running=tuple(_running(run, now) for run in running[:MOST_RUNS]),
            running_total=_total(counts["running"], running),
            processes=tuple(processes),
            actors=self._actors(running, queued),
            limits=self._limits(),
        )

    def _as_known_here(self, running: list[OpenRun], queued: list[OpenRun]) -> tuple[list[OpenRun], list[OpenRun]]:
        """The history may be a moment behind what this process knows of its own runs."""
        known = {live.run.id: live.run for live in self._engine.live()}
        found = {run.id: run for run in (*running, *queued) if run.owner != self._engine.owner}
        for run in known.values():
            found[run.id] = OpenRun(
                run.id,
                run.type,
                run.name,
                run.model,
                run.actor_id,
                run.priority,
                run.status,
                run.owner,
                run.created_at,
                run.started_at,
            )
        ordered = sorted(found.values(), key=lambda run: (run.started_at or run.created_at, run.id))
        return (
            [run for run in ordered if run.status is RunStatus.RUNNING],
            [run for run in ordered if run.status is RunStatus.QUEUED],
        )

    def _waiting(self, queued: list[OpenRun], alive: set[str], now: datetime) -> list[QueuedRun]:
        by_owner: dict[str | None, list[OpenRun]] = defaultdict(list)
        for run in queued:
            by_owner[run.owner].append(run)
        places: dict[str, int | None] = {}
        for owner, runs in by_owner.items():
            if owner == self._engine.owner:
                ids = self._engine.waiting()
            elif owner in alive:
                ids = _order(runs)
            else:
                continue
            places |= {run_id: place for place, run_id in enumerate(ids, 1)}
        found = [
            QueuedRun(
                run.id,
                run.type,
                run.name,
                run.model,
                run.actor_id,
                run.priority,
                places.get(run.id),
                run.owner,
                run.created_at,
                max(0.0, (now - run.created_at).total_seconds()),
            )
            for run in queued
        ]
        return sorted(found, key=lambda run: (run.owner != self._engine.owner, run.owner or "", run.position or 0))

    def _processes(self, running: list[OpenRun], queued: list[OpenRun]) -> list[WorkerProcess]:
        busy = Counter(run.owner for run in running)
        waiting = Counter(run.owner for run in queued)
        found = [
            WorkerProcess(
                owner=process.owner,
                host=process.host,
                pid=process.pid,
                here=False,
                workers=process.load.workers,
                busy=busy[process.owner],
                idle=max(0, process.load.workers - busy[process.owner]),
                aside=0,
                given_up=process.load.given_up,
                waiting=waiting[process.owner],
                queue_size=process.load.queue_size,
                heard_seconds=process.heard_seconds,
            )
            for process in self._store.processes()
            if process.owner != self._engine.owner
        ]
        return [self._here(), *sorted(found, key=lambda process: (process.host, process.pid))]

    def _here(self) -> WorkerProcess:
        state = self._engine.state()
        return WorkerProcess(
            owner=self._engine.owner,
            host=socket.gethostname(),
            pid=os.getpid(),
            here=True,
            workers=state.size,
            busy=state.busy,
            idle=state.idle,
            aside=state.aside,
            given_up=state.given_up,
            waiting=state.waiting,
            queue_size=state.limit,
            heard_seconds=0.0,
        )

    def _actors(self, running: list[OpenRun], queued: list[OpenRun]) -> tuple[ActorLoad, ...]:
        runs, waits = Counter(run.actor_id for run in running), Counter(run.actor_id for run in queued)
        kept = self._stored_bytes()
        loads = [ActorLoad(actor, runs[actor], waits[actor], kept.get(actor, 0)) for actor in {*runs, *waits}]
        return tuple(sorted(loads, key=lambda load: (-load.running - load.waiting, load.actor_id)))

    def _limits(self) -> QueueLimits:
        settings, state = self._settings, self._engine.state()
        return QueueLimits(
            workers=settings.workers,
            queue_size=settings.queue_size,
            queue_free=max(0, settings.queue_size - state.waiting),
            actor_running=settings.actor_running,
            actor_queued=settings.actor_queued,
            actor_bytes=settings.actor_bytes,
            drain_seconds=settings.drain_seconds,
        )


def _total(counted: int, named: list[OpenRun]) -> int:
    # Where all are named, they are counted as they are known here.
    return len(named) if counted <= MOST_RUNS else max(counted, len(named))


def _order(runs: list[OpenRun]) -> list[str]:
    """Ids of another process's waiting runs in the order it takes them, as far as one can know from outside."""
    line: Line[str] = Line()
    for run in sorted(runs, key=lambda run: (run.created_at, run.id)):
        line.put(run.id, Ticket(run.priority, run.actor_id))
    return line.order()


def _running(run: OpenRun, now: datetime) -> RunningRun:
    elapsed = 0.0 if run.started_at is None else max(0.0, (now - run.started_at).total_seconds())
    return RunningRun(
        run.id, run.type, run.name, run.model, run.actor_id, run.priority, run.owner, run.started_at, elapsed
    )
