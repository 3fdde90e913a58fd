"""How many requests a provider gets at the same time."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from mcp_core.control import CancelToken

__all__ = ["Gate"]


class Gate:
    """Lets `limit` callers through at once, the others in the order they came. A wait ends when the work should."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._free = limit
        self._waiting: deque[_Place] = deque()

    @property
    def in_use(self) -> int:
        """How many are inside."""
        with self._lock:
            return self.limit - self._free

    @contextmanager
    def enter(
        self, cancel: CancelToken, aside: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> Iterator[None]:
        """Be one of the `limit` inside the block.

        Args:
            aside: makes a block around the wait, if there is one.

        Raises:
            RunCancelledError, RunTimeoutError, RunInterruptedError: the work should stop and was still waiting.
        """
        self._acquire(cancel, aside)
        try:
            yield
        finally:
            self._release()

    def _acquire(self, cancel: CancelToken, aside: Callable[[], AbstractContextManager[None]]) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            place = _Place()
            self._waiting.append(place)
        with aside(), cancel.on_cancel(place.woken.set):
            while not place.woken.wait(cancel.remaining()):
                cancel.cancel("timed_out")
        with self._lock:
            if not place.granted:
                self._waiting.remove(place)
        if cancel.cancelled:
            if place.granted:
                self._release()
            cancel.check()

    def _release(self) -> None:
        with self._lock:
            if self._waiting:
                place = self._waiting.popleft()
                place.granted = True
                place.woken.set()
            else:
                self._free += 1


class _Place:
    """A place in the queue."""

    __slots__ = ("granted", "woken")

    def __init__(self) -> None:
        self.woken = threading.Event()
        self.granted = False
