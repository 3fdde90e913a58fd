import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from uuid import uuid4

import pytest

from mcp_core.cache import tiered
from mcp_core.cache.base import CacheSize, Entry
from mcp_core.cache.filesystem import FilesystemCache
from mcp_core.cache.memory import MemoryCache
from mcp_core.cache.redis import RedisCache
from mcp_core.cache.sqlite import SQLiteCache
from mcp_core.cache.tiered import TieredCache
from mcp_core.errors import CacheError
from tests.cache.helpers import entry, key_of

pytestmark = [pytest.mark.cache, pytest.mark.integration]


@pytest.fixture
def back(tmp_path: Path) -> SQLiteCache:
    return SQLiteCache(tmp_path / "cache.sqlite", 1_000_000)


@pytest.fixture
def cache(back: SQLiteCache) -> Iterator[TieredCache]:
    made = TieredCache(MemoryCache(1_000_000), back)
    yield made
    made.close()


@pytest.fixture
def unusable(tmp_path: Path) -> Iterator[TieredCache]:
    """Its back is a directory that is a file."""
    (tmp_path / "cache").write_text("in the way")
    made = TieredCache(MemoryCache(1_000_000), SQLiteCache(tmp_path / "cache" / "cache.sqlite", 1_000_000))
    yield made
    made.close()


def test_a_hit_in_the_back_fills_the_front(cache: TieredCache, back: SQLiteCache) -> None:
    back.set(entry())
    assert cache.front.get(key_of("a")) is None
    assert cache.get(key_of("a")) == entry()
    assert cache.front.get(key_of("a")) == entry()


def test_a_hit_in_the_front_counts_as_use_of_the_back(tmp_path: Path) -> None:
    cache = TieredCache(MemoryCache(1_000_000), SQLiteCache(tmp_path / "c.sqlite", 5_000))
    cache.set(entry("hot", b"x" * 1000))
    for number in range(20):
        assert cache.get(key_of("hot")) is not None
        cache.set(entry(number, b"x" * 1000))
    assert cache.back.get(key_of("hot")) is not None
    assert cache.evictions == cache.back.evictions > 10
    cache.close()


def test_an_expired_copy_gives_way_to_a_refreshed_original(cache: TieredCache, back: SQLiteCache) -> None:
    cache.set(entry(expires_at=time.time() - 10))
    fresh = entry(body=b"fresh", expires_at=time.time() + 100)
    back.set(fresh)
    assert cache.get(key_of("a")) == fresh


def test_touching_reaches_both(cache: TieredCache) -> None:
    cache.set(entry())
    cache.touch(key_of("a"))
    cache.touch(key_of("nobody"))
    assert cache.get(key_of("a")) == entry()


def test_a_failing_back_leaves_the_front_at_work(unusable: TieredCache, said: list[str]) -> None:
    for number in range(10):
        unusable.set(entry(number))
        assert unusable.get(key_of(number)) == entry(number)
        assert unusable.get(key_of("nobody")) is None
    assert unusable.size().entries == 10
    assert len(list(unusable.entries())) == 10
    assert [line.split(" does not")[0] for line in said] == ["WARNING The sqlite cache"]


def test_a_back_that_cannot_be_counted_leaves_the_front_at_work(unusable: TieredCache, said: list[str]) -> None:
    unusable.front.set(entry())
    assert unusable.get(key_of("a")) == entry()
    assert len(said) == 1


def test_a_back_that_cannot_be_measured_gives_the_size_of_the_front(unusable: TieredCache) -> None:
    unusable.front.set(entry())
    assert unusable.size().entries == 1


def test_a_back_that_is_down_is_not_counted(unusable: TieredCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiered, "_CHECK_SECONDS", 0.0)
    unusable.front.set(entry())
    for _ in range(3):
        assert unusable.get(key_of("a")) == entry()
    assert list(unusable.entries()) == [entry()]


def test_a_failing_back_cannot_be_believed_cleared(unusable: TieredCache) -> None:
    unusable.set(entry("a"))
    unusable.set(entry("b"))
    with pytest.raises(CacheError):
        unusable.delete(key_of("a"))
    assert unusable.get(key_of("a")) is None
    with pytest.raises(CacheError):
        unusable.clear()
    assert unusable.front.size() == CacheSize(entries=0, size_bytes=0)


def test_size_and_entries_of_a_back_that_just_failed_come_from_the_front(tmp_path: Path) -> None:
    place = tmp_path / "cache"
    cache = TieredCache(MemoryCache(1_000_000), FilesystemCache(place, 1_000_000))
    cache.front.set(entry())
    place.write_text("in the way")
    assert list(cache.entries()) == [entry()]
    assert cache.size().entries == 1
    assert list(cache.entries()) == [entry()]
    cache.close()


class Interrupted(MemoryCache):
    """Fails in the middle of a listing."""

    def entries(self, *, limit: int = 1000, offset: int = 0) -> Iterator[Entry]:
        yield from super().entries(limit=1, offset=offset)
        raise CacheError("It broke.")


def test_a_listing_that_breaks_ends_and_repeats_nothing() -> None:
    cache = TieredCache(MemoryCache(1_000_000), Interrupted(1_000_000))
    cache.set(entry("a"))
    cache.set(entry("b"))
    assert len(list(cache.entries())) == 1


def test_a_copy_read_before_a_change_is_not_put_in_front_after_it(cache: TieredCache, back: SQLiteCache) -> None:
    """A slow reader has the entry from the back when another thread deletes it."""
    reached, go_on = threading.Event(), threading.Event()

    class Slow(SQLiteCache):
        def get(self, key: str) -> Entry | None:
            found = super().get(key)
            reached.set()
            assert go_on.wait(20)
            return found

    slow = TieredCache(cache.front, Slow(back.path, 1_000_000))
    slow.back.set(entry())
    reader = threading.Thread(target=slow.get, args=(key_of("a"),))
    reader.start()
    assert reached.wait(20)
    assert slow.delete(key_of("a"))
    go_on.set()
    reader.join()
    assert slow.front.get(key_of("a")) is None
    slow.close()


@pytest.mark.parametrize("change", ["delete", "clear", "replace"])
def test_the_front_follows_another_process_over_sqlite(
    cache: TieredCache, back: SQLiteCache, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(tiered, "_CHECK_SECONDS", 0.0)
    cache.set(entry("a"))
    cache.set(entry("b"))
    assert cache.get(key_of("a")) == entry("a")
    work = {
        "delete": f"cache.delete({key_of('a')!r})",
        "clear": "cache.clear()",
        "replace": f"cache.set(Entry(key={key_of('a')!r}, body=b'theirs'))",
    }[change]
    script = f"""
from pathlib import Path
from mcp_core.cache.base import Entry
from mcp_core.cache.sqlite import SQLiteCache
cache = SQLiteCache(Path({str(back.path)!r}), 1_000_000)
{work}
cache.close()
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, cwd=Path(__file__).parents[2])
    found = cache.get(key_of("a"))
    assert (found.body if found else None) == (b"theirs" if change == "replace" else None)
    assert (cache.get(key_of("b")) is None) is (change == "clear")


def test_own_changes_leave_the_front_alone(cache: TieredCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiered, "_CHECK_SECONDS", 0.0)
    cache.set(entry("kept"))
    assert cache.get(key_of("kept")) is not None
    cache.set(entry("a"))
    cache.set(entry("a", b"replaced"))
    cache.delete(key_of("a"))
    cache.get(key_of("a"))
    assert cache.front.get(key_of("kept")) is not None


def test_the_front_follows_another_process_over_redis(valkey_url: str) -> None:
    prefix = f"test-{uuid4().hex}"
    here, there = (
        TieredCache(MemoryCache(1_000_000), RedisCache(valkey_url, max_bytes=1_000_000, prefix=prefix))
        for _ in range(2)
    )
    here.set(entry("a"))
    here.set(entry("b"))
    _eventually(lambda: here.get(key_of("a")) is not None and there.get(key_of("a")) is not None)
    there.set(entry("a", b"theirs"))
    _eventually(lambda: (found := here.get(key_of("a"))) is not None and found.body == b"theirs")
    there.delete(key_of("a"))
    _eventually(lambda: here.get(key_of("a")) is None)
    there.clear()
    _eventually(lambda: here.get(key_of("b")) is None)
    here.close()
    there.close()


def _eventually(condition: object) -> None:
    assert callable(condition)
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_while_the_back_does_not_work_it_is_not_asked_for_a_lock(
    unusable: TieredCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = unusable.back.lock

    def lock(key: str) -> AbstractContextManager[Callable[[], bool]]:
        asked.append(key)
        return real(key)

    monkeypatch.setattr(unusable.back, "lock", lock)
    with unusable.lock(key_of("a")) as attempt:
        assert attempt()
    assert asked == [key_of("a")]
    assert unusable.get(key_of("a")) is None
    with unusable.lock(key_of("a")) as attempt:
        assert attempt()
    assert asked == [key_of("a")]
