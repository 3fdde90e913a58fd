"""Answers in one SQLite file: they outlive the process, and several processes may share them."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from loguru import logger

from mcp_core.cache.base import Cache, CacheSize, Entry
from mcp_core.cache.codec import decode, encode
from mcp_core.cache.sqlite_file import Connections, identity, is_broken, set_aside
from mcp_core.errors import CacheError

__all__ = ["SQLiteCache"]

T = TypeVar("T")

_LOCK_SECONDS = 0.9
"""Longest wait for other threads in one call; with SQLite's own wait for other processes it stays below 2 s."""

_LOOK_SECONDS = 1.0
"""How often to see whether the file that is open is still the one at the path."""

_TOUCHES_KEPT = 512
"""Uses noted in memory before they are written, so that a hit is not a write."""


class SQLiteCache(Cache):
    """Keeps the most recently used entries of at most `max_bytes` in all in the file `path`. Thread-safe.

    The file is opened on first use and again after a failure, so what was locked, full or read-only heals by itself.
    A file that is no database any more is set aside as `<name>.corrupt-<UTC time>` and a new one begun. A call gives
    up with a `CacheError` within 2 s.

    Attributes:
        evictions: entries this process pushed out.
    """

    name = "sqlite"

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.evictions = 0
        # Whoever needs several of these locks takes them in this order.
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._opening = threading.Lock()
        self._open: Connections | None = None
        self._touched: dict[str, float] = {}
        self._own_changes = 0
        self._foreign_changes = 0
        self._next_look = 0.0

    def get(self, key: str) -> Entry | None:
        """The entry under `key`, fresh or expired; None where there is none."""
        data = self._data(key)
        if data is None:
            return None
        entry = decode(data, key)
        if entry is None:
            logger.warning("Dropped a damaged answer from {}: {}", self.path.name, key)
            self.delete(key)
            return None
        self.touch(key)
        return entry

    def set(self, entry: Entry) -> None:
        """Store `entry` under its key, replacing what was there. One larger than `max_bytes` is not kept."""
        data = encode(entry)
        if len(data) > self.max_bytes:
            logger.debug("An answer of {} bytes is larger than the whole cache, so it is not kept", len(data))
            self.delete(entry.key)
            return
        self._write(lambda db: self._store(db, entry, data))

    def touch(self, key: str) -> None:
        """Note that `key` was used; written with the next change or after many uses."""
        self._touched[key] = time.time()
        if len(self._touched) >= _TOUCHES_KEPT:
            self._flush_quietly()

    def delete(self, key: str) -> bool:
        """Forget `key`; returns whether it was there."""
        return self._write(lambda db: self._forget(db, key))

    def clear(self) -> int:
        """Forget everything and give the space back to the disk; returns how many entries that were."""
        count = self._write(self._forget_all)
        try:
            self._write(_shrink, transaction=False)
        except CacheError as error:
            logger.debug("The emptied file keeps its size for now: {}", error.message)
        return count

    def size(self) -> CacheSize:
        """How much it holds."""
        entries, size = self._read(lambda db: db.execute("SELECT entries, bytes FROM totals").fetchone())
        return CacheSize(entries=entries, size_bytes=size)

    def entries(self, *, limit: int = 1000, offset: int = 0) -> Iterator[Entry]:
        """Entries, newest first, at most `limit` after skipping `offset`. One body at a time is in memory."""
        query = "SELECT key FROM entries ORDER BY created_at DESC, key DESC LIMIT ? OFFSET ?"
        for (key,) in self._read(lambda db: db.execute(query, (limit, offset)).fetchall()):
            data = self._data(key)
            entry = None if data is None else decode(data, key)
            if entry is not None:
                yield entry

    def foreign_changes(self) -> int:
        """A number that differs from before once others (other processes, say) have replaced or deleted entries."""
        # A writer may be waiting for another process; then the last known number has to do.
        if self._writing.acquire(blocking=False):
            self._writing.release()
            self._write(self._note_changes, transaction=False)
        return self._foreign_changes

    def close(self) -> None:
        """Write what is pending and close the file; the next use opens it again."""
        if self._open is not None:
            if self._touched:
                self._flush_quietly()
            with self._reading, self._writing, self._opening:
                found, self._open = self._open, None
                if found is not None:
                    found.close()

    # What happens inside one transaction

    def _store(self, db: sqlite3.Connection, entry: Entry, data: bytes) -> None:
        self._flush(db)
        old = db.execute("SELECT size FROM entries WHERE key = ?", (entry.key,)).fetchone()
        db.execute(
            "INSERT INTO entries (key, size, created_at, used_at, data) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key)"
            " DO UPDATE SET size = excluded.size, created_at = excluded.created_at, used_at = excluded.used_at,"
            " data = excluded.data",
            (entry.key, len(data), entry.created_at, time.time(), data),
        )
        if old is None:
            held = self._count(db, entries=1, size=len(data))
        else:
            held = self._count(db, size=len(data) - old[0], changes=1)
        if held > self.max_bytes:
            self._evict(db, held - self.max_bytes, keep=entry.key)

    def _evict(self, db: sqlite3.Connection, excess: int, *, keep: str) -> None:
        gone: list[tuple[str]] = []
        freed = 0
        for key, size in db.execute("SELECT key, size FROM entries WHERE key != ? ORDER BY used_at", (keep,)):
            gone.append((key,))
            freed += size
            if freed >= excess:
                break
        db.executemany("DELETE FROM entries WHERE key = ?", gone)
        self._count(db, entries=-len(gone), size=-freed)
        self.evictions += len(gone)

    def _forget(self, db: sqlite3.Connection, key: str) -> bool:
        row = db.execute("SELECT size FROM entries WHERE key = ?", (key,)).fetchone()
        if row is None:
            return False
        db.execute("DELETE FROM entries WHERE key = ?", (key,))
        self._count(db, entries=-1, size=-row[0], changes=1)
        return True

    def _forget_all(self, db: sqlite3.Connection) -> int:
        count = db.execute("DELETE FROM entries").rowcount
        db.execute("UPDATE totals SET entries = 0, bytes = 0")
        self._count(db, changes=1)
        self._touched.clear()
        return count

    def _count(self, db: sqlite3.Connection, *, entries: int = 0, size: int = 0, changes: int = 0) -> int:
        self._own_changes += changes
        db.execute(
            "UPDATE totals SET entries = entries + ?, bytes = bytes + ?, changes = changes + ?",
            (entries, size, changes),
        )
        return int(db.execute("SELECT bytes FROM totals").fetchone()[0])

    def _note_changes(self, db: sqlite3.Connection) -> None:
        self._foreign_changes = db.execute("SELECT changes FROM totals").fetchone()[0] - self._own_changes

    def _flush(self, db: sqlite3.Connection) -> None:
        if self._touched:
            touched, self._touched = self._touched, {}
            uses = [(at, key) for key, at in list(touched.items())]
            db.executemany("UPDATE entries SET used_at = ? WHERE key = ?", uses)

    def _flush_quietly(self) -> None:
        try:
            self._write(self._flush)
        except CacheError as error:
            self._touched.clear()
            logger.debug("The last uses of remembered answers were not noted: {}", error.message)

    # How the file is reached

    def _data(self, key: str) -> bytes | None:
        row = self._read(lambda db: db.execute("SELECT data FROM entries WHERE key = ?", (key,)).fetchone())
        return None if row is None else row[0]

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def attempt(give_up: float) -> T:
            with _bounded(self._reading, give_up):
                return work(self._connections(give_up).reader)

        return self._mending(attempt)

    def _write(self, work: Callable[[sqlite3.Connection], T], *, transaction: bool = True) -> T:
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


@contextmanager
def _bounded(lock: threading.Lock, give_up: float) -> Iterator[None]:
    if not lock.acquire(timeout=max(0.0, give_up - time.monotonic())):
        raise CacheError("The cache file was busy for too long.", hint="Nothing to do: the answer comes without it.")
    try:
        yield
    finally:
        lock.release()


def _shrink(db: sqlite3.Connection) -> None:
    db.execute("VACUUM")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
