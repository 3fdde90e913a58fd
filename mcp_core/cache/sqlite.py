"""Answers in one SQLite file: they outlive the process, and several processes may share them."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from loguru import logger

from mcp_core.cache.base import EVERYTHING, Cache, CacheSize, Entry, EntryFilter, Item, Order
from mcp_core.cache.cipher import Cipher
from mcp_core.cache.codec import decode, encode, is_sealed
from mcp_core.cache.ledger import LABELS
from mcp_core.cache.locks import KeyLocks
from mcp_core.cache.sqlite_access import SQLiteAccess
from mcp_core.cache.sqlite_items import ONE_ITEM, STORE, counting, deleting, item_of, listing
from mcp_core.errors import CacheError

__all__ = ["SQLiteCache"]

_UNUSED = (0.0, 0)
_TOUCHES_KEPT = 512
"""Uses noted in memory before they are written, so that a hit is not a write."""


class SQLiteCache(Cache):
    """Keeps the most recently used entries of at most `max_bytes` in all, and the pinned ones, in the file `path`.

    The file is opened on first use and again after a failure, so what was locked, full or read-only heals by itself.
    A file that is no database any more is set aside as `<name>.corrupt-<UTC time>` and a new one begun. A call gives
    up with a `CacheError` within 2 s. Thread-safe.

    Args:
        cipher: encrypts what is stored, where there is one.

    Attributes:
        evictions: entries this process pushed out.
    """

    name = "sqlite"

    def __init__(self, path: Path, max_bytes: int, *, cipher: Cipher | None = None) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._cipher = cipher
        self._locks = KeyLocks(path.with_name(f"{path.name}.lock"))
        self.evictions = 0
        self._file = SQLiteAccess(path)
        self._touched: dict[str, tuple[float, int]] = {}
        self._foreign_changes = 0

    def get(self, key: str) -> Entry | None:
        """The entry under `key`, fresh or expired; None where there is none."""
        entry = self.peek(key)
        if entry is not None:
            self.touch(key)
        return entry

    def peek(self, key: str) -> Entry | None:
        """The entry under `key`, without counting as a use."""
        data = self._data(key)
        if data is None:
            return None
        entry = decode(data, key, self._cipher)
        if entry is None and not is_sealed(data, self._cipher):
            logger.warning("Dropped a damaged answer from {}: {}", self.path.name, key)
            self.delete(key)
        return entry

    def set(self, entry: Entry) -> None:
        """Store `entry` under its key, replacing what was there. One larger than `max_bytes` is not kept."""
        data = encode(entry, self._cipher)
        if len(data) > self.max_bytes:
            logger.debug("An answer of {} bytes is larger than the whole cache, so it is not kept", len(data))
            self.delete(entry.key)
            return
        for labels, size in self._file.write(lambda db: self._store(db, entry, data)):
            self.pushed_out(labels, size)

    def touch(self, key: str) -> None:
        """Note that `key` was used; written with the next change or after many uses."""
        self._touched[key] = (time.time(), self._touched.get(key, _UNUSED)[1] + 1)
        if len(self._touched) >= _TOUCHES_KEPT:
            self._flush_quietly()

    def delete(self, key: str) -> bool:
        """Forget `key`; returns whether it was there."""
        return self._file.write(lambda db: self._forget(db, key))

    def clear(self) -> int:
        """Forget everything and give the space back to the disk; returns how many entries that were."""
        count = self._file.write(self._forget_all)
        try:
            self._file.write(_shrink, transaction=False)
        except CacheError as error:
            logger.debug("The emptied file keeps its size for now: {}", error.message)
        return count

    def size(self) -> CacheSize:
        """How much it holds."""
        entries, size = self._file.read(lambda db: db.execute("SELECT entries, bytes FROM totals").fetchone())
        return CacheSize(entries=entries, size_bytes=size)

    def entries(self, *, limit: int = 1000, offset: int = 0) -> Iterator[Entry]:
        """Entries, newest first, at most `limit` after skipping `offset`. One body at a time is in memory."""
        query = "SELECT key FROM entries ORDER BY created_at DESC, key DESC LIMIT ? OFFSET ?"
        for (key,) in self._file.read(lambda db: db.execute(query, (limit, offset)).fetchall()):
            data = self._data(key)
            entry = None if data is None else decode(data, key, self._cipher)
            if entry is not None:
                yield entry

    def items(self, wanted: EntryFilter = EVERYTHING) -> Iterator[Item]:
        """All entries that are meant, in no particular order."""
        return iter(self._listed(wanted, "newest", -1, 0))

    def find(
        self, wanted: EntryFilter = EVERYTHING, *, order: Order = "newest", limit: int = 50, offset: int = 0
    ) -> list[Item]:
        """Entries that are meant, in that order, at most `limit` after skipping `offset`."""
        if wanted.text:
            return self._listed(wanted, order, -1, 0)[offset : offset + max(0, limit)]
        return self._listed(wanted, order, max(0, limit), offset)

    def item(self, key: str) -> Item | None:
        """What a list shows of one entry; None where there is none."""
        self._flush_quietly()
        row = self._file.survey(lambda db: db.execute(ONE_ITEM, (key,)).fetchone())
        return None if row is None else item_of(row)

    def count(self, wanted: EntryFilter = EVERYTHING) -> CacheSize:
        """How many entries are meant, and their size."""
        if wanted.text:
            return super().count(wanted)
        self._flush_quietly()
        return CacheSize(*self._file.survey(lambda db: db.execute(*counting(wanted)).fetchone()))

    def forget(self, wanted: EntryFilter) -> int:
        """Forget all entries that are meant, pinned ones unless `wanted.pinned` is False; returns how many."""
        if wanted.text:
            return super().forget(wanted)
        return self._file.write(lambda db: self._forget_some(db, wanted))

    def pin(self, key: str, *, pinned: bool = True) -> bool:
        """Keep an entry whatever comes, or no longer; returns whether it is there."""
        statement = "UPDATE entries SET pinned = ? WHERE key = ?"
        return bool(self._file.write(lambda db: db.execute(statement, (int(pinned), key)).rowcount))

    def pins(self) -> int:
        """How many entries are pinned."""
        return self.count(EntryFilter(pinned=True)).entries

    def lock(self, key: str) -> AbstractContextManager[Callable[[], bool]]:
        """A block whose value tries to be the only one of all processes that makes `key`; see `Cache.lock`."""
        return self._locks.lock(key)

    def flush(self) -> None:
        """Write down the hits and uses that were counted in memory."""
        self._flush_quietly()

    def foreign_changes(self) -> int:
        """A number that differs from before once others (other processes, say) have replaced or deleted entries."""
        # A writer may be waiting for another process; then the last known number has to do.
        if not self._file.is_written:
            self._file.write(self._note_changes, transaction=False)
        return self._foreign_changes

    def close(self) -> None:
        """Write what is pending and close the file; the next use opens it again."""
        if self._file.is_open:
            self._flush_quietly()
            self._file.close()

    # What happens inside one transaction

    def _store(self, db: sqlite3.Connection, entry: Entry, data: bytes) -> list[tuple[dict[str, str], int]]:
        self._flush(db)
        old = db.execute("SELECT size FROM entries WHERE key = ?", (entry.key,)).fetchone()
        db.execute(
            STORE,
            (
                entry.key,
                len(data),
                entry.created_at,
                time.time(),
                entry.expires_at,
                entry.latency_seconds,
                None if entry.cost_usd is None else str(entry.cost_usd),
                entry.run_id,
                entry.content_type,
                *(entry.labels.get(name, "") for name in LABELS),
                data,
            ),
        )
        if old is None:
            held = self._count(db, entries=1, size=len(data))
        else:
            held = self._count(db, size=len(data) - old[0], changes=1)
        return self._evict(db, held - self.max_bytes, newest=entry.key) if held > self.max_bytes else []

    def _evict(self, db: sqlite3.Connection, excess: int, *, newest: str) -> list[tuple[dict[str, str], int]]:
        gone: list[tuple[dict[str, str], int]] = []
        keys: list[tuple[str]] = []
        freed = 0
        query = (
            "SELECT key, size, type, provider, model, task FROM entries WHERE pinned = 0 AND key != ? ORDER BY used_at"
        )
        for key, size, *labels in db.execute(query, (newest,)):
            keys.append((key,))
            gone.append((dict(zip(LABELS, labels, strict=True)), size))
            freed += size
            if freed >= excess:
                break
        db.executemany("DELETE FROM entries WHERE key = ?", keys)
        if self._count(db, entries=-len(gone), size=-freed) > self.max_bytes:
            # Pinned ones leave no room for it, unless it is one of them.
            unpinned = db.execute("SELECT 1 FROM entries WHERE key = ? AND pinned = 0", (newest,)).fetchone()
            if unpinned is not None:
                self._forget(db, newest)
        return gone

    def _forget(self, db: sqlite3.Connection, key: str) -> bool:
        row = db.execute("SELECT size FROM entries WHERE key = ?", (key,)).fetchone()
        if row is None:
            return False
        db.execute("DELETE FROM entries WHERE key = ?", (key,))
        self._count(db, entries=-1, size=-row[0], changes=1)
        return True

    def _forget_some(self, db: sqlite3.Connection, wanted: EntryFilter) -> int:
        self._flush(db)
        count, size = db.execute(*counting(wanted)).fetchone()
        if count:
            db.execute(*deleting(wanted))
            self._count(db, entries=-count, size=-size, changes=1)
        return int(count)

    def _forget_all(self, db: sqlite3.Connection) -> int:
        count = db.execute("DELETE FROM entries").rowcount
        db.execute("UPDATE totals SET entries = 0, bytes = 0")
        self._count(db, changes=1)
        self._touched.clear()
        return count

    def _count(self, db: sqlite3.Connection, *, entries: int = 0, size: int = 0, changes: int = 0) -> int:
        self._file.changed(changes)
        changed = db.execute(
            "UPDATE totals SET entries = entries + ?, bytes = bytes + ?, changes = changes + ? RETURNING bytes",
            (entries, size, changes),
        )
        return int(changed.fetchone()[0])

    def _note_changes(self, db: sqlite3.Connection) -> None:
        self._foreign_changes = db.execute("SELECT changes FROM totals").fetchone()[0] - self._file.own_changes()

    def _flush(self, db: sqlite3.Connection) -> None:
        if self._touched:
            touched, self._touched = self._touched, {}
            uses = [(at, count, key) for key, (at, count) in list(touched.items())]
            db.executemany("UPDATE entries SET used_at = ?, hits = hits + ? WHERE key = ?", uses)

    def _flush_quietly(self) -> None:
        if not self._touched:
            return
        try:
            self._file.write(self._flush)
        except CacheError as error:
            self._touched.clear()
            logger.debug("The last uses of remembered answers were not noted: {}", error.message)

    # How the file is reached

    def _listed(self, wanted: EntryFilter, order: Order, limit: int, offset: int) -> list[Item]:
        self._flush_quietly()
        rows = self._file.survey(lambda db: db.execute(*listing(wanted, order, limit, offset)).fetchall())
        items = [item_of(row) for row in rows]
        if not wanted.text:
            return items
        return [item for item in items if self.is_meant(item, wanted, partial(self.peek, item.key))]

    def _data(self, key: str) -> bytes | None:
        row = self._file.read(lambda db: db.execute("SELECT data FROM entries WHERE key = ?", (key,)).fetchone())
        return None if row is None else row[0]


def _shrink(db: sqlite3.Connection) -> None:
    db.execute("VACUUM")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
