"""What becomes of a bad address, a bad place and a bad file; and what nobody may read in an error."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from loguru import logger
from sqlalchemy import create_engine, make_url, text

from mcp_core.errors import ConfigurationError, StoreError
from mcp_core.store import Store, open_store
from mcp_core.store.engine import connect
from tests.store.backends import fresh_database
from tests.store.samples import finished, running

pytestmark = pytest.mark.integration

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def said() -> Iterator[list[str]]:
    """Lines logged during the test, as `LEVEL message`."""
    lines: list[str] = []
    logger.enable("mcp_core")
    sink = logger.add(lambda line: lines.append(str(line).strip()), format="{level} {message}", level="DEBUG")
    yield lines
    logger.remove(sink)
    logger.disable("mcp_core")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("history.db", "not a URL"),
        ("postgresql://host:notaport/x", "not a URL"),
        ("mysql://root:hunter2@host/x", "mysql"),
        ("sqlite://", "plain SQLite file"),
        ("sqlite:///:memory:", "plain SQLite file"),
        ("sqlite:///x.db?mode=ro", "plain SQLite file"),
    ],
)
def test_a_bad_address_is_named(tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        open_store(url, data_dir=tmp_path)
    assert caught.value.field == "MCP_DATABASE_URL"
    assert "hunter2" not in str(caught.value)


def test_an_empty_address_is_a_file_in_the_data_directory(tmp_path: Path) -> None:
    with open_store("", data_dir=tmp_path / "deep" / "data") as store:
        assert store.info()["place"] == str(tmp_path / "deep" / "data" / "history.db")
        with closing(sqlite3.connect(tmp_path / "deep" / "data" / "history.db")) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_history_is_its_owners_alone_whatever_the_directory(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "history.db").write_bytes(b"no database at all" * 100)
    (tmp_path / "history.db").chmod(0o600)
    with open_store("", data_dir=tmp_path) as store:
        store.save_run(finished())
        modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.iterdir()}
    assert {"history.db", "history.db-wal", "history.db-shm", "history.db.lock"} <= modes.keys()
    assert set(modes.values()) == {"0o600"}


def test_connections_are_set_up(tmp_path: Path) -> None:
    database = connect("", data_dir=tmp_path)
    with database.reading() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    database.close()
    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 10_000}


@pytest.mark.parametrize(
    "url", ["postgresql://ann:hunter2@127.0.0.1:1/panel", "postgres://ann:hunter2@127.0.0.1:1/panel"]
)
def test_an_unreachable_server_is_named_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1/panel") as caught:
        open_store(url, data_dir=tmp_path)
    assert "MCP_DATABASE_URL" in caught.value.hint
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"


def test_a_wrong_database_is_named(tmp_path: Path) -> None:
    for url in fresh_database():
        missing = make_url(url).set(database="none_such", password="hunter2hunter2")
        with pytest.raises(StoreError, match="none_such") as caught:
            open_store(missing.render_as_string(hide_password=False), data_dir=tmp_path)
        assert "hunter2" not in str(caught.value)


def test_a_cut_connection_fails_one_write_at_most(tmp_path: Path) -> None:
    for url in fresh_database():
        with open_store(url, data_dir=tmp_path) as store:
            run = finished()
            assert store.save_run(run) is True
            engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
            with engine.connect() as other:
                ours = "datname = current_database() AND pid <> pg_backend_pid()"
                other.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}"))
            engine.dispose()
            assert store.save_run(finished()) is True
            assert store.get_run(run.id) == run


def test_a_connection_cut_in_mid_transaction_leaves_the_pool(tmp_path: Path) -> None:
    for url in fresh_database():
        database = connect(url, data_dir=tmp_path)
        connection = database.begin()
        with pytest.raises(database.dbapi_error) as caught:
            connection.cursor().execute("SELECT pg_terminate_backend(pg_backend_pid())")
        database.undo(connection, caught.value)
        database.finish(connection)
        again = database.begin()
        again.cursor().execute("SELECT 1")
        database.undo(again, caught.value)
        database.finish(again)
        database.close()


@pytest.mark.parametrize("damage", ["other", "cut", "overwritten"])
def test_a_damaged_file_is_set_aside(tmp_path: Path, said: list[str], damage: str) -> None:
    path = tmp_path / "history.db"
    if damage == "other":
        path.write_bytes(b"this is no database " * 500)
    else:
        with open_store("", data_dir=tmp_path) as store:
            for _ in range(50):
                store.save_run(finished())
        content = path.read_bytes()
        whole = content[:4096] if damage == "cut" else content[:4096] + b"\x99" * (len(content) - 4096)
        path.write_bytes(whole)
    spoiled = path.read_bytes()
    with open_store("", data_dir=tmp_path) as store:
        assert store.count() == 0
        assert store.save_run(finished()) is True
    aside = list(tmp_path.glob("history.db.corrupt-*Z"))
    assert [found.read_bytes() for found in aside] == [spoiled]
    assert [line for line in said if line.startswith("ERROR")] == [
        f"ERROR The history {path} is damaged; it was set aside as {aside[0]} and a new one is begun."
    ]
    with open_store("", data_dir=tmp_path) as store:
        assert store.count() == 1


def test_two_who_find_the_damage_set_one_file_aside(tmp_path: Path) -> None:
    (tmp_path / "history.db").write_bytes(b"this is no database " * 500)
    start = threading.Barrier(4)
    stores: list[Store] = []

    def work() -> None:
        start.wait()
        stores.append(open_store("", data_dir=tmp_path))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        assert store.save_run(finished()) is True
    assert stores[0].count() == 4
    for store in stores:
        store.close()
    assert len(list(tmp_path.glob("history.db.corrupt-*Z"))) == 1


def test_damage_found_later_says_what_to_do(tmp_path: Path) -> None:
    with open_store("", data_dir=tmp_path) as store:
        for _ in range(200):
            store.save_run(finished(), wait=False)
        store.flush()
    path = tmp_path / "history.db"
    with open_store("", data_dir=tmp_path) as store:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] + b"\x99" * (len(content) // 2))
        with pytest.raises(StoreError) as caught:
            list(store.iter_runs())
        assert "move it away" in caught.value.hint


def test_a_full_disk_says_so_and_recovers(tmp_path: Path) -> None:
    with open_store("", data_dir=tmp_path) as store:
        assert store.save_run(finished()) is True
        database = store._database
        # SQLite's own limit is refused as a full disk is.
        writing = database.begin()
        pages = writing.cursor().execute("PRAGMA page_count").fetchone()[0]
        writing.cursor().execute(f"PRAGMA max_page_count = {pages}")
        writing.rollback()
        large = running(variables={"text": "x" * 100_000})
        with pytest.raises(StoreError, match="full") as caught:
            store.save_run(large)
        assert "Free some space" in caught.value.hint
        writing.cursor().execute("PRAGMA max_page_count = 1000000")
        assert store.save_run(large) is True
        assert store.count() == 2


def test_a_locked_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    monkeypatch.setattr("mcp_core.store.engine.BUSY_SECONDS", 0.05)
    with open_store("", data_dir=tmp_path) as store:
        with closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="locked") as caught:
                store.save_run(running())
            assert "close it" in caught.value.hint
            store.save_run(running(), wait=False)
            store.flush()
        assert any(line.startswith("WARNING A deferred write") for line in said)
        assert store.save_run(running()) is True


_AS_SOMEBODY_ELSE = """
import os, sys
from pathlib import Path
from tempfile import TemporaryDirectory
import sqlalchemy.dialects.sqlite
from mcp_core.errors import StoreError
from mcp_core.store.facade import Store

if os.geteuid() == 0:
    # Root may write anywhere, so nobody tries; all imports are done, as nobody may not read where Python is.
    os.setgid(65534)
    os.setuid(65534)
for directory in Path(sys.argv[1]), Path(sys.argv[1]) / "below":
    try:
        Store("", data_dir=directory)
    except StoreError as error:
        print(error.message, "->", error.hint)
"""


@pytest.fixture
def locked_place() -> Iterator[Path]:
    """A directory with a history, both read-only."""
    with TemporaryDirectory(prefix="mcp-locked-") as name:
        place = Path(name)
        with open_store("", data_dir=place):
            pass
        (place / "history.db").chmod(0o444)
        place.chmod(0o555)
        yield place
        place.chmod(0o755)


def test_a_read_only_place_says_what_to_do(locked_place: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", _AS_SOMEBODY_ELSE, str(locked_place)],
        capture_output=True,
        text=True,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        timeout=60,
        check=True,
    )
    first, second = answer.stdout.splitlines()
    assert "history.db could not be opened" in first
    assert "Make the directory writable" in first
    assert "below, could not be made: Permission denied" in second
    assert "MCP_DATA_DIR" in second
