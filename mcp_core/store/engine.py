"""Connections to the history's database, and what its failures mean."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from loguru import logger
from sqlalchemy import URL, Connection, Engine, PoolProxiedConnection, QueuePool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from mcp_core.errors import ConfigurationError, StoreError
from mcp_core.models import utcnow
from mcp_core.private import reserve
from mcp_core.store.schema import metadata

__all__ = ["BUSY_SECONDS", "Database", "Pool", "connect"]

BUSY_SECONDS = 10.0
"""How long a writer waits for another process to finish writing."""

_CONNECT_SECONDS = 10
_POOL_SECONDS = 30
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SETTING = "MCP_DATABASE_URL"


@dataclass(frozen=True, slots=True)
class Pool:
    """Connections to the database.

    Attributes:
        in_use: at work now; open: those and the ones that rest; most: as many as there may be.
    """

    in_use: int
    open: int
    most: int


class Database:
    """An engine with what the store has to know of it.

    Attributes:
        engine: pool of connections; on SQLite they are in autocommit mode and transactions begin by statement.
        path: the file; None for a server.
        place: where it is, for people: a path or `host:port/database`, never a password.
        before_reading: given a reader's connection first, to see that the reader misses nothing.
    """

    def __init__(self, engine: Engine, *, path: Path | None, place: str) -> None:
        self.engine = engine
        self.path = path
        self.place = place
        self.is_sqlite = path is not None
        dbapi = engine.dialect.loaded_dbapi
        self.before_reading: Callable[[Connection], None] = lambda _: None
        self._closed = False
        self._held: PoolProxiedConnection | None = None
        self.dbapi_error: type[Exception] = dbapi.Error
        # A read is one statement: on a server it needs no transaction, and so two round trips less.
        self._reader = engine if self.is_sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for reading; failures become `StoreError`."""
        if self._closed:
            raise self.closed_error()
        try:
            with self._reader.connect() as connection:
                self.before_reading(connection)
                yield connection
        except (SQLAlchemyError, self.dbapi_error) as error:
            raise self.explain(error, "read") from error

    def pool(self) -> Pool:
        """How many connections there are."""
        pool = cast("QueuePool", self.engine.pool)
        in_use = pool.checkedout()
        return Pool(in_use, in_use + pool.checkedin(), 2 * pool.size())

    def reserve_writer(self) -> None:
        """Take the file's writer its connection while there are some: readers, who may need it, take all there are."""
        if self.is_sqlite:
            self._held = self.engine.raw_connection()

    def begin(self) -> PoolProxiedConnection:
        """A driver's connection inside a new writing transaction, for the one writer of the process.

        It has to be committed or `undo`ne, and then given to `finish`.

        Raises:
            StoreError: the database cannot be reached or is locked.
        """
        if self._closed:
            raise self.closed_error()
        try:
            connection = self._held or self.engine.raw_connection()
            if self.is_sqlite:
                self._held = connection
                connection.cursor().execute("BEGIN IMMEDIATE")
        except (SQLAlchemyError, self.dbapi_error) as error:
            raise self.explain(error, "written") from error
        return connection

    def undo(self, connection: PoolProxiedConnection, error: BaseException) -> None:
        """Roll back after `error`; a connection that is lost leaves the pool."""
        try:
            connection.rollback()
        except self.dbapi_error:
            connection.invalidate(error)
            self._held = None

    def finish(self, connection: PoolProxiedConnection) -> None:
        """Take back what `begin` gave. A file's writer keeps its connection, as nothing can cut it."""
        if connection is not self._held:
            connection.close()

    def closed_error(self) -> StoreError:
        """What using it after `close` gets."""
        return StoreError(f"The history at {self.place} is closed.", hint="Open it again; a closed one cannot be used.")

    def explain(self, error: Exception, verb: str) -> StoreError:
        """What a database failure means to a person; `verb` is what was tried: `read`, `written`, `opened`."""
        cause = getattr(error, "orig", None) or error
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        message = f"The history at {self.place} could not be {verb}: {self._reason(cause)}."
        if not self.is_sqlite:
            hint = f"Check that the server runs and that {_SETTING} names it, its database and its password rightly."
        elif code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            hint = "Another program keeps the file locked; close it and try again."
        elif code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            hint = f"Make the directory writable, or name another by MCP_DATA_DIR or {_SETTING}."
        elif code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            hint = "Free some space on the disk that holds it."
        elif code in _DAMAGED:
            hint = "The file is damaged: move it away, with its -wal and -shm, and restart; a new one is then begun."
        else:
            hint = ""
        return StoreError(message, hint=hint)

    def _reason(self, cause: BaseException) -> str:
        text = (str(cause).strip() or type(cause).__name__).splitlines()[0].rstrip(".")
        password = self.engine.url.password
        return text.replace(str(password), "***") if password else text

    def close(self) -> None:
        """Close every connection; reading or writing afterwards is a `StoreError`."""
        self._closed = True
        if self._held is not None:
            self._held.close()
            self._held = None
        self.engine.dispose()


def connect(url: str, *, data_dir: Path) -> Database:
    """Prepare connections to the history and see that its place can be used; tables are not looked at.

    A damaged SQLite file is set aside under `*.corrupt-<time>`, and a new one begun.

    Raises:
        ConfigurationError: the URL is malformed or of an unknown kind.
        StoreError: the place cannot be used.
    """
    parsed = _parse(url, data_dir)
    return _connect_file(Path(parsed.database or "")) if parsed.drivername == "sqlite" else _connect_server(parsed)


def _parse(url: str, data_dir: Path) -> URL:
    if not url:
        return URL.create("sqlite", database=str(data_dir / "history.db"))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "The address of the history is not a URL.",
            hint="It reads postgresql://user:password@host/database or sqlite:////path/history.db.",
            field=_SETTING,
        ) from None
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        if parsed.database in (None, "", ":memory:") or parsed.query:
            raise ConfigurationError(
                "The history needs a plain SQLite file.",
                hint="Name it as sqlite:////path/history.db, without options.",
                field=_SETTING,
            )
        return parsed.set(drivername="sqlite")
    if kind in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise ConfigurationError(
        f"The history cannot be kept in {kind!r}.", hint="Use SQLite or PostgreSQL.", field=_SETTING
    )


def _connect_server(url: URL) -> Database:
    host = url.host or url.query.get("host") or "localhost"
    place = f"{host}:{url.port or url.query.get('port') or 5432}/{url.database or ''}"
    engine = create_engine(
        url,
        pool_size=5,
        max_overflow=5,
        pool_timeout=_POOL_SECONDS,
        hide_parameters=True,
        pool_pre_ping=True,
        connect_args={"connect_timeout": _CONNECT_SECONDS, "application_name": "model-control-panel"},
    )
    database = Database(engine, path=None, place=place)
    try:
        with engine.connect():
            return database
    except SQLAlchemyError as error:
        engine.dispose()
        raise database.explain(error, "opened") from None


def _connect_file(path: Path) -> Database:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreError(
            f"The directory of the history, {path.parent}, could not be made: {error.strerror}.",
            hint=f"Make its parent writable, or name another by MCP_DATA_DIR or {_SETTING}.",
        ) from None
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        pool_size=8,
        max_overflow=8,
        pool_timeout=_POOL_SECONDS,
        hide_parameters=True,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare)
    database = Database(engine, path=path, place=str(path))
    try:
        if _is_damaged(path):
            _set_aside(path)
        reserve(path)  # SQLite gives its -wal and -shm the permissions of the file
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
    except (SQLAlchemyError, sqlite3.Error) as error:
        engine.dispose()
        raise database.explain(error, "opened") from None
    return database


def _prepare(connection: Any, _record: object) -> None:
    # Transactions begin by statement, so that a writer can ask for the lock at once (BEGIN IMMEDIATE).
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "wal_autocheckpoint = 4000"):
        connection.execute(f"PRAGMA {pragma}").close()


def _is_damaged(path: Path) -> bool:
    if not path.exists():
        return False
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
        try:
            # Reading the schema and the newest rows finds what a cut or overwritten file looks like, at once.
            for table in _tables(connection) & {*metadata.tables, "alembic_version"}:
                connection.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()  # noqa: S608  (a name of our own)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF in _DAMAGED:
                return True
            raise
    return False


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _set_aside(path: Path) -> None:
    # Two processes may find the damage at once: the second must not set the first one's new file aside.
    reserve(Path(f"{path}.lock"))
    with closing(sqlite3.connect(f"{path}.lock", timeout=BUSY_SECONDS, isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        if not _is_damaged(path):
            return
        aside = f"{path}.corrupt-{utcnow():%Y%m%dT%H%M%S%fZ}"
        for suffix in ("-wal", "-shm", ""):
            source = Path(f"{path}{suffix}")
            if source.exists():
                source.replace(f"{aside}{suffix}")
        logger.error("The history {} is damaged; it was set aside as {} and a new one is begun.", path, aside)
