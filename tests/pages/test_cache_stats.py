"""The command line, the page and a recount of the history tell the same of the cache, also after a restart."""

import json
import time
from collections import Counter, defaultdict
from decimal import Decimal
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from mcp_core import formats
from mcp_core.cli import main
from mcp_core.errors import ConfigurationError
from mcp_core.models import Run
from mcp_core.types.llm_prompt import LLMPromptConfig
from mcp_core.ui.client import release_client
from tests.faulty import chat, status
from tests.pages.conftest import Panel

pytestmark = [pytest.mark.integration, pytest.mark.cache]

OUTCOMES = {"hits": "hit", "misses": "miss", "stale": "stale", "bypass": "bypass"}


def _config(text: str, *, name: str = "Greet", model: str = "acme/m", **cache: Any) -> LLMPromptConfig:
    return LLMPromptConfig(template=text, name=name, model=model, max_retries=0, cache=cache or "use")


def _some_of_each(panel: Panel) -> None:
    """Two misses and a hit of each of two tasks, one bypass, one refresh, one failure and one stale answer.

    Also one miss that may not ask, and a refused run that gets to neither the cache nor a model.
    """
    panel.server.default = chat("Hello you.")
    execute = panel.client.execute
    for name, model in (("Greet", "acme/m"), ("Sum up", "acme/n")):
        for text in ("one", "two", "one"):
            assert execute(_config(f"{text} {name}", name=name, model=model)).status == "succeeded"
    assert execute(_config("one Greet", mode="bypass")).cache == "bypass"
    assert execute(_config("one Greet", mode="refresh")).cache == "miss"
    brief = _config("brief", ttl=0.001)
    assert execute(brief).cache == "miss"
    until = time.monotonic() + 30
    while all(item.is_fresh() for item in panel.client.cache.find()):
        assert time.monotonic() < until
        time.sleep(0.01)
    panel.server.default = status(503)
    assert execute(brief).cache == "stale"
    assert execute(_config("nobody answers this")).status == "failed"
    assert execute(_config("nobody may ask this", mode="only")).cache == "miss"
    with pytest.raises(ConfigurationError, match="missing"):
        execute(_config("{{ missing }}"), {})


def _recounted(runs: list[Run]) -> dict[str, Any]:
    outcomes: Counter[str] = Counter(run.cache.outcome for run in runs if run.attempts or run.cache != "bypass")
    served = outcomes["hit"] + outcomes["stale"]
    return {
        **{name: outcomes[outcome] for name, outcome in OUTCOMES.items()},
        "hit_ratio": served / (served + outcomes["miss"]),
        "saved_usd": sum((run.cache.saved_usd or Decimal(0) for run in runs), Decimal(0)),
        "saved_seconds": pytest.approx(sum(run.cache.saved_seconds or 0.0 for run in runs), abs=1e-4),
    }


def _of(stats: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    return {name: Decimal(stats[name]) if name == "saved_usd" else stats[name] for name in like}


def _metric(page: AppTest, label: str) -> str:
    return next(str(found.value) for found in page.metric if found.label == label)


def test_three_ways_to_count_agree(panel: Panel, capsys: pytest.CaptureFixture[str]) -> None:
    panel.open()
    _some_of_each(panel)
    runs = list(panel.client.runs.iterate())
    expected = _recounted(runs)
    assert (expected["hits"], expected["stale"], expected["bypass"]) == (2, 1, 1)
    page = panel.open("cache")
    assert not page.exception
    size = panel.client.cache.size()
    release_client()  # so that nothing is known but what was written down

    capsys.readouterr()
    assert main(["cache", "stats", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert _of(told, expected) == expected
    assert (told["entries"], told["size_bytes"]) == (size.entries, size.size_bytes)
    # Every answer that came from the wire and was asked for by the cache's leave was stored.
    got = [run for run in runs if run.cache == "miss" and run.status == "succeeded"]
    assert (told["stored"], told["evictions"]) == (len(got), 0)
    assert told["stored_bytes"] > 0

    for group, name_of in (("task", "name"), ("model", "model"), ("type", "type")):
        split = defaultdict(list)
        for run in runs:
            split[getattr(run, name_of)].append(run)
        by = {row["name"]: row for row in told["by"][group]}
        assert by.keys() == split.keys()
        for name, its_runs in split.items():
            again = _recounted(its_runs)
            assert _of(by[name], again) == again
    (provider,) = told["by"]["provider"]
    assert _of(provider, expected) == expected
    assert provider["name"] == "acme"

    assert _metric(page, "Hit ratio") == formats.ratio(expected["hit_ratio"])
    assert _metric(page, "Money saved") == formats.money(expected["saved_usd"]).replace("$", "\\$")
    assert _metric(page, "Time saved") == formats.seconds(told["saved_seconds"])
    assert _metric(page, "Entries") == f"{size.entries:,}"
    table = next(found.value for found in page.dataframe if "evictions" in found.value.columns)
    names = ("name", "hits", "misses", "stale")
    rows = [[*(row[name] for name in names), row["stored_bytes"] / 1000] for row in told["by"]["model"]]  # in kB
    assert table[["model", "hits", "misses", "stale", "stored"]].to_numpy().tolist() == rows
    alts = [chart.proto.alt for chart in page.get("plotly_chart")]
    outcomes = ", ".join(f"{expected[many]} {one}" for many, one in (("hits", "hit"), ("stale", "stale")))
    assert f"Cache outcomes over time: {outcomes}, {expected['misses']} miss, {expected['bypass']} bypass." in alts
    stored = f"{told['stored']} answers, {formats.file_size(told['stored_bytes'])}"
    assert f"Stored by the cache over time: {stored}; pushed out: 0 entries, 0 B." in alts
    assert f"Size of the cache over time: {formats.file_size(size.size_bytes)} at the end." in alts


def test_what_was_pushed_out_is_counted_after_a_restart(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_CACHE_MAX_BYTES", "1MB")
    panel.open()
    panel.server.default = chat("".join(chr(97 + number * number * 7 % 26) for number in range(15_000)))
    for number in range(90):
        panel.client.execute(_config(f"text {number}"))
    before = panel.client.cache.stats()
    assert before["evictions"] > 0
    assert before["evicted_bytes"] > before["evictions"] * 10_000
    assert before["stored"] == 90
    assert before["entries"] == 90 - before["evictions"]
    release_client()
    panel.open("cache")
    after = panel.client.cache.stats()
    for name in ("stored", "stored_bytes", "evictions", "evicted_bytes", "entries", "misses"):
        assert after[name] == before[name]
    assert [row["evictions"] for row in after["by"]["task"]] == [before["evictions"]]
