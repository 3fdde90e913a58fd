"""`cache entries`, `show`, `pin`, `unpin`, `refresh`, `delete`, `stats` and `clear`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result
from tests.cli.server import ModelServer

pytestmark = [pytest.mark.integration, pytest.mark.cache]

Cli = Callable[..., Result]


@pytest.fixture
def runs(cli: Cli, task: Path, model_server: ModelServer) -> list[str]:
    """Ids of the runs that got two answers; the first has been given again once."""
    ids = [cli("run", "shorten", "--var", f"text={text}", "--json").json["id"] for text in ("one", "two", "one")]
    return ids[:2]


def _keys(cli: Cli, *filters: str) -> list[str]:
    return [entry["key"] for entry in cli("cache", "entries", "--json", *filters).json["entries"]]


def test_entries_are_listed_ordered_and_filtered(cli: Cli, runs: list[str]) -> None:
    listed = cli("cache", "entries", "--json").json
    assert [entry["run_id"] for entry in listed["entries"]] == runs[::-1]
    assert (listed["count"], [entry["hits"] for entry in listed["entries"]]) == (2, [0, 1])
    second, first = _keys(cli)
    assert _keys(cli, "--order", "oldest") == [first, second]
    assert _keys(cli, "--order", "useful", "--limit", "1") == [first]
    assert _keys(cli, "--offset", "1") == [first]
    assert _keys(cli, "--never-hit") == [second]
    assert _keys(cli, "--provider", "acme", "--model", "acme/small", "--type", "llm_prompt") == [second, first]
    assert _keys(cli, "--task", "nobody") == []
    assert _keys(cli, "--text", "TWO") == [second]
    assert _keys(cli, "--older-than", "1h") == []
    assert _keys(cli, "--pinned") == []
    table = cli("cache", "entries", "--limit", "1")
    heading, row = table.out.splitlines()
    assert heading.split("\t")[:3] == ["key", "state", "model"]
    assert row.split("\t")[:3] == [second[:16], "fresh", "acme/small"]
    assert "2 in all. More: --offset 1" in table.err
    assert "No entry matches" in cli("cache", "entries", "--task", "nobody").err


def test_an_entry_is_shown_with_what_was_asked(cli: Cli, runs: list[str]) -> None:
    key = _keys(cli, "--text", "two")[0]
    shown = cli("cache", "show", key[:10], "--json").json
    assert (shown["key"], shown["run_id"]) == (key, runs[1])
    assert "A short answer." in shown["body"]
    assert "two" in shown["parts"]["messages"]
    words = cli("cache", "show", key).out
    assert "A short answer." in words
    assert f"key       {key}" in words
    assert "messages " in words
    assert cli("cache", "show", "nowhere").code == 2


def test_a_pinned_entry_stays(cli: Cli, runs: list[str]) -> None:
    second, first = _keys(cli)
    assert cli("cache", "pin", first, "--json").json["pinned"] is True
    assert _keys(cli, "--pinned") == [first]
    assert "fresh, pinned" in cli("cache", "entries").out
    assert cli("cache", "clear", "--yes", "--json").json == {"cleared": 1}
    assert cli("cache", "stats", "--json").json["pinned"] == 1
    assert "1 of them pinned" in cli("cache", "stats").out
    assert cli("cache", "delete", "--type", "llm_prompt", "--yes", "--json").json == {"deleted": 0}
    assert cli("cache", "unpin", first).out == f"{first} is no longer pinned.\n"
    assert cli("cache", "pin", first).out == f"{first} is pinned.\n"
    assert cli("cache", "clear", "--pinned-too", "--yes", "--json").json == {"cleared": 1}
    assert cli("cache", "pin", second).code == 2


def test_entries_are_deleted_by_key_and_by_filter(cli: Cli, runs: list[str]) -> None:
    second, first = _keys(cli)
    assert cli("cache", "delete", second).code == 2, "nobody is there to ask"
    assert cli("cache", "delete", "--yes").code == 2
    assert cli("cache", "delete", first, "--never-hit", "--yes").code == 2
    assert cli("cache", "delete", second[:12], "--yes").out == "1 answer forgotten.\n"
    assert _keys(cli) == [first]
    assert cli("cache", "delete", "--text", "one", "--yes", "--json").json == {"deleted": 1}
    assert _keys(cli) == []


def test_an_answer_is_asked_for_again(cli: Cli, runs: list[str], model_server: ModelServer) -> None:
    key = _keys(cli, "--text", "two")[0]
    model_server.answer = ["Another."]
    run = cli("cache", "refresh", key, "--json").json
    assert (run["output"]["text"], run["cache"]["outcome"], run["retry_of"]) == ("Another.", "miss", runs[1])
    assert "Another." in cli("cache", "show", key).out
    model_server.status = 400
    failed = cli("cache", "refresh", key)
    assert failed.code == 1
    assert "The former answer stays." in failed.err
    assert "Another." in cli("cache", "show", key).out


def test_use_is_told_by_what_it_is_of(cli: Cli, runs: list[str]) -> None:
    by = cli("cache", "stats", "--json").json["by"]
    assert [(row["name"], row["hits"], row["misses"], row["stored"]) for row in by["model"]] == [
        ("acme/small", 1, 2, 2)
    ]
    lines = cli("cache", "stats", "--by", "provider").out.splitlines()
    assert lines[-1].split("\t")[:5] == ["acme", "1", "2", "0", "33 %"]
    assert any(line.startswith("stored\t2 answers, ") for line in lines)
