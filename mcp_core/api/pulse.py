"""The engine's heartbeat: time limits, coalesced events, the lease, and runs left by processes that died."""

import threading
import time
from collections.abc import Callable
from functools import partial

from loguru import logger

from mcp_core.api.endings import Endings
from mcp_core.api.live import LiveRun
from mcp_core.errors import StoreError
from mcp_core.models import RunStatus
from mcp_core.store import ProcessLoad, Store

__all__ = ["FLUSH_SECONDS", "GRACE_SECONDS", "HEARTBEAT_SECONDS", "LEASE_SECONDS", "REQUESTS_SECONDS", "Pulse"]

FLUSH_SECONDS = 0.25
"""How often events in memory reach the store."""
HEARTBEAT_SECONDS = 4.0
LEASE_SECONDS = 15.0
"""A process not heard of for this long is taken for dead."""
REQUESTS_SECONDS = 1.0
"""How often requests of other processes to cancel a run are looked for: with the grace below, within 5 seconds."""
GRACE_SECONDS = 2.0
"""How long a run that was told to stop may take before it is ended over its head."""


class Pulse:
    """A thread that looks after the live runs of one engine.

    Args:
        live: gives the runs to look after; load: what this process says of itself.
        cancel: stops a run that another process was asked to cancel.
        abandon: ends a run whose executor does not listen.
        endings: records again what could not be recorded.
        adopt: takes over queued runs of processes not heard of for so many seconds; None to leave them to others.
    """

    def __init__(
        self,
        store: Store,
        owner: str,
        *,
        live: Callable[[], list[LiveRun]],
        load: Callable[[], ProcessLoad],
        cancel: Callable[[str], object],
        abandon: Callable[[LiveRun], None],
        endings: Endings,
        adopt: Callable[[float], None] | None,
    ) -> None:
        self._store = store
        self._owner = owner
        self._live = live
        self._load = load
        self._cancel = cancel
        self._abandon = abandon
        self._endings = endings
        self._adopt = adopt
        self._stop = threading.Event()
        self._told: dict[str, float] = {}
        self._steadiness = _Steadiness()
        self._thread = threading.Thread(target=self._run, name="mcp-pulse", daemon=True)

    def start(self) -> None:
        """Take the lease and begin."""
        self._store.heartbeat(self._owner, self._load())
        self._thread.start()

    def stop(self) -> None:
        """End the thread and give the lease back."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        try:
            self._store.release(self._owner)
        except StoreError as error:
            logger.warning("The lease could not be given back: {}", error)

    def _run(self) -> None:
        due = look = 0.0
        while not self._stop.wait(FLUSH_SECONDS):
            live = self._live()
            self._try(partial(self._watch_limits, live))
            self._try(partial(self._flush, live))
            self._try(self._endings.retry)
            if live and time.monotonic() >= look:
                look = time.monotonic() + REQUESTS_SECONDS
                self._try(self._cancel_requested)
            if time.monotonic() >= due:
                due = time.monotonic() + HEARTBEAT_SECONDS
                self._try(self._look_after_leases)

    def _try(self, step: Callable[[], None]) -> None:
        """Without this thread no run keeps its lease or its time limit, so nothing may end it."""
        try:
            step()
        except StoreError as error:
            logger.warning("The history cannot be used at the moment: {}", error)
        except Exception:  # noqa: BLE001  # a defect in one step must not cost every run its lease
            logger.opt(exception=True).error("The engine's heartbeat met an unexpected error and goes on.")

    def _watch_limits(self, live: list[LiveRun]) -> None:
        now = time.monotonic()
        for run in live:
            if run.token.deadline is not None and now > run.token.deadline:
                run.token.cancel("timed_out")
            if run.token.cancelled and now - self._told.setdefault(run.run.id, now) > GRACE_SECONDS:
                self._abandon(run)
        open_ids = {run.run.id for run in live}
        self._told = {run_id: since for run_id, since in self._told.items() if run_id in open_ids}

    def _flush(self, live: list[LiveRun]) -> None:
        old = time.monotonic() - FLUSH_SECONDS
        for run in live:
            # Most runs are over before the next beat, and their end stores all events at once.
            if run.run.status is not RunStatus.QUEUED and run.began < old and (events := run.events.unstored()):
                # All of them in one transaction: with hundreds of runs in the queue, one each would hold up the work.
                self._store.add_events(run.run.id, events, wait=False)
        self._store.flush()

    def _look_after_leases(self) -> None:
        self._store.heartbeat(self._owner, self._load())
        if self._steadiness.beat():
            self._try(self._interrupt_lapsed)
            self._try(self._release_orphans)
            if self._adopt is not None:
                self._try(partial(self._adopt, LEASE_SECONDS))

    def _cancel_requested(self) -> None:
        for run_id in self._store.asked_to_cancel(self._owner):
            logger.info("Run {} is cancelled, as another process asked.", run_id)
            self._cancel(run_id)

    def _interrupt_lapsed(self) -> None:
        for run in self._store.interrupt_lapsed(older_than_seconds=LEASE_SECONDS):
            logger.warning("Run {} was interrupted: the process that ran it is gone.", run.id)

    def _release_orphans(self) -> None:
        for run_id in self._store.budgets.release_orphans(LEASE_SECONDS):
            logger.warning("What was reserved for run {} is given back: its process died before it began.", run_id)


class _Steadiness:
    """Whether this process's own heartbeats come in time, so that it may judge those of others.

    After a jump of the clock, a suspended machine or a history that was locked, everybody's heartbeat looks old for a
    while: others get the length of a lease to be heard again.
    """

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._trusted_from = 0.0

    def beat(self) -> bool:
        """Note a heartbeat; returns whether leases may be judged."""
        now, wall = time.monotonic(), time.time()
        if self._last is not None:
            gap, by_the_clock = now - self._last[0], wall - self._last[1]
            if gap > LEASE_SECONDS / 2 or abs(by_the_clock - gap) > LEASE_SECONDS / 4:
                logger.warning("The clock jumped or this process was held up; nobody is taken for dead for a while.")
                self._trusted_from = now + LEASE_SECONDS
        self._last = now, wall
        return now >= self._trusted_from
