"""Worker threads over a bounded line."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from mcp_core.api.line import Line, Ticket
from mcp_core.errors import ResourceLimitError
from mcp_core.formats import count

__all__ = ["PoolState", "WorkerPool"]

T = TypeVar("T", bound=Hashable)

_ANYBODY = Ticket()


@dataclass(frozen=True, slots=True)
class PoolState:
    """What a pool does at the moment.

    Attributes:
        size: jobs at a time; busy: those under way; idle: how many more could be.
        waiting: jobs in the line; limit: how many may be.
        aside: jobs under way that wait for a provider and hold no worker meanwhile.
        given_up: threads stuck in a job that was ended over its head.
    """

    size: int
    busy: int
    idle: int
    waiting: int
    limit: int
    aside: int
    given_up: int


class WorkerPool(Generic[T]):
    """At most `size` jobs at a time, from a line of at most `limit`.

    Threads are started when there is work for them and live until `close`. A thread stuck in a job is given up by
    `replace`, and ends when its job returns. A caller may lend its own thread. Jobs are hashable.

    Args:
        actor_running: jobs of one actor at a time; 0 for any number.
        actor_queued: jobs of one actor that may wait; 0 for any number.
    """

    def __init__(
        self,
        work: Callable[[T], None],
        *,
        size: int,
        limit: int,
        name: str,
        actor_running: int = 0,
        actor_queued: int = 0,
    ) -> None:
        self._work = work
        self._size = size
        self._limit = limit
        self._name = name
        self._actor_queued = actor_queued
        self._changed = threading.Condition()
        self._line: Line[T] = Line(actor_limit=actor_running)
        self._threads = 0
        self._idle = 0
        self._busy = 0
        self._handed_out: deque[T] = deque()  # not in the line any more, and about to begin
        self._on_callers: set[T] = set()
        self._aside: set[T] = set()
        self._waits: Counter[T] = Counter()  # a job's threads that wait aside
        self._given_up: set[T] = set()
        self._serial = 0
        self._closed = False

    def put(self, job: T, ticket: Ticket = _ANYBODY, *, beyond_limit: bool = False) -> None:
        """Let a job wait in the line.

        Args:
            beyond_limit: whether it is taken even if the line is full.

        Raises:
            ResourceLimitError: the line is full or closed, or its actor has as many waiting as one may.
        """
        with self._changed:
            if self._closed:
                raise ResourceLimitError("The engine is shutting down.", hint="Start the app again and repeat the run.")
            if not beyond_limit:
                self._check_room(ticket.actor)
            self._line.put(job, ticket)
            self._hand_out()

    def do(self, job: T, ticket: Ticket = _ANYBODY) -> bool:
        """Do the job now, on the caller's thread, if that delays nobody; returns whether it was done."""
        with self._changed:
            if self._closed or self._busy >= self._size or not self._line.may_begin(ticket):
                return False
            self._line.begin(job, ticket)
            self._busy += 1
            self._on_callers.add(job)
        try:
            self._work(job)
        finally:
            with self._changed:
                self._over(job)
        return True

    @contextmanager
    def aside(self, job: T) -> Iterator[None]:
        """While a job under way waits for something that others do not need, its worker is free for them.

        When the wait is over it goes on at once, even if that is one more than `size` for a while. Where threads of one
        job wait at the same time, its worker is free until the last of them goes on.
        """
        with self._changed:
            self._waits[job] += 1
            # One that was ended over its head has no worker to give.
            if self._waits[job] == 1 and self._line.is_under_way(job):
                self._aside.add(job)
                self._busy -= 1
                self._hand_out()
        try:
            yield
        finally:
            with self._changed:
                self._waits[job] -= 1
                if not self._waits[job]:
                    del self._waits[job]
                    if job in self._aside:
                        self._aside.discard(job)
                        self._busy += 1

    def remove(self, job: T) -> bool:
        """Take a job that has not begun out of the line; returns whether it was there."""
        with self._changed:
            if job not in self._handed_out:
                return self._line.remove(job)
            self._handed_out.remove(job)
            self._free_place(job)
            self._hand_out()
            return True

    def free(self) -> int:
        """How many more jobs may wait."""
        with self._changed:
            return 0 if self._closed else max(0, self._limit - len(self._line))

    def waiting(self) -> list[T]:
        """The waiting jobs, next first."""
        with self._changed:
            first, twin = list(self._handed_out), self._line.twin()
        # Putting a thousand jobs in order takes some milliseconds, for which nobody has to wait.
        return first + twin.drained()

    def state(self) -> PoolState:
        """What it does at the moment."""
        with self._changed:
            return PoolState(
                size=self._size,
                busy=self._busy,
                idle=max(0, self._size - self._busy),
                waiting=len(self._line),
                limit=self._limit,
                aside=len(self._aside),
                given_up=len(self._given_up),
            )

    def replace(self, job: T) -> None:
        """Give up the thread that is stuck in `job`; its place is free."""
        with self._changed:
            if job in self._on_callers:
                self._over(job)
            elif job not in self._given_up:
                self._given_up.add(job)
                self._threads -= 1
                self._free_place(job)
                self._hand_out()

    def close(self) -> list[T]:
        """Take no more jobs, let idle threads end; returns the jobs that had not begun, next first."""
        with self._changed:
            self._closed = True
            left = [*self._handed_out, *self._line.order()]
            for job in left:
                if not self._line.remove(job):
                    self._free_place(job)
            self._handed_out.clear()
            self._changed.notify_all()
        return left

    def _check_room(self, actor: str) -> None:
        if len(self._line) >= self._limit:
            raise ResourceLimitError(
                f"The queue is full: waiting already are {count(self._limit, 'runs')}.",
                hint="Wait for some to finish, or raise MCP_QUEUE_SIZE.",
            )
        if 0 < self._actor_queued <= self._line.waiting_of(actor):
            raise ResourceLimitError(
                f"{actor} has {count(self._actor_queued, 'runs')} waiting, as many as one person may.",
                hint="Wait for some to finish, cancel some, or raise MCP_ACTOR_QUEUED.",
            )

    def _free_place(self, job: T) -> None:
        """The job holds no worker any more, nor a place in its lane."""
        self._line.over(job)
        if job in self._aside:
            self._aside.discard(job)
        else:
            self._busy -= 1

    def _over(self, job: T) -> None:
        if job in self._on_callers:
            self._on_callers.discard(job)
            self._free_place(job)
            self._hand_out()

    def _hand_out(self, *, coming: int = 0) -> None:
        """Take jobs out of the line for the workers that are free, and see that there are threads for them.

        Args:
            coming: threads that come for a job by themselves.
        """
        while self._busy < self._size and (job := self._line.take()) is not None:
            self._busy += 1
            self._handed_out.append(job)
        wanted = len(self._handed_out) - coming
        if wanted <= 0:
            return
        # A thread that has been notified counts as idle until it has woken: with two jobs for it, one more is needed.
        missing = wanted - self._idle
        self._changed.notify(wanted)
        while missing > 0 and self._threads < self._size + len(self._aside):
            missing -= 1
            self._threads += 1
            self._serial += 1
            threading.Thread(target=self._loop, name=f"{self._name}-{self._serial}", daemon=True).start()

    def _next(self) -> T | None:
        """The job for a thread that has come for one; None where it is to end."""
        while not self._handed_out:
            if self._closed or self._threads > self._size + len(self._aside):
                self._threads -= 1
                return None
            self._idle += 1
            self._changed.wait()
            self._idle -= 1
        return self._handed_out.popleft()

    def _loop(self) -> None:
        while True:
            with self._changed:
                job = self._next()
            if job is None:
                return
            returned = False
            try:
                self._work(job)
                returned = True
            finally:
                with self._changed:
                    given_up = job in self._given_up
                    self._given_up.discard(job)
                    if not given_up:
                        self._free_place(job)
                        self._threads -= not returned
                        self._hand_out(coming=int(returned))
            if given_up:
                return
