import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mcp_core.cache import cache_names, custom, guard, open_cache
from mcp_core.cache.custom import adapted
from mcp_core.cache.factory import ENTRY_POINT_GROUP
from mcp_core.cache.redis_state import RedisState
from mcp_core.errors import CacheError, ConfigurationError
from mcp_core.settings import CACHE_BACKENDS, Settings, load_settings
from tests.cache.helpers import entry, key_of, valkey

pytestmark = [pytest.mark.cache, pytest.mark.integration]

PLUGIN = '''
import asyncio

from mcp_core.cache import CacheSize
from mcp_core.errors import ConfigurationError


class Plain:
    """Only what a cache must have."""

    def __init__(self, settings):
        self.held = {}
        self.directory = settings.data_dir

    def get(self, key):
        return self.held.get(key)

    def set(self, entry):
        self.held[entry.key] = entry

    def delete(self, key):
        return self.held.pop(key, None) is not None

    def clear(self):
        count = len(self.held)
        self.held.clear()
        return count

    def size(self):
        return CacheSize(len(self.held), sum(len(entry.body) for entry in self.held.values()))

    def entries(self, *, limit=1000, offset=0):
        ordered = sorted(self.held.values(), key=lambda entry: -entry.created_at)
        return iter(ordered[offset : offset + limit])


class Async(Plain):
    evictions = 3
    closed = False

    async def get(self, key):
        if key == "slow":
            await asyncio.sleep(3600)
        if key == "bad":
            raise RuntimeError("the server is gone")
        await asyncio.sleep(0)
        return super().get(key)

    async def set(self, entry):
        super().set(entry)

    async def delete(self, key):
        return super().delete(key)

    async def clear(self):
        return super().clear()

    async def size(self):
        return super().size()

    async def entries(self, *, limit=1000, offset=0):
        for entry in super().entries(limit=limit, offset=offset):
            yield entry

    async def touch(self, key):
        raise AssertionError("nobody waits for it")

    async def close(self):
        self.closed = True


class Listed(Async):
    async def entries(self, *, limit=1000, offset=0):
        return list(Plain.entries(self, limit=limit, offset=offset))


class Half:
    def __init__(self, settings):
        pass

    def get(self, key):
        return None


class Crashing:
    def __init__(self, settings):
        raise OSError("no route to host")


class Complaining:
    def __init__(self, settings):
        raise ConfigurationError("It needs a region.", hint="Set ACME_REGION.")
'''


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution with caches."""
    site = tmp_path / "site"
    info = site / "acme_caches-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_caches.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-caches\nVersion: 1.0\n")
    names = ("Plain", "Async", "Listed", "Half", "Crashing", "Complaining")
    points = "".join(f"{name.lower()} = acme_caches:{name}\n" for name in names)
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{points}missing = acme_caches:Nobody\n")
    monkeypatch.syspath_prepend(str(site))


def settings_for(tmp_path: Path, backend: str, **more: str) -> Settings:
    values = {"MCP_DATA_DIR": str(tmp_path / "data"), "MCP_CACHE_BACKEND": backend, **more}
    return load_settings(values, directory=tmp_path)


def test_opening_the_default_cache_loads_no_client_of_another(tmp_path: Path) -> None:
    script = """
import sys
from mcp_core.cache import open_cache
from mcp_core.settings import load_settings
open_cache(load_settings({"MCP_DATA_DIR": sys.argv[1]})).close()
print([name for name in ("requests", "requests_cache", "redis") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "[]"


def test_every_backend_the_settings_know_can_be_opened() -> None:
    assert set(CACHE_BACKENDS) <= set(cache_names())


@pytest.mark.parametrize(
    ("backend", "inner", "files"),
    [("memory", "memory", False), ("sqlite", "sqlite", True), ("filesystem", "filesystem", True)],
)
def test_a_built_in_cache_works_and_keeps_to_the_data_directory(
    tmp_path: Path, backend: str, inner: str, files: bool
) -> None:
    settings = settings_for(tmp_path, backend)
    cache = open_cache(settings)
    assert not settings.data_dir.exists()
    cache.set(entry())
    assert cache.get(key_of("a")) == entry()
    assert cache.name == inner
    cache.close()
    assert settings.data_dir.exists() is files


@pytest.mark.parametrize("backend", ["redis", "tiered"])
def test_a_shared_cache_is_shared(tmp_path: Path, valkey_url: str, backend: str) -> None:
    settings = settings_for(tmp_path, backend, MCP_REDIS_URL=valkey_url)
    one, other = open_cache(settings), open_cache(settings)
    stored = entry(f"{backend}-{time.time_ns()}")
    one.set(stored)
    assert other.get(stored.key) == stored
    assert one.delete(stored.key)
    one.close()
    other.close()


@pytest.mark.parametrize("backend", ["redis", "tiered"])
def test_a_shared_cache_without_address_says_what_to_set(tmp_path: Path, backend: str) -> None:
    with pytest.raises(ConfigurationError, match=f"The {backend} cache needs the address") as caught:
        open_cache(settings_for(tmp_path, backend))
    assert caught.value.field == "MCP_REDIS_URL"
    assert "redis://localhost:6379/0" in caught.value.hint


@pytest.mark.parametrize("backend", ["redis", "tiered"])
def test_an_unreachable_server_is_a_warning_and_one_more_word_when_it_is_back(
    tmp_path: Path, redis_socket: Path, said: list[str], monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    address = f"unix://{redis_socket}"
    cache = open_cache(settings_for(tmp_path, backend, MCP_REDIS_URL=address))
    assert said[0].startswith("WARNING Redis does not work, so the panel goes on without it: ")
    shared = RedisState(address)
    for number in range(3):
        monkeypatch.setattr(guard, "_PAUSE_SECONDS", 0.0)  # so that each of them asks the server
        assert shared.run("return {1}", "x") is None
        cache.set(entry(number))
        assert (cache.get(key_of(number)) is not None) is (backend == "tiered")
        assert cache.get(key_of("nobody")) is None
    assert len(said) == 1

    with valkey(unixsocket=str(redis_socket)):
        until = time.monotonic() + 60
        while len(said) < 2:
            assert time.monotonic() < until, "it never came back"
            shared.run("return {1}", "x")
            cache.set(entry("back"))
            cache.get(key_of("not in front"))
        assert cache.get(key_of("back")) == entry("back")
    assert said[1:] == ["INFO Redis works again"]
    shared.close()
    cache.close()


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("backend", ["plain", "async", "listed"])
def test_a_plugin_is_a_cache_like_any_other(tmp_path: Path, backend: str) -> None:
    assert backend in cache_names()
    cache = open_cache(settings_for(tmp_path, backend))
    assert cache.name == backend
    for number in range(3):
        cache.set(entry(number, created_at=100.0 - number))
    cache.touch(key_of(0))
    assert cache.get(key_of(0)) == entry(0, created_at=100.0)
    assert cache.get(key_of("nobody")) is None
    assert [found.key for found in cache.entries(limit=2)] == [key_of(0), key_of(1)]
    assert cache.size().entries == 3
    assert cache.evictions == (0 if backend == "plain" else 3)
    assert cache.delete(key_of(0))
    assert cache.clear() == 2
    inner: Any = cache.inner
    cache.close()
    assert getattr(inner.inner, "closed", True)


@pytest.mark.usefixtures("plugins")
def test_a_failing_plugin_is_a_cache_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom, "_ANSWER_SECONDS", 0.05)
    cache = open_cache(settings_for(tmp_path, "async"))
    with pytest.raises(CacheError, match="async cache failed: RuntimeError: the server is gone"):
        cache.inner.get("bad")
    with pytest.raises(CacheError, match="did not answer within"):
        cache.inner.get("slow")
    assert cache.get("bad") is None
    monkeypatch.undo()
    cache.close()


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("half", "The cache 'half' lacks the methods set, delete, clear, size, entries."),
        ("crashing", "acme_caches:Crashing cannot be started: OSError: no route to host"),
        ("missing", "acme_caches:Nobody cannot be started: AttributeError"),
        ("complaining", "It needs a region. Set ACME_REGION."),
    ],
)
def test_a_plugin_that_cannot_start_is_named(tmp_path: Path, backend: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_cache(settings_for(tmp_path, backend))
    assert message in str(caught.value)


def test_a_backend_that_was_uninstalled_is_named(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, "memory").model_copy(update={"cache_backend": "gone"})
    with pytest.raises(ConfigurationError, match="'gone', which is no cache") as caught:
        open_cache(settings)
    assert "sqlite" in caught.value.hint


def test_a_cache_error_of_a_plugin_is_kept_as_it_is() -> None:
    class Frank:
        def get(self, key: str) -> None:
            raise CacheError("The disk is full.", hint="Buy one.")

        set = delete = clear = size = entries = get

    with pytest.raises(CacheError, match=r"The disk is full\. Buy one\."):
        adapted(Frank(), "frank").get("k")
