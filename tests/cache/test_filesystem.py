import time
from pathlib import Path

import pytest

from mcp_core.cache import filesystem
from mcp_core.cache.filesystem import FilesystemCache
from mcp_core.errors import CacheError
from tests.cache.helpers import entry, key_of, noise

pytestmark = [pytest.mark.cache, pytest.mark.integration]


@pytest.fixture
def cache(tmp_path: Path) -> FilesystemCache:
    return FilesystemCache(tmp_path / "cache", 1_000_000)


def test_files_fan_out_and_are_for_their_owner_alone(cache: FilesystemCache) -> None:
    cache.set(entry())
    (file,) = cache.directory.rglob("*.*")
    key = key_of("a")
    assert file.relative_to(cache.directory) == Path(key[:2]) / f"{key}.entry"
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("key", ["../../../etc/passwd", "/etc/passwd", "", "a/b\x00c", "\ud800", "x" * 500])
def test_no_key_leads_out_of_the_directory(cache: FilesystemCache, tmp_path: Path, key: str) -> None:
    from dataclasses import replace

    odd = replace(entry(), key=key)
    cache.set(odd)
    assert cache.get(key) == odd
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert files[0].is_relative_to(cache.directory)
    assert cache.delete(key)


def test_what_somebody_is_writing_is_left_alone(cache: FilesystemCache) -> None:
    cache.set(entry())
    folder = cache.directory / key_of("a")[:2]
    (folder / "old.tmp").write_bytes(b"half")
    assert cache.size().entries == 1
    assert (folder / "old.tmp").exists()


def test_an_abandoned_file_is_removed(cache: FilesystemCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.set(entry())
    abandoned = cache.directory / key_of("a")[:2] / "old.tmp"
    abandoned.write_bytes(b"half")
    monkeypatch.setattr(filesystem, "_ABANDONED_SECONDS", -1.0)
    assert cache.size().entries == 1
    assert not abandoned.exists()


def test_what_others_write_counts_once_the_count_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = (FilesystemCache(tmp_path, 100_000) for _ in range(2))
    mine.set(entry("mine", noise(1000)))
    for number in range(9):
        other.set(entry(number, noise(10_000, number)))
    monkeypatch.setattr(filesystem, "_RECOUNT_SECONDS", -1.0)
    mine.set(entry("large", noise(50_000)))
    assert mine.size().size_bytes <= 100_000
    assert mine.evictions > 0
    assert mine.get(key_of("large")) is not None


def test_a_file_in_the_way_of_the_directory_is_a_cache_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    cache = FilesystemCache(tmp_path / "cache", 1_000_000)
    assert cache.get(key_of("a")) is None
    assert cache.delete(key_of("a")) is False
    for work in (lambda: cache.set(entry()), cache.size, cache.clear, lambda: list(cache.entries())):
        with pytest.raises(CacheError, match="The cache directory cache cannot be"):
            work()


def test_a_failed_write_leaves_nothing_behind(cache: FilesystemCache) -> None:
    key = key_of("a")
    (cache.directory / key[:2] / f"{key}.entry").mkdir(parents=True)
    with pytest.raises(CacheError):
        cache.set(entry())
    assert list(cache.directory.rglob("*.tmp")) == []


def test_an_entry_deleted_while_it_is_listed_is_left_out(cache: FilesystemCache) -> None:
    for number in range(3):
        cache.set(entry(number, created_at=time.time() - number))
    listing = cache.entries()
    assert next(listing).key == key_of(0)
    cache.delete(key_of(1))
    assert [found.key for found in listing] == [key_of(2)]


def test_a_link_is_not_followed(cache: FilesystemCache, tmp_path: Path) -> None:
    cache.set(entry())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious.entry").write_text("precious")
    (cache.directory / "zz").symlink_to(elsewhere)
    assert cache.clear() == 1
    assert (elsewhere / "precious.entry").exists()


def test_a_pin_that_cannot_be_noted_is_not_promised(tmp_path: Path) -> None:
    cache = FilesystemCache(tmp_path / "cache", 1_000_000)
    cache.set(entry())
    (tmp_path / "cache" / "notes.json").mkdir()
    with pytest.raises(CacheError, match="pin"):
        cache.pin(key_of("a"))
    (tmp_path / "cache" / "notes.json").rmdir()
    assert cache.pins() == 0
    assert cache.pin(key_of("a")) is True
    assert cache.pins() == 1
