"""The file behind the SQLite cache: how it is opened, what is in it, and how it is set aside when it is broken."""

import os
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from loguru import logger

from mcp_core.errors import CacheError

__all__ = ["BUSY_SECONDS", "Connections", "connect", "identity", "is_broken", "set_aside"]

BUSY_SECONDS = 0.9
"""Longest wait for a lock that another process holds on the file."""

_APPLICATION_ID = 0x4D435045
_SCHEMA_VERSION = 2
_WAL_BYTES = 8_000_000

_SCHEMA = (
    # What lists and filters need stands before the data, so that they need not read those.
    "CREATE TABLE entries (key TEXT PRIMARY KEY, size INTEGER NOT NULL, created_at REAL NOT NULL,"
    " used_at REAL NOT NULL, hits INTEGER NOT NULL, pinned INTEGER NOT NULL, expires_at REAL, latency REAL NOT NULL,"
    " cost TEXT, run_id TEXT NOT NULL, content_type TEXT NOT NULL, type TEXT NOT NULL, provider TEXT NOT NULL,"
    " model TEXT NOT NULL, task TEXT NOT NULL, data BLOB NOT NULL)",
    "CREATE INDEX entries_by_use ON entries (used_at)",
    "CREATE INDEX entries_by_age ON entries (created_at)",
    "CREATE INDEX entries_pinned ON entries (created_at) WHERE pinned = 1",
    # One row, kept in the same transaction as the entries: counting a million of them would take seconds.
    "CREATE TABLE totals (entries INTEGER NOT NULL, bytes INTEGER NOT NULL, changes INTEGER NOT NULL)",
    "INSERT INTO totals VALUES (0, 0, 0)",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_SCHEMA_VERSION}",
)


@dataclass(frozen=True, slots=True)
class Connections:
    """One connection to read and one to write, so that readers do not wait for writers; which file they are of."""

    reader: sqlite3.Connection
    writer: sqlite3.Connection
    file: tuple[int, int]

    @classmethod
    def open(cls, path: Path) -> "Connections":
        """Open `path`, which is created readable by its owner alone if it is not there.

        Raises:
            CacheError: the directory or the file cannot be written.
            sqlite3.Error: the file is locked, broken or no database of ours.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            status = os.fstat(handle)
            os.close(handle)
        except OSError as error:
            raise CacheError(
                f"The cache file {path.name} cannot be opened: {error.strerror}.",
                hint=f"Make {path.parent} a directory that the panel may write to.",
            ) from None
        writer = connect(path)
        try:
            _prepare(writer)
            reader = connect(path)
        except BaseException:
            writer.close()
            raise
        return cls(reader, writer, (status.st_dev, status.st_ino))

    def close(self) -> None:
        """Close both; nothing may be using them."""
        self.reader.close()
        self.writer.close()


def is_broken(error: sqlite3.Error) -> bool:
    """Whether `error` says that the file is damaged, is no database of ours, or is no longer the one at its path."""
    code = getattr(error, "sqlite_errorcode", 0)
    moved = code == sqlite3.SQLITE_READONLY_DBMOVED
    return moved or code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or isinstance(error, _ForeignFile)


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file at `path`; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def set_aside(path: Path, file: tuple[int, int], why: str) -> None:
    """Move the broken file at `path` out of the way, unless somebody else has done so.

    Args:
        file: device and inode that were found broken.
        why: what was wrong, for the log.

    Raises:
        CacheError: it cannot be moved.
    """
    if identity(path) != file:
        return
    try:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        aside = path.with_name(f"{path.name}.corrupt-{stamp}")
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
    except OSError as error:
        raise CacheError(
            f"The cache file {path.name} is broken and cannot be set aside: {error.strerror}.",
            hint=f"Delete it; nothing but remembered answers is in it. It is in {path.parent}.",
        ) from None
    logger.error("The cache file was broken ({}); it is set aside as {} and a new one is begun", why, aside.name)


class _ForeignFile(sqlite3.DatabaseError):
    """A good database, but one that something else has made."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection of its own to the file at `path`, which any thread may use; `sqlite3.Error` where it fails."""
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        # A power cut may lose the last answers, never the file: they can be asked for again.
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    _use_wal(db)
    db.execute("BEGIN IMMEDIATE")
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        application = db.execute("PRAGMA application_id").fetchone()[0]
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        if tables and application != _APPLICATION_ID:
            raise _ForeignFile("it is a database of something else")
        if version != _SCHEMA_VERSION:
            for table in tables:
                db.execute(f'DROP TABLE "{table}"')
            for statement in _SCHEMA:
                db.execute(statement)
            if tables:
                logger.info("The cache file was of version {}; it starts empty as version {}", version, _SCHEMA_VERSION)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _use_wal(db: sqlite3.Connection) -> None:
    """Switch to the write-ahead log. SQLite does not wait by itself where another process switches too."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                logger.debug("The file system of the cache has no write-ahead log; the journal mode is {}", mode)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up:
                raise
        time.sleep(0.01)
