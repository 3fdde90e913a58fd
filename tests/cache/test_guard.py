from pathlib import Path

import pytest

from mcp_core.cache.base import Cache
from mcp_core.cache.filesystem import FilesystemCache
from mcp_core.cache.guard import Health, Outage, SafeCache
from mcp_core.cache.memory import MemoryCache
from mcp_core.errors import CacheError
from tests.cache.helpers import entry, key_of

pytestmark = [pytest.mark.cache, pytest.mark.unit]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_outage_is_told_once_and_retried_every_five_seconds(said: list[str]) -> None:
    clock = Clock()
    outage = Outage(Health("The test cache", clock), "reading")
    assert not outage.is_down()
    for _ in range(1000):
        outage.failed(CacheError("It broke.", hint="Mend it."))
        clock.now += 0.5
    assert said == [
        "WARNING The test cache does not work, so the panel goes on without it: It broke. Mend it.",
    ]
    assert outage.is_down()
    clock.now += 5.0
    assert not outage.is_down()


def test_recovery_is_told_once_and_the_next_outage_again(said: list[str]) -> None:
    clock = Clock()
    outage = Outage(Health("The test cache", clock), "reading")
    outage.worked()
    for _ in range(2):
        outage.failed(CacheError("It broke."))
        outage.worked()
        outage.worked()
        assert not outage.is_down()
        clock.now += 60.0
    assert [line.split()[0] for line in said] == ["WARNING", "INFO"] * 2


def test_a_cache_that_comes_and_goes_fills_no_log(said: list[str]) -> None:
    clock = Clock()
    outage = Outage(Health("The test cache", clock), "reading")
    for _ in range(59):
        outage.failed(CacheError("It broke."))
        outage.worked()
        clock.now += 1.0
    assert [line.split()[0] for line in said] == ["WARNING", "INFO"]


def test_two_parts_that_fail_are_one_outage_until_both_work(said: list[str]) -> None:
    health = Health("The test cache", Clock())
    reads, writes = Outage(health, "reading"), Outage(health, "writing")
    reads.failed(CacheError("It broke."))
    writes.failed(CacheError("It broke."))
    reads.worked()
    assert len(said) == 1
    reads.failed(CacheError("It broke."))
    reads.worked()
    writes.worked()
    assert [line.split()[0] for line in said] == ["WARNING", "INFO"]


@pytest.fixture
def broken(tmp_path: Path) -> Cache:
    """A cache whose directory is a file."""
    place = tmp_path / "cache"
    place.write_text("in the way")
    return FilesystemCache(place, 1_000_000)


def test_a_broken_cache_fails_no_run_but_tells_a_person(broken: Cache, said: list[str]) -> None:
    safe = SafeCache(broken)
    for number in range(5):
        safe.set(entry(number))
        safe.touch(key_of(number))
        assert safe.get(key_of(number)) is None
    assert [line.split(" does not")[0] for line in said] == ["WARNING The filesystem cache"]
    with pytest.raises(CacheError):
        safe.size()
    with pytest.raises(CacheError):
        safe.clear()
    with pytest.raises(CacheError):
        list(safe.entries())
    safe.close()


class Unreadable(MemoryCache):
    """Fails as long as it is told to, and counts how often it was asked."""

    fails = True
    asked = 0

    def get(self, key: str) -> None:
        self.asked += 1
        if self.fails:
            raise CacheError("It broke.")


def test_a_failing_read_is_not_repeated_for_a_while(said: list[str]) -> None:
    inner = Unreadable(1_000_000)
    safe = SafeCache(inner)
    assert [safe.get("k") for _ in range(10)] == [None] * 10
    assert inner.asked == 1
    assert len(said) == 1


def test_a_working_cache_is_passed_through() -> None:
    inner = MemoryCache(100_000)
    safe = SafeCache(inner)
    safe.set(entry())
    safe.touch(key_of("a"))
    assert safe.get(key_of("a")) == entry()
    assert (safe.name, safe.evictions, safe.size()) == ("memory", 0, inner.size())
    assert list(safe.entries()) == [entry()]
    assert safe.delete(key_of("a"))
    safe.set(entry())
    assert safe.clear() == 1
    safe.close()
