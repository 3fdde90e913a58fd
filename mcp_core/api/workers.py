"""Worker threads over a bounded queue."""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from mcp_core.errors import ResourceLimitError

__all__ = ["WorkerPool"]

T = TypeVar("T", bound=Hashable)


class WorkerPool(Generic[T]):
    """At most `size` jobs at a time, from a queue of at most `limit`, first in, first out.

    Threads are started when there is work for them and live until `close`. A thread stuck in a job is given up by
    `replace`, and ends when its job returns. A caller may lend its own thread. Jobs are hashable.
    """

    def __init__(self, work: Callable[[T], None], *, size: int, limit: int, name: str) -> None:
        self._work = work
        self._size = size
        self._limit = limit
        self._name = name
        self._changed = threading.Condition()
        self._queue: deque[T] = deque()
        self._threads = 0
        self._idle = 0
        self._busy = 0
        self._on_callers: set[T] = set()
        self._given_up: set[T] = set()
        self._serial = 0
        self._closed = False

    def put(self, job: T, *, beyond_limit: bool = False) -> None:
        """Queue a job.

        Args:
            beyond_limit: whether it is taken even if the queue is full.

        Raises:
            ResourceLimitError: the queue is full or closed.
        """
        with self._changed:
            if self._closed:
                raise ResourceLimitError("The engine is shutting down.", hint="Start the app again and repeat the run.")
            if len(self._queue) >= self._limit and not beyond_limit:
                raise ResourceLimitError(
                    f"The queue is full: {self._limit} runs are waiting.",
                    hint="Wait for some to finish, or raise MCP_QUEUE_SIZE.",
                )
            self._queue.append(job)
            self._wake()

    def do(self, job: T) -> bool:
        """Do the job now, on the caller's thread, if that delays nobody; returns whether it was done."""
        with self._changed:
            if self._closed or self._queue or self._busy >= self._size:
                return False
            self._busy += 1
            self._on_callers.add(job)
        try:
            self._work(job)
        finally:
            with self._changed:
                self._over(job)
        return True

    def remove(self, job: T) -> bool:
        """Take a job that has not begun out of the queue; returns whether it was there."""
        with self._changed:
            try:
                self._queue.remove(job)
            except ValueError:
                return False
            return True

    def free(self) -> int:
        """How many more jobs may be queued."""
        with self._changed:
            return 0 if self._closed else max(0, self._limit - len(self._queue))

    def waiting(self) -> Sequence[T]:
        """The queued jobs, next first."""
        with self._changed:
            return tuple(self._queue)

    def replace(self, job: T) -> None:
        """Give up the thread that is stuck in `job`; its place is free."""
        with self._changed:
            if job in self._on_callers:
                self._over(job)
            elif job not in self._given_up:
                self._given_up.add(job)
                self._threads -= 1
                self._busy -= 1
                self._wake()

    def close(self) -> list[T]:
        """Take no more jobs, let idle threads end; returns the jobs that had not begun."""
        with self._changed:
            self._closed = True
            left = list(self._queue)
            self._queue.clear()
            self._changed.notify_all()
        return left

    def _over(self, job: T) -> None:
        if job in self._on_callers:
            self._on_callers.discard(job)
            self._busy -= 1
            self._wake()

    def _wake(self) -> None:
        if not self._queue:
            return
        # A thread that has been notified counts as idle until it has woken: with two jobs for it, one more is needed.
        if len(self._queue) <= self._idle or self._threads >= self._size:
            self._changed.notify()
        else:
            self._threads += 1
            self._serial += 1
            threading.Thread(target=self._loop, name=f"{self._name}-{self._serial}", daemon=True).start()

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not self._queue or self._busy >= self._size:
                    if self._closed:
                        self._threads -= 1
                        return
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                job = self._queue.popleft()
                self._busy += 1
            returned = False
            try:
                self._work(job)
                returned = True
            finally:
                with self._changed:
                    given_up = job in self._given_up
                    self._given_up.discard(job)
                    if not given_up:
                        self._busy -= 1
                        if not returned:
                            self._threads -= 1
                            self._wake()
            if given_up:
                return
