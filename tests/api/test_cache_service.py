"""`client.cache`: what people do to entries, who may, and what the log says of it."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from mcp_core.api.client import MCPClient
from mcp_core.cache.base import Entry, EntryFilter
from mcp_core.errors import ConfigurationError, PermissionDeniedError
from mcp_core.models import Actor, utcnow
from mcp_core.settings import Settings
from mcp_core.types.llm_prompt import LLMPromptConfig
from tests.cache.helpers import entry, key_of
from tests.faulty import FaultyServer, chat

pytestmark = [pytest.mark.integration, pytest.mark.cache]

VIEWER = Actor(id="vi", name="Vi", role="viewer")
EDITOR = Actor(id="ed", name="Ed", role="editor")


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(message.rstrip("\n")), format="{message}", level="INFO")
    logger.enable("mcp_core")
    yield lines
    logger.disable("mcp_core")
    logger.remove(sink)


@pytest.fixture
def acme(settings: Settings) -> Iterator[tuple[MCPClient, FaultyServer]]:
    settings.data_dir.mkdir(exist_ok=True)
    with FaultyServer() as server:
        (settings.data_dir / "providers.toml").write_text(f'version = 1\n[providers.acme]\nbase_url = "{server.url}"\n')
        with MCPClient(settings) as client:
            yield client, server


def _put(client: MCPClient, *entries: Entry) -> None:
    for one in entries:
        client._cache.set(one)


def test_an_entry_is_found_by_the_beginning_of_its_key(client: MCPClient) -> None:
    _put(client, Entry("aa11" + "0" * 60, b"1"), Entry("aa22" + "0" * 60, b"2"))
    item, found = client.cache.show("aa1")
    assert (item.key[:4], found and found.body) == ("aa11", b"1")
    with pytest.raises(ConfigurationError, match="2 entries begin with"):
        client.cache.show("aa")
    for unknown in ("bb", "", "f" * 64):
        with pytest.raises(ConfigurationError, match="has no entry"):
            client.cache.show(unknown)
    assert client.cache.find(EntryFilter(never_hit=True), limit=5), "looking is no hit"


def test_every_act_is_logged_and_allowed(client: MCPClient, said: list[str]) -> None:
    _put(client, *(entry(number) for number in range(4)))
    cache = client.cache
    cache.pin(key_of(0), actor=EDITOR)
    cache.delete(key_of(1), actor=EDITOR)
    assert cache.forget(EntryFilter(text=key_of(2)[:10]), actor=EDITOR) == 1
    assert cache.clear(actor=EDITOR) == 1
    cache.pin(key_of(0), pinned=False, actor=EDITOR)
    acts = [line for line in said if line.startswith("Ed ")]
    assert acts == [
        f"Ed pinned the cache entry {key_of(0)[:12]}.",
        f"Ed deleted the cache entry {key_of(1)[:12]}.",
        acts[2],
        "Ed cleared the cache: 1 entry; pinned and kept: 1.",
        f"Ed unpinned the cache entry {key_of(0)[:12]}.",
    ]
    assert acts[2].startswith("Ed deleted 1 cache entry by ")
    for act in (
        lambda: cache.pin(key_of(0), actor=VIEWER),
        lambda: cache.delete(key_of(0), actor=VIEWER),
        lambda: cache.forget(EntryFilter(), actor=VIEWER),
        lambda: cache.clear(actor=VIEWER),
    ):
        with pytest.raises(PermissionDeniedError):
            act()
    assert cache.size().entries == 1


def test_pinned_entries_go_only_where_that_is_said(client: MCPClient) -> None:
    _put(client, *(entry(number, labels={"task": "Greet"}) for number in range(3)))
    client.cache.pin(key_of(0))
    assert client.cache.forget(EntryFilter(task="Greet")) == 2
    assert client.cache.clear() == 0
    assert client.cache.stats()["pinned"] == 1
    assert client.cache.forget(EntryFilter(task="Greet"), pinned=True) == 1
    _put(client, entry("last"))
    client.cache.pin(key_of("last"))
    assert client.cache.clear(pinned=True) == 1


def test_what_is_pinned_or_unknown_says_so(client: MCPClient) -> None:
    with pytest.raises(ConfigurationError, match="has no entry"):
        client.cache.pin(key_of("nobody"))
    with pytest.raises(ConfigurationError, match="has no entry"):
        client.cache.refresh(key_of("nobody"))
    _put(client, entry("a", run_id="gone"))
    with pytest.raises(ConfigurationError, match="not in the history"):
        client.cache.refresh(key_of("a"))


def test_a_refresh_puts_a_new_answer_in_its_place(acme: tuple[MCPClient, FaultyServer]) -> None:
    client, server = acme
    server.script(chat("First."), chat("Second."))
    config = LLMPromptConfig(template="Say hi", name="Greet", model="acme/m")
    first = client.execute(config)
    (item,) = client.cache.find()
    assert (item.run_id, item.labels["task"]) == (first.id, "Greet")
    again = client.cache.refresh(item.key[:20]).result()
    assert (again.output.text, str(again.cache), again.retry_of) == ("Second.", "miss", first.id)
    hit = client.execute(config)
    assert (hit.output.text, str(hit.cache), hit.cache.original_run_id) == ("Second.", "hit", again.id)
    (item,) = client.cache.find()
    assert (item.hits, item.run_id) == (1, again.id)


def test_what_was_asked_is_kept_without_secrets(acme: tuple[MCPClient, FaultyServer]) -> None:
    from mcp_core.security.redaction import redactor

    client, server = acme
    redactor.learn(["hunter2-hunter2"])
    server.default = chat("Hello.")
    client.execute(LLMPromptConfig(template="Say hi to hunter2-hunter2 and Zoë " + "x" * 3000, model="acme/m"))
    (item,) = client.cache.find(EntryFilter(text="ZOË"))
    _, found = client.cache.show(item.key)
    assert found is not None
    assert "hunter2" not in found.about
    assert {"messages", "model", "provider", "tenant"} <= found.parts().keys()
    assert len(found.about) < 5000
    assert found.parts()["messages"].endswith("…")
    assert client.cache.find(EntryFilter(text="nowhere in it")) == []


def test_sizes_and_changes_are_told_by_the_hour(client: MCPClient) -> None:
    _put(client, entry("a", labels={"type": "llm_prompt", "task": "Greet"}), entry("b", b"x" * 1000, labels={}))
    stats = client.cache.stats()
    assert (stats["stored"], stats["stored_bytes"]) == (2, 1013)
    assert {row["name"]: row["stored"] for row in stats["by"]["task"]} == {"Greet": 1, "": 1}
    since, until = utcnow().replace(year=2020), utcnow().replace(year=2100)
    sizes = client.cache.size_frame(since, until, by="hour")
    assert sizes["entries"].tolist()[-1] == 2
    changes = client.cache.changes_frame(since, until, by="day")
    assert changes["stored"].sum() == 2
    client.cache.clear()
    assert client.cache.size_frame(since, until, by="day")["entries"].tolist()[-1] == 0


def test_counts_of_a_process_go_with_its_heartbeat(client: MCPClient, tmp_path: Path) -> None:
    _put(client, entry("a"))
    client.store.heartbeat("somebody")
    span = (utcnow().replace(year=2020), utcnow().replace(year=2100))
    assert client.store.cache_counts.totals(*span).stored == 1
    client.store.release("somebody")


def test_names_are_those_that_occur(client: MCPClient) -> None:
    assert client.cache.names() == {"type": [], "provider": [], "model": [], "task": []}
    _put(client, entry("a", labels={"type": "x", "task": "b"}), entry("b", labels={"type": "x", "task": "a"}))
    assert client.cache.names() == {"type": ["x"], "provider": [], "model": [], "task": ["a", "b"]}


def test_a_hit_writes_nothing(acme: tuple[MCPClient, FaultyServer]) -> None:
    client, server = acme
    server.default = chat("Hello.")
    client.cache._next_flush = math.inf  # once a minute they are written
    config = LLMPromptConfig(template="Say hi", model="acme/m")
    client.execute(config)
    path = client.settings.data_dir / "cache.sqlite"
    files = [path, path.with_name("cache.sqlite-wal")]
    before = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    for _ in range(50):
        assert client.execute(config).cache == "hit"
    assert [(file.stat().st_size, file.stat().st_mtime_ns) for file in files] == before
    assert client.cache.find()[0].hits == 50


def test_hits_are_written_down_once_in_a_while(acme: tuple[MCPClient, FaultyServer]) -> None:
    client, server = acme
    server.default = chat("Hello.")
    config = LLMPromptConfig(template="Say hi", model="acme/m")
    for _ in range(4):
        client.execute(config)
    client.cache._next_flush = 0.0
    client.cache.flush()
    with MCPClient(client.settings) as another:
        assert another.cache.find()[0].hits == 3


def test_configurations_and_resources_are_remembered_too(client: MCPClient) -> None:
    made: list[int] = []

    def fetch() -> dict[str, int]:
        made.append(len(made))
        return {"number": len(made)}

    def remembered(**more: Any) -> Any:
        return client.cache.remember("resource", {"url": "http://lists.example", "version": 2}, fetch, **more)

    assert [remembered(), remembered(), remembered(refresh=True), remembered()] == [
        {"number": 1},
        {"number": 1},
        {"number": 2},
        {"number": 2},
    ]
    assert remembered(actor=Actor(team="blue")) == {"number": 3}
    assert client.cache.remember("configuration", {"url": "http://lists.example", "version": 2}, fetch) == {"number": 4}
    kinds = sorted(item.labels["type"] for item in client.cache.find())
    assert kinds == ["configuration", "resource", "resource"]
    (item,) = client.cache.find(EntryFilter(type="configuration"))
    assert item.hits == 0
    assert client.cache.stats()["stored"] == 4
