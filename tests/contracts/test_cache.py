"""What every cache promises, whatever it keeps its entries on."""

import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis

from mcp_core.cache import redis as redis_module
from mcp_core.cache import sqlite_access
from mcp_core.cache.base import Cache, CacheSize, Entry
from mcp_core.cache.custom import adapted
from mcp_core.cache.filesystem import FilesystemCache
from mcp_core.cache.memory import MemoryCache
from mcp_core.cache.notes import Notes
from mcp_core.cache.redis import RedisCache
from mcp_core.cache.sqlite import SQLiteCache
from mcp_core.cache.tiered import TieredCache
from tests.cache.helpers import entry, key_of, noise, said, valkey_url
from tests.contracts.cache_items import ItemsContract, LastingItemsContract
from tests.contracts.custom_caches import AwaitedCache, PlainCache

__all__ = ["said", "valkey_url"]

pytestmark = [pytest.mark.cache, pytest.mark.integration]


class CacheContract(ItemsContract):
    """Subclasses give `make`: a cache of at most so many bytes. Caches made in one test share what they keep."""

    def make(self, max_bytes: int) -> Cache:
        raise NotImplementedError

    @pytest.fixture
    def cache(self) -> Iterator[Cache]:
        made = self.make(50_000_000)
        yield made
        made.close()

    @pytest.fixture
    def small(self) -> Iterator[Cache]:
        made = self.make(200_000)
        yield made
        made.close()

    def test_an_unknown_key_is_missing(self, cache: Cache) -> None:
        assert cache.get(key_of("nobody")) is None

    def test_every_field_comes_back(self, cache: Cache) -> None:
        stored = entry(expires_at=4_000_000_000.25)
        cache.set(stored)
        assert cache.get(stored.key) == stored

    def test_what_is_unknown_stays_unknown(self, cache: Cache) -> None:
        stored = entry(cost_usd=None, expires_at=None, run_id="", labels={}, latency_seconds=0.0)
        cache.set(stored)
        assert cache.get(stored.key) == stored

    @pytest.mark.parametrize(
        "body",
        [b"", b"\x00\xff" * 10, "Grüße aus 東京 🗼".encode(), b"text " * 20_000, noise(5_000_000)],
        ids=["empty", "binary", "unicode", "compressible", "5 MB"],
    )
    def test_any_body_comes_back(self, cache: Cache, body: bytes) -> None:
        cache.set(entry(body=body))
        found = cache.get(key_of("a"))
        assert found is not None
        assert found.body == body

    def test_a_second_answer_replaces_the_first(self, cache: Cache) -> None:
        cache.set(entry(body=b"first" * 1000))
        cache.set(entry(body=b"second"))
        found = cache.get(key_of("a"))
        assert found is not None
        assert found.body == b"second"
        assert cache.size().entries == 1

    def test_an_expired_entry_is_reported_not_hidden(self, cache: Cache) -> None:
        cache.set(entry(expires_at=time.time() - 3600))
        found = cache.get(key_of("a"))
        assert found is not None
        assert not found.is_fresh()
        assert found.age_seconds() > 0

    def test_a_deleted_entry_is_gone(self, cache: Cache) -> None:
        cache.set(entry("a"))
        cache.set(entry("b"))
        assert cache.delete(key_of("a")) is True
        assert cache.delete(key_of("a")) is False
        assert cache.get(key_of("a")) is None
        assert cache.get(key_of("b")) is not None
        assert cache.size().entries == 1

    def test_clear_forgets_everything_and_counts_it(self, cache: Cache) -> None:
        for number in range(7):
            cache.set(entry(number))
        assert cache.clear() == 7
        assert cache.clear() == 0
        assert cache.size() == CacheSize(entries=0, size_bytes=0)
        assert list(cache.entries()) == []
        cache.set(entry("after"))
        assert cache.get(key_of("after")) is not None

    def test_size_follows_what_is_held(self, cache: Cache) -> None:
        assert cache.size() == CacheSize(entries=0, size_bytes=0)
        cache.set(entry("a", noise(1000)))
        one = cache.size()
        cache.set(entry("b", noise(30_000)))
        two = cache.size()
        assert one.entries == 1
        assert 1000 < one.size_bytes < 3000
        assert two.entries == 2
        assert 30_000 < two.size_bytes - one.size_bytes < 32_000
        cache.delete(key_of("b"))
        assert cache.size() == one

    def test_entries_come_newest_first_and_in_pages(self, cache: Cache) -> None:
        ages = list(range(12))
        random.Random(1).shuffle(ages)
        for age in ages:
            cache.set(entry(age, created_at=1_700_000_000.0 - age))
        everything = [found.key for found in cache.entries()]
        assert everything == [key_of(age) for age in range(12)]
        paged = [found.key for start in range(0, 15, 5) for found in cache.entries(limit=5, offset=start)]
        assert paged == everything
        assert list(cache.entries(limit=0)) == []
        assert list(cache.entries(offset=99)) == []

    def test_the_least_recently_used_go_first(self, small: Cache) -> None:
        for number in range(17):
            small.set(entry(number, noise(10_000, number), created_at=1_700_000_000.0 + number))
        assert small.evictions == 0
        assert small.get(key_of(0)) is not None
        for number in range(17, 24):
            small.set(entry(number, noise(10_000, number), created_at=1_700_000_000.0 + number))
        size = small.size()
        assert size.size_bytes <= 200_000
        assert size.entries + small.evictions == 24
        assert small.get(key_of(0)) is not None
        assert small.get(key_of(1)) is None
        assert small.get(key_of(2)) is None
        assert small.get(key_of(23)) is not None

    def test_an_entry_larger_than_the_cache_is_not_kept_and_evicts_nothing(self, small: Cache) -> None:
        small.set(entry("small", noise(1000)))
        small.set(entry("large", b"old"))
        small.set(entry("large", noise(300_000)))
        assert small.get(key_of("large")) is None
        assert small.get(key_of("small")) is not None
        assert small.size().entries == 1
        assert small.evictions == 0

    def test_sixteen_threads_at_once(self, small: Cache) -> None:
        wrong: list[object] = []

        def body_of(number: int) -> bytes:
            return noise(4000 + 100 * number, number)

        def work(seed: int) -> None:
            dice = random.Random(seed)
            try:
                for _ in range(25):
                    number = dice.randrange(60)
                    action = dice.random()
                    if action < 0.45:
                        small.set(entry(number, body_of(number)))
                    elif action < 0.9:
                        found = small.get(key_of(number))
                        if found is not None and found.body != body_of(number):
                            wrong.append(number)
                    else:
                        small.delete(key_of(number))
            except Exception as error:
                wrong.append(error)
                raise

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        size = small.size()
        assert len(list(small.entries())) == size.entries
        assert 0 < size.size_bytes <= 200_000
        small.clear()
        assert small.size() == CacheSize(entries=0, size_bytes=0)

    def test_close_may_come_twice_and_before_any_use(self) -> None:
        unused = self.make(1_000_000)
        unused.close()
        unused.close()


class LastingContract(CacheContract, LastingItemsContract):
    """Of those whose entries outlive the object. `damage` spoils what is stored under a key."""

    def damage(self, key: str) -> None:
        raise NotImplementedError

    def test_entries_outlive_the_object(self) -> None:
        first = self.make(1_000_000)
        first.set(entry())
        first.close()
        second = self.make(1_000_000)
        assert second.get(key_of("a")) == entry()
        assert second.size().entries == 1
        second.close()

    def test_two_objects_share_their_entries(self) -> None:
        one, other = self.make(1_000_000), self.make(1_000_000)
        one.set(entry("a"))
        other.set(entry("b"))
        assert other.get(key_of("a")) == entry("a")
        assert one.get(key_of("b")) == entry("b")
        assert one.size() == other.size()
        one.close()
        other.close()

    def test_a_damaged_entry_is_dropped_and_missing(self, said: list[str]) -> None:
        writer = self.make(1_000_000)
        writer.set(entry("a"))
        writer.set(entry("b"))
        writer.close()
        self.damage(key_of("a"))
        cache = self.make(1_000_000)
        assert [found.key for found in cache.entries()] == [key_of("b")]
        assert cache.get(key_of("a")) is None
        assert any(line.startswith("WARNING Dropped a damaged answer") for line in said)
        assert cache.size().entries == 1
        cache.set(entry("a"))
        assert cache.get(key_of("a")) == entry("a")
        cache.close()


class TestMemory(CacheContract):
    def make(self, max_bytes: int) -> Cache:
        return MemoryCache(max_bytes)


class TestSQLite(LastingContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # Sixteen threads on a busy machine may wait for each other longer than a run should.
        monkeypatch.setattr(sqlite_access, "_LOCK_SECONDS", 30.0)
        self.path = tmp_path / "below" / "cache.sqlite"

    def make(self, max_bytes: int) -> Cache:
        return SQLiteCache(self.path, max_bytes)

    def damage(self, key: str) -> None:
        db = sqlite3.connect(self.path)
        with db:
            assert db.execute("UPDATE entries SET data = substr(data, 1, 60) WHERE key = ?", (key,)).rowcount == 1
        db.close()


class TestFilesystem(LastingContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "below" / "cache"

    def make(self, max_bytes: int) -> Cache:
        return FilesystemCache(self.directory, max_bytes)

    def damage(self, key: str) -> None:
        path = self.directory / key[:2] / f"{key}.entry"
        path.write_bytes(path.read_bytes()[:-1] + b"!")


class TestTieredOverSQLite(TestSQLite):
    def make(self, max_bytes: int) -> Cache:
        return TieredCache(MemoryCache(max_bytes // 8), super().make(max_bytes))


class TestRedis(LastingContract):
    @pytest.fixture(autouse=True)
    def _place(self, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(redis_module, "_SOCKET_SECONDS", 30.0)
        self.url = valkey_url
        self.prefix = f"test-[{uuid4().hex}]*"

    def make(self, max_bytes: int) -> Cache:
        return RedisCache(self.url, max_bytes=max_bytes, prefix=self.prefix)

    def damage(self, key: str) -> None:
        with Redis.from_url(self.url) as db:
            name = f"{{{self.prefix}}}:entry:{key}"
            assert db.setrange(name, 30, b"spoilt") > 0


class TestTieredOverRedis(TestRedis):
    def make(self, max_bytes: int) -> Cache:
        return TieredCache(MemoryCache(max_bytes // 8), super().make(max_bytes))


class TestPlainCustom(CacheContract):
    """A plugin's class of a few lines, and what the panel does on top of it."""

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.notes = tmp_path / "notes.json"

    def make(self, max_bytes: int) -> Cache:
        return adapted(PlainCache(max_bytes), "plain", Notes(self.notes))


class TestAwaitedCustom(TestPlainCustom):
    def make(self, max_bytes: int) -> Cache:
        return adapted(AwaitedCache(max_bytes), "awaited", Notes(self.notes))


def test_an_entry_knows_its_age_and_freshness() -> None:
    stored = Entry(key="k", body=b"", created_at=100.0, expires_at=160.0)
    assert stored.age_seconds(130.0) == 30.0
    assert stored.age_seconds(90.0) == 0.0
    assert stored.is_fresh(159.9)
    assert not stored.is_fresh(160.0)
    assert Entry(key="k", body=b"").is_fresh(9e9)


def test_parts_that_are_none_are_none() -> None:
    assert Entry("k", b"", about="[1]").parts() == {}
    assert Entry("k", b"", about="{").parts() == {}
    assert Entry("k", b"", about='{"a": 1}').parts() == {"a": "1"}
