import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_core.cache import sqlite_access, sqlite_file
from mcp_core.cache.sqlite import SQLiteCache
from mcp_core.errors import CacheError
from tests.cache.helpers import entry, key_of, noise

pytestmark = [pytest.mark.cache, pytest.mark.integration]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.sqlite"


@pytest.fixture
def cache(path: Path) -> Iterator[SQLiteCache]:
    made = SQLiteCache(path, 10_000_000)
    yield made
    made.close()


@pytest.fixture
def other(path: Path, cache: SQLiteCache) -> Iterator[sqlite3.Connection]:
    """A connection of somebody else to the same file."""
    cache.set(entry("first"))
    db = sqlite3.connect(path, isolation_level=None)
    yield db
    db.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_access, "_LOCK_SECONDS", 0.1)
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.1)


def aside(path: Path) -> list[Path]:
    return sorted(path.parent.glob("cache.sqlite.corrupt-*"))


def test_the_file_is_for_its_owner_alone(cache: SQLiteCache, path: Path) -> None:
    cache.set(entry())
    assert path.stat().st_mode & 0o077 == 0
    assert Path(f"{path}-wal").stat().st_mode & 0o077 == 0


def test_a_hit_is_not_a_write(cache: SQLiteCache, other: sqlite3.Connection) -> None:
    before = other.execute("PRAGMA data_version").fetchone()
    for _ in range(100):
        assert cache.get(key_of("first")) is not None
    assert other.execute("PRAGMA data_version").fetchone() == before


def test_many_uses_are_written_in_one_go(cache: SQLiteCache, other: sqlite3.Connection) -> None:
    (before,) = other.execute("SELECT used_at FROM entries").fetchone()
    cache.get(key_of("first"))
    for number in range(600):
        cache.touch(key_of(number))
    (after,) = other.execute("SELECT used_at FROM entries").fetchone()
    assert after > before


def test_uses_are_written_when_it_closes(cache: SQLiteCache, other: sqlite3.Connection) -> None:
    (before,) = other.execute("SELECT used_at FROM entries").fetchone()
    cache.touch(key_of("first"))
    cache.close()
    (after,) = other.execute("SELECT used_at FROM entries").fetchone()
    assert after > before


def test_clear_leaves_no_text_in_the_file(cache: SQLiteCache, path: Path) -> None:
    for number in range(50):
        cache.set(entry(number, b"confidential" + noise(20_000, number)))
    assert path.stat().st_size + Path(f"{path}-wal").stat().st_size > 1_000_000
    cache.clear()
    left = path.read_bytes() + Path(f"{path}-wal").read_bytes()
    assert len(left) < 100_000
    assert b"confidential" not in left


@pytest.mark.parametrize("rubbish", [b"this is no database" * 500, noise(8192), b"SQLite format 3\x00" + noise(9000)])
def test_a_broken_file_is_set_aside_and_a_new_one_begun(path: Path, said: list[str], rubbish: bytes) -> None:
    path.write_bytes(rubbish)
    cache = SQLiteCache(path, 1_000_000)
    assert cache.get(key_of("a")) is None
    cache.set(entry("a"))
    assert cache.get(key_of("a")) == entry("a")
    cache.close()
    (kept,) = aside(path)
    assert kept.read_bytes() == rubbish
    assert [line for line in said if line.startswith("ERROR The cache file was broken")]


def test_a_file_that_breaks_while_open_is_set_aside(cache: SQLiteCache, path: Path, said: list[str]) -> None:
    for number in range(100):
        cache.set(entry(number, noise(3000, number)))
    cache.close()
    cache.get(key_of(0))
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(noise(path.stat().st_size - 4096))
    assert cache.get(key_of(50)) is None
    cache.set(entry("after"))
    assert cache.get(key_of("after")) == entry("after")
    assert len(aside(path)) == 1
    assert len([line for line in said if line.startswith("ERROR")]) == 1


def test_a_file_of_another_program_is_kept_as_it_is(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE entries (theirs TEXT)")
        db.execute("INSERT INTO entries VALUES ('precious')")
    db.close()
    cache = SQLiteCache(path, 1_000_000)
    cache.set(entry())
    cache.close()
    (kept,) = aside(path)
    db = sqlite3.connect(kept)
    assert db.execute("SELECT theirs FROM entries").fetchone() == ("precious",)
    db.close()


def test_a_file_of_another_version_starts_empty(path: Path, said: list[str]) -> None:
    first = SQLiteCache(path, 1_000_000)
    first.set(entry())
    first.close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    cache = SQLiteCache(path, 1_000_000)
    assert cache.get(key_of("a")) is None
    cache.set(entry())
    assert cache.size().entries == 1
    cache.close()
    assert aside(path) == []
    assert any("version 99" in line for line in said)


def test_a_file_another_process_replaced_is_left_alone(
    cache: SQLiteCache, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_access, "_LOOK_SECONDS", 0.0)
    cache.set(entry("old"))
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()
    newer = SQLiteCache(path, 1_000_000)
    newer.set(entry("new"))
    cache.set(entry("mine"))
    assert cache.get(key_of("new")) == entry("new")
    assert newer.get(key_of("mine")) == entry("mine")
    assert aside(path) == []
    newer.close()


@pytest.mark.usefixtures("impatient")
def test_a_locked_file_is_a_cache_error_and_heals(cache: SQLiteCache, other: sqlite3.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CacheError, match="locked"):
        cache.set(entry("second"))
    assert cache.get(key_of("first")) == entry("first")
    other.execute("ROLLBACK")
    cache.set(entry("second"))
    assert cache.get(key_of("second")) == entry("second")


@pytest.mark.usefixtures("impatient")
def test_a_file_locked_before_it_was_opened(path: Path) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("BEGIN EXCLUSIVE")
    cache = SQLiteCache(path, 1_000_000)
    with pytest.raises(CacheError):
        cache.get(key_of("a"))
    db.execute("ROLLBACK")
    db.close()
    assert cache.get(key_of("a")) is None
    cache.close()


@pytest.fixture
def reader(path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody reading a new file, so that nobody may switch it to the write-ahead log."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA user_version = 0")
    db.execute("CREATE TABLE t (x)")
    db.execute("DROP TABLE t")
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    yield db
    db.close()


def test_opening_waits_for_others_to_finish(path: Path, reader: sqlite3.Connection) -> None:
    release = threading.Timer(0.1, reader.execute, ["COMMIT"])
    release.start()
    cache = SQLiteCache(path, 1_000_000)
    cache.set(entry())
    release.join()
    assert cache.get(key_of("a")) == entry()
    cache.close()


@pytest.mark.usefixtures("impatient", "reader")
def test_opening_gives_up_in_time(path: Path) -> None:
    cache = SQLiteCache(path, 1_000_000)
    with pytest.raises(CacheError, match="locked"):
        cache.set(entry())
    cache.close()


@pytest.mark.usefixtures("impatient")
def test_an_emptied_file_that_is_being_read_keeps_its_size_for_now(cache: SQLiteCache, path: Path) -> None:
    for number in range(20):
        cache.set(entry(number, noise(20_000, number)))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM entries").fetchone()
    assert cache.clear() == 20
    assert cache.size().entries == 0
    other.close()
    assert cache.clear() == 0
    assert path.stat().st_size < 100_000


@pytest.mark.usefixtures("impatient")
def test_uses_noted_while_locked_cost_nothing(cache: SQLiteCache, other: sqlite3.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")
    for number in range(600):
        cache.touch(key_of(number))
    assert cache.get(key_of("first")) is not None
    cache.close()
    other.execute("ROLLBACK")


def test_all_threads_give_up_in_time_on_a_locked_file(cache: SQLiteCache, other: sqlite3.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")
    took: list[float] = []

    def work(number: int) -> None:
        started = time.monotonic()
        with pytest.raises(CacheError):
            cache.set(entry(number))
        took.append(time.monotonic() - started)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.execute("ROLLBACK")
    # The limit of the contract is 2 s for each. One after the other they would take 80 s, however quick the machine.
    assert len(took) == 40
    assert max(took) < 40


def test_a_directory_that_cannot_be_made_is_a_cache_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = SQLiteCache(tmp_path / "file" / "cache.sqlite", 1_000_000)
    with pytest.raises(CacheError, match="cannot be opened") as caught:
        cache.get(key_of("a"))
    assert "writ" in caught.value.hint
    with pytest.raises(CacheError):
        cache.size()
    cache.close()


CHILD = """
import os, resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from mcp_core.cache import sqlite_file
from mcp_core.cache.sqlite import SQLiteCache
from mcp_core.errors import CacheError
from tests.cache.helpers import entry, key_of, noise
cache = SQLiteCache(Path(sys.argv[1]), 100_000_000)
"""


def run_child(path: Path, work: str) -> str:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CHILD + work, str(path), str(root)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_full_disk_is_a_cache_error_and_loses_nothing(path: Path) -> None:
    told = run_child(
        path,
        """
cache.set(entry("first"))
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
try:
    for number in range(100):
        cache.set(entry(number, noise(20_000, number)))
except CacheError as error:
    print(number > 3, error.hint)
print(cache.get(key_of("first")) == entry("first"), cache.get(key_of(1)) is not None)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
cache.set(entry("again"))
print(cache.get(key_of("again")) == entry("again"), len(list(cache.entries())) == cache.size().entries)
cache.close()
""",
    ).splitlines()
    assert told[0].startswith("True Check that")
    assert "space" in told[0]
    assert told[1:] == ["True True", "True True"]
    assert aside(path) == []


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that everybody may look into and its owner alone may change."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory
        directory.chmod(0o755)


# For root no file is read-only, so root becomes somebody else.
UNPRIVILEGED = """
path = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setuid(65534)
try:
    cache.get(key_of("a"))
except CacheError as error:
    print(error)
"""


def test_a_file_that_may_not_be_written_is_a_cache_error(public: Path) -> None:
    path = public / "cache.sqlite"
    cache = SQLiteCache(path, 1_000_000)
    cache.set(entry())
    cache.close()
    path.chmod(0o444)
    assert "cannot be opened: Permission denied" in run_child(path, UNPRIVILEGED)


def test_a_broken_file_that_cannot_be_moved_is_a_cache_error(public: Path) -> None:
    path = public / "cache.sqlite"
    path.write_bytes(noise(8192))
    path.chmod(0o666)
    public.chmod(0o555)
    told = run_child(path, UNPRIVILEGED)
    assert "cache.sqlite is broken and cannot be set aside" in told
    assert "Delete it" in told


def test_many_open_a_new_file_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 30.0)
    together = threading.Barrier(12)
    wrong: list[CacheError] = []

    def work(number: int) -> None:
        cache = SQLiteCache(path, 1_000_000)
        together.wait(20)
        try:
            cache.set(entry(number))
        except CacheError as error:
            wrong.append(error)
        cache.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache = SQLiteCache(path, 1_000_000)
    assert wrong == []
    assert cache.size().entries == 12
    cache.close()


def test_two_processes_share_a_file_and_its_limit(path: Path) -> None:
    work = """
sqlite_file.BUSY_SECONDS = 30.0
for number in range(int(sys.argv[3]), 300, 2):
    cache.set(entry(number, noise(2000, number)))
    found = cache.get(key_of(number - 1))
    assert found is None or found.body == noise(2000, number - 1)
cache.close()
"""
    root = str(Path(__file__).parents[2])
    source = CHILD.replace("100_000_000", "250_000") + work
    children = [
        subprocess.Popen([sys.executable, "-c", source, str(path), root, start], cwd=root, stderr=subprocess.PIPE)
        for start in ("0", "1")
    ]
    for child in children:
        _, complaint = child.communicate(timeout=60)
        assert child.returncode == 0, complaint.decode()
    cache = SQLiteCache(path, 250_000)
    size = cache.size()
    held = list(cache.entries())
    cache.close()
    assert size.entries == len(held)
    assert 200_000 < size.size_bytes <= 250_000


def test_changes_of_others_are_counted_and_own_ones_are_not(path: Path, cache: SQLiteCache) -> None:
    cache.set(entry("a"))
    second = SQLiteCache(path, 1_000_000)
    start = cache.foreign_changes()
    cache.set(entry("a", b"replaced"))
    cache.delete(key_of("a"))
    second.set(entry("new"))
    assert cache.foreign_changes() == start
    second.set(entry("new", b"replaced"))
    replaced = cache.foreign_changes()
    assert replaced != start
    second.delete(key_of("new"))
    deleted = cache.foreign_changes()
    assert deleted != replaced
    second.clear()
    assert cache.foreign_changes() != deleted
    second.close()


def test_a_failed_change_is_not_counted_as_own(path: Path, cache: SQLiteCache) -> None:
    cache.set(entry("a"))
    start = cache.foreign_changes()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TRIGGER no BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'refused'); END")
    db.close()
    with pytest.raises(CacheError, match="refused"):
        cache.set(entry("a", b"replaced"))
    assert cache.foreign_changes() == start
    assert cache.get(key_of("a")) == entry("a")
