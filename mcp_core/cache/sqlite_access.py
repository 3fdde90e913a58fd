"""How the SQLite cache reaches its file: bounded waits, transactions, and a new file where the old one is broken."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from mcp_core.cache.sqlite_file import Connections, connect, identity, is_broken, set_aside
from mcp_core.errors import CacheError

__all__ = ["SQLiteAccess"]

T = TypeVar("T")

_LOCK_SECONDS = 0.9
"""Longest wait for other threads in one call; with SQLite's own wait for other processes it stays below 2 s."""

_LOOK_SECONDS = 1.0
"""How often to see whether the file that is open is still the one at the path."""


class SQLiteAccess:
    """Work on the file at `path`, by one thread at a time that reads and one that writes.

    The file is opened on first use and again after a failure, so what was locked, full or read-only heals by itself.
    A file that is no database any more is set aside as `<name>.corrupt-<UTC time>` and a new one begun. A call gives
    up with a `CacheError` within 2 s.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Whoever needs several of these locks takes them in this order.
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._opening = threading.Lock()
        self._open: Connections | None = None
        self._own_changes = 0
        self._next_look = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it holds the file open."""
        return self._open is not None

    @property
    def is_written(self) -> bool:
        """Whether a thread is writing, or waiting for another process that is."""
        return self._writing.locked()

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._reading, self._writing, self._opening:
            found, self._open = self._open, None
            if found is not None:
                found.close()

    def changed(self, changes: int) -> None:
        """Count changes of the transaction under way, so that they can be told from those of others."""
        self._own_changes += changes

    def own_changes(self) -> int:
        """Changes counted since the file was opened."""
        return self._own_changes

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` makes of the file. Raises `CacheError` where it cannot be read."""

        def attempt(give_up: float) -> T:
            with _bounded(self._reading, give_up):
                return work(self._connections(give_up).reader)

        return self._mending(attempt)

    def write(self, work: Callable[[sqlite3.Connection], T], *, transaction: bool = True) -> T:
        """What `work` does to the file, all or nothing of it. Raises `CacheError` where it cannot be written."""

        def attempt(give_up: float) -> T:
            with _bounded(self._writing, give_up):
                db = self._connections(give_up).writer
                return self._transact(db, work) if transaction else work(db)

        return self._mending(attempt)

    def _transact(self, db: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
        own = self._own_changes
        try:
            db.execute("BEGIN IMMEDIATE")
            result = work(db)
            db.execute("COMMIT")
        except BaseException:
            self._own_changes = own
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return result

    def _mending(self, attempt: Callable[[float], T]) -> T:
        """Run `attempt`, and once more on a new file if the one at hand turns out to be broken."""
        now = time.monotonic()
        give_up = now + _LOCK_SECONDS
        try:
            if now >= self._next_look:
                self._next_look = now + _LOOK_SECONDS
                self._follow_path(give_up)
            used = self._open
            file = identity(self.path) if used is None else used.file
            try:
                return attempt(give_up)
            except sqlite3.Error as error:
                if not is_broken(error):
                    raise
                self._replace(used, file, str(error), give_up)
            return attempt(give_up)
        except sqlite3.Error as error:
            raise CacheError(
                f"The cache file {self.path.name} cannot be used: {error}.",
                hint=f"Check that {self.path.parent} is writable, has space left and is not locked by another program.",
            ) from None

    def _connections(self, give_up: float) -> Connections:
        found = self._open
        if found is None:
            with _bounded(self._opening, give_up):
                found = self._open
                if found is None:
                    found = self._open = Connections.open(self.path)
                    self._own_changes = 0
        return found

    def _follow_path(self, give_up: float) -> None:
        """Let go of a file that is no longer at the path: somebody deleted it or set it aside."""
        used = self._open
        if used is not None and identity(self.path) != used.file:
            self._replace(used, None, "", give_up)

    def _replace(self, broken: Connections | None, file: tuple[int, int] | None, why: str, give_up: float) -> None:
        with _bounded(self._reading, give_up), _bounded(self._writing, give_up), _bounded(self._opening, give_up):
            if self._open is broken:
                self._open = None
                if broken is not None:
                    broken.close()
                if file is not None:
                    set_aside(self.path, file, why)

    def survey(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Read on a connection of its own, since what looks at all entries would keep those waiting who want one."""
        self.read(lambda _: None)  # so that the file is there, and whole

        def attempt(_give_up: float) -> T:
            db = connect(self.path)
            try:
                return work(db)
            finally:
                db.close()

        return self._mending(attempt)


@contextmanager
def _bounded(lock: threading.Lock, give_up: float) -> Iterator[None]:
    if not lock.acquire(timeout=max(0.0, give_up - time.monotonic())):
        raise CacheError("The cache file was busy for too long.", hint="Nothing to do: the answer comes without it.")
    try:
        yield
    finally:
        lock.release()
