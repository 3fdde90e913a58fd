"""Bringing a database to the present schema, safely when several processes open it at once."""

from pathlib import Path

from loguru import logger
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from mcp_core.errors import StoreError
from mcp_core.store.engine import Database
from mcp_core.store.schema import SCHEMA_VERSION

__all__ = ["migrate", "schema_version"]

_LOCK = 0x6D63705F73746F72
"""Key of the PostgreSQL advisory lock under which one process migrates."""


def schema_version(connection: Connection) -> str | None:
    """Version of the tables there are; None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def migrate(database: Database) -> None:
    """Create or upgrade the tables; does nothing where they are as this code expects.

    Raises:
        StoreError: the database is newer than this code, is of no version it knows, or cannot be changed.
    """
    try:
        with database.engine.connect() as connection:
            if _is_current(database, schema_version(connection)):
                return
            if database.is_sqlite:
                # Rebuilding a table drops it, which with foreign keys on would take its children along.
                connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.rollback()
            try:
                _upgrade(database, connection)
            finally:
                if database.is_sqlite:
                    connection.exec_driver_sql("PRAGMA foreign_keys = ON")
    except (SQLAlchemyError, database.dbapi_error) as error:
        raise database.explain(error, "brought to the present version") from error


def _upgrade(database: Database, connection: Connection) -> None:
    with connection.begin():
        if database.is_sqlite:
            connection.exec_driver_sql("BEGIN EXCLUSIVE")
        else:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        found = schema_version(connection)
        if _is_current(database, found):
            return
        _run_alembic(database, connection, found)
    logger.info("The history at {} went from version {} to {}.", database.place, found or "none", SCHEMA_VERSION)


def _is_current(database: Database, found: str | None) -> bool:
    if found is not None and found > SCHEMA_VERSION:
        raise StoreError(
            f"The history at {database.place} is of version {found}; this panel understands up to {SCHEMA_VERSION}.",
            hint="Update Model Control Panel, or name another history by MCP_DATABASE_URL.",
        )
    return found == SCHEMA_VERSION


def _run_alembic(database: Database, connection: Connection, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(
            f"The history at {database.place} is of version {found or 'none'!r}, from which there is no way to "
            f"{SCHEMA_VERSION}: {error}.",
            hint="Is it another program's database? Name another history by MCP_DATABASE_URL, or restore a backup.",
        ) from error
