"""Every outcome a run's cache can have, on every backend and under every policy: one table, and the wire behind it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import pytest

from mcp_core.api.client import MCPClient
from mcp_core.cache import custom as custom_module
from mcp_core.cache import redis as redis_module
from mcp_core.cache import sqlite_access, sqlite_file
from mcp_core.cache.base import Cache
from mcp_core.cache.custom import adapted
from mcp_core.cache.filesystem import FilesystemCache
from mcp_core.cache.guard import SafeCache
from mcp_core.cache.memory import MemoryCache
from mcp_core.cache.redis import RedisCache
from mcp_core.cache.sqlite import SQLiteCache
from mcp_core.cache.tiered import TieredCache
from mcp_core.models import Run
from mcp_core.settings import load_settings
from tests.cache.helpers import valkey_url
from tests.contracts.custom_caches import AwaitedCache, PlainCache
from tests.faulty import FaultyServer, chat, status

__all__ = ["valkey_url"]

pytestmark = [pytest.mark.cache, pytest.mark.integration]

State = Literal["empty", "fresh", "outdated"]
Policy = Literal["use", "refresh", "bypass", "only"]

# Policy, what the cache has, whether the server works; outcome (None: the run fails), who answers, calls of the server.
TABLE: list[tuple[Policy, State, bool, str | None, str, int]] = [
    ("use", "empty", True, "miss", "new", 1),
    ("use", "fresh", True, "hit", "old", 0),
    ("use", "outdated", True, "miss", "new", 1),
    ("use", "empty", False, None, "", 1),
    ("use", "fresh", False, "hit", "old", 0),
    ("use", "outdated", False, "stale", "old", 1),
    ("refresh", "empty", True, "miss", "new", 1),
    ("refresh", "fresh", True, "miss", "new", 1),
    ("refresh", "outdated", True, "miss", "new", 1),
    ("refresh", "empty", False, None, "", 1),
    ("refresh", "fresh", False, None, "", 1),
    ("refresh", "outdated", False, None, "", 1),
    ("bypass", "empty", True, "bypass", "new", 1),
    ("bypass", "fresh", True, "bypass", "new", 1),
    ("bypass", "outdated", True, "bypass", "new", 1),
    ("bypass", "fresh", False, None, "", 1),
    ("only", "empty", True, None, "", 0),
    ("only", "fresh", True, "hit", "old", 0),
    ("only", "outdated", True, "stale", "old", 0),
    ("only", "outdated", False, "stale", "old", 0),
]
REMEMBERS = {"use", "refresh"}


class PolicyContract:
    """Subclasses give `make`: a fresh cache that no other test sees."""

    streams = False

    def make(self) -> Cache:
        raise NotImplementedError

    @pytest.fixture
    def panel(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[MCPClient, FaultyServer]]:
        data = tmp_path / "data"
        data.mkdir()
        cache = SafeCache(self.make())
        monkeypatch.setattr("mcp_core.api.client.open_cache", lambda *_: cache)
        with FaultyServer() as server:
            (data / "providers.toml").write_text(f'version = 1\n[providers.acme]\nbase_url = "{server.url}"\n')
            settings = load_settings({"MCP_DATA_DIR": str(data), "MCP_LOCAL_MODEL": "off"}, directory=tmp_path)
            with MCPClient(settings) as client:
                yield client, server

    @pytest.mark.parametrize(
        ("policy", "state", "works", "outcome", "answer", "calls"),
        TABLE,
        ids=[f"{policy}, {state}, {'up' if works else 'down'}" for policy, state, works, *_ in TABLE],
    )
    def test_outcome(
        self,
        panel: tuple[MCPClient, FaultyServer],
        policy: Policy,
        state: State,
        works: bool,
        outcome: str | None,
        answer: str,
        calls: int,
    ) -> None:
        client, server = panel

        def run(**cache: Any) -> Run:
            config = {"type": "llm_prompt", "template": "Say hi", "model": "acme/m", "max_retries": 0, "cache": cache}
            return client.submit(config).result() if self.streams else client.execute(config)

        if state != "empty":
            server.default = chat("old")
            assert run(ttl=0.001 if state == "outdated" else 3600.0).cache == "miss"
            wait_for(lambda: client.cache.find()[0].is_fresh() is (state == "fresh"))
        server.default = chat("new") if works else status(503)
        before = server.calls
        found = run(mode=policy)
        assert server.calls - before == calls
        if outcome is None:
            assert found.status == "failed"
        else:
            assert (found.status, str(found.cache), found.output.text) == ("succeeded", outcome, answer)
            assert (found.cache.original_run_id is not None) is (outcome in ("hit", "stale"))
        # What the next one finds without asking anybody is what this one left there.
        server.default = status(503)
        left = run(mode="only")
        if works and policy in REMEMBERS and calls:
            assert (str(left.cache), left.output.text) == ("hit", "new")
        elif state == "empty":
            assert left.status == "failed"
        else:
            assert (str(left.cache), left.output.text) == ("hit" if state == "fresh" else "stale", "old")


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


class TestMemory(PolicyContract):
    def make(self) -> Cache:
        return MemoryCache(1_000_000)


class TestSQLite(PolicyContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # A busy machine is no reason to go on without the cache here.
        monkeypatch.setattr(sqlite_access, "_LOCK_SECONDS", 60.0)
        monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 60.0)
        self.path = tmp_path / "cache.sqlite"

    def make(self) -> Cache:
        return SQLiteCache(self.path, 1_000_000)


class TestStreamedOverSQLite(TestSQLite):
    streams = True


class TestTieredOverSQLite(TestSQLite):
    def make(self) -> Cache:
        return TieredCache(MemoryCache(1_000_000), super().make())


class TestFilesystem(PolicyContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "cache"

    def make(self) -> Cache:
        return FilesystemCache(self.path, 1_000_000)


class TestRedis(PolicyContract):
    @pytest.fixture(autouse=True)
    def _place(self, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(redis_module, "_SOCKET_SECONDS", 30.0)
        self.url = valkey_url

    def make(self) -> Cache:
        return RedisCache(self.url, max_bytes=1_000_000, prefix=f"test-{uuid4().hex}")


class TestTieredOverRedis(TestRedis):
    def make(self) -> Cache:
        return TieredCache(MemoryCache(1_000_000), super().make())


class TestPlainCustom(PolicyContract):
    def make(self) -> Cache:
        return adapted(PlainCache(1_000_000), "plain")


class TestAwaitedCustom(PolicyContract):
    @pytest.fixture(autouse=True)
    def _patient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(custom_module, "_ANSWER_SECONDS", 60.0)

    def make(self) -> Cache:
        return adapted(AwaitedCache(1_000_000), "awaited")
