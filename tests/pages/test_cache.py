import json
import re
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from mcp_core.cache.base import Cache, Entry
from mcp_core.cache.sqlite import SQLiteCache
from mcp_core.types.llm_prompt import LLMPromptConfig
from mcp_core.ui.cache_entry import LONGEST_SHOWN, readable
from tests.faulty import chat
from tests.made_runs import seed, week_of_runs
from tests.pages.conftest import KEY, Panel, shown

pytestmark = [pytest.mark.integration, pytest.mark.cache]


def entry(number: int, **fields: object) -> Entry:
    return Entry(
        **{
            "key": f"{number:064x}",
            "body": b'{"choices": [{"message": {"content": "Answer %d"}}]}' % number,
            "created_at": time.time() - 60 * number,
            "latency_seconds": 1.5,
            "cost_usd": Decimal("0.002"),
            "run_id": "",
            "labels": {"type": "llm_prompt", "model": "acme/m", "task": f"Task {number}"},
            **fields,
        }  # type: ignore[arg-type]
    )


def cache_of(panel: Panel) -> Cache:
    return panel.client._cache


def metric(page: AppTest, label: str) -> str:
    return next(str(found.value) for found in page.metric if found.label == label)


def entries(page: AppTest) -> Any:
    """The table of entries."""
    return next(table for table in page.dataframe if str(table.key).startswith("cache_entries_"))


def select(page: AppTest, row: int) -> None:
    """Tick a row of the table, as a browser does."""
    page.session_state[str(entries(page).key)] = {"selection": {"rows": [row], "columns": [], "cells": []}}
    page.run()


def test_an_empty_cache_says_what_to_do(panel: Panel) -> None:
    page = panel.open("cache")
    assert not page.exception
    assert "Nothing is remembered" in shown(page)
    assert [link.value for link in page.page_link] == ["Run a task"]
    assert metric(page, "Entries") == "0"
    assert metric(page, "Hit ratio") == "—"
    assert "0 % of 500 MB used" in page.progress[0].text


def test_what_the_cache_did_is_charted_and_counted(panel: Panel) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(200))
    page = panel.open("cache")
    assert not page.exception
    assert metric(page, "Hit ratio") == "25 %"
    assert metric(page, "Money saved") == "\\$0.05"
    assert metric(page, "Time saved") == "1 min 40 s"
    assert [chart.proto.alt for chart in page.get("plotly_chart")] == [
        "Hit ratio over time: 25 % overall.",
        "Cache outcomes over time: 50 hit, 0 stale, 150 miss, 0 bypass.",
        "Money saved by the cache over time: $0.05 in all.",
        "Time saved by the cache over time: 1 min 40 s in all.",
        "Size of the cache over time: 0 B at the end.",
        "Stored by the cache over time: 0 answers, 0 B; pushed out: 0 entries, 0 B.",
        "Cache outcomes by model: 1 shown, the busiest acme/m.",
    ]


@pytest.mark.parametrize(("group", "busiest"), [("Type", "llm_prompt"), ("Task", "Greet")])
def test_its_use_is_told_by_type_and_task(panel: Panel, group: str, busiest: str) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(8))
    page = panel.open("cache", cache_by=group)
    assert page.get("plotly_chart")[-1].proto.alt.endswith(f"the busiest {busiest}.")


def test_a_real_answer_is_listed_shown_and_forgotten(panel: Panel) -> None:
    panel.open()
    panel.server.script(chat("Hello you."))
    config = LLMPromptConfig(template="Say hi", name="Greet", model="acme/m")
    run = panel.client.execute(config)
    page = panel.open("cache")
    assert not page.exception
    row = entries(page).value.iloc[0]
    assert (row["model"], row["task"], row["state"]) == ("acme/m", "Greet", "fresh")
    assert "Select an entry to see its answer." in shown(page)
    select(page, 0)
    words = shown(page)
    assert "Hello you." in words
    assert KEY not in words
    assert run.cache.key is not None
    assert run.cache.key in words
    page.button(key="entry_delete").click().run()
    page.button(key="delete_entry_yes").click().run()
    assert [toast.value for toast in page.toast] == ["The answer is forgotten."]
    assert "Nothing is remembered" in shown(page)
    assert panel.client.execute(config).cache == "miss"


def test_an_entry_leads_to_its_run(panel: Panel) -> None:
    panel.open()
    panel.server.script(chat("Hello."))
    run = panel.client.execute(LLMPromptConfig(template="Say hi", model="acme/m"))
    page = panel.open("cache")
    select(page, 0)
    page.button(key="entry_run").click().run()
    assert page.title[0].value == "History"
    assert page.query_params["run"] in (run.id, [run.id])


def test_entries_come_in_pages_newest_first(panel: Panel) -> None:
    panel.open()
    for number in range(1, 121):
        cache_of(panel).set(entry(number))
    page = panel.open("cache")
    assert metric(page, "Entries") == "120"
    assert entries(page).value["task"].tolist() == [f"Task {number}" for number in range(1, 51)]
    page.session_state["cache_page"] = 3
    page.run()
    assert entries(page).value["task"].tolist() == [f"Task {number}" for number in range(101, 121)]


def test_secrets_and_size_of_a_body_are_kept_within_bounds(panel: Panel) -> None:
    panel.open()
    cache_of(panel).set(entry(1, body=f"not JSON {KEY} ".encode() + b"\xff" + b"x" * 60_000, expires_at=1.0))
    page = panel.open("cache")
    assert entries(page).value["state"].tolist() == ["outdated"]
    select(page, 0)
    code = next(str(block.value) for block in page.code)
    assert code.startswith("not JSON [redacted]")
    assert "characters in all" in code
    assert len(code) < 51_000
    assert "outdated, until 1970" in shown(page)


def test_clearing_asks_first_and_says_how_many(panel: Panel) -> None:
    panel.open()
    for number in range(3):
        cache_of(panel).set(entry(number, expires_at=None))
    page = panel.open("cache")
    page.button(key="clear_cache").click().run()
    assert "Forget 3 entries" in shown(page)
    assert panel.client.cache.size().entries == 3, "nothing is cleared before the answer"
    page.button(key="clear_all_entries_yes").click().run()
    assert [toast.value for toast in page.toast] == ["Forgot 3 entries."]
    assert panel.client.cache.size().entries == 0


def test_who_may_not_is_told(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    panel.open()
    cache_of(panel).set(entry(1))
    monkeypatch.setattr(panel.client, "actor", panel.client.actor.model_copy(update={"role": "viewer"}))
    page = panel.open("cache")
    select(page, 0)
    page.button(key="entry_delete").click().run()
    page.button(key="delete_entry_yes").click().run()
    assert "may not clear the cache" in page.toast[0].value
    page.button(key="clear_cache").click().run()
    page.button(key="clear_all_entries_yes").click().run()
    assert "may not clear the cache" in page.toast[0].value
    assert panel.client.cache.size().entries == 1


def test_an_entry_gone_meanwhile_is_said_to_be(panel: Panel) -> None:
    panel.open()
    cache_of(panel).set(entry(1))
    page = panel.open("cache")
    select(page, 0)
    page.button(key="entry_delete").click().run()
    cache_of(panel).clear()
    page.button(key="delete_entry_yes").click().run()
    assert [toast.value for toast in page.toast] == ["The answer was gone already."]


def test_a_cache_that_cannot_be_read_is_named_and_the_figures_stay(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(8))
    monkeypatch.setattr(panel.client.cache, "_cache", SQLiteCache(tmp_path, 1_000_000))
    page = panel.open("cache")
    assert not page.exception
    assert "The cache cannot be read; runs go on without it" in shown(page)
    assert page.warning[0].value
    assert not any(str(table.key).startswith("cache_entries_") for table in page.dataframe)
    assert metric(page, "Entries") == "unknown"
    assert metric(page, "Hit ratio") == "25 %"


def test_a_huge_entry_is_cut_before_it_is_searched_and_shows_no_half_of_a_key() -> None:
    secret = "sk-proj-" + "hunter2" * 5
    for before in range(LONGEST_SHOWN - 60, LONGEST_SHOWN + 1, 6):
        body = f"{'x ' * (before // 2)}{secret} {'a-' * 400_000}".encode()
        shown_body = readable(Entry("k", body))
        assert "hunter2" not in shown_body
        assert shown_body.endswith("characters in all")
        assert len(shown_body) < LONGEST_SHOWN + 100


def keys(page: AppTest) -> list[str]:
    """Beginnings of the keys in the table of entries."""
    return [str(key) for key in entries(page).value["key"]]


def test_entries_are_searched_ordered_and_filtered(panel: Panel) -> None:
    panel.open()
    cache = cache_of(panel)
    cache.set(entry(1, body=b"x" * 50_000, about='{"messages": "Wie hie\u00df das Schiff?"}'))
    cache.set(entry(2, labels={"type": "llm_prompt", "provider": "umbra", "model": "umbra/s", "task": "Sum up"}))
    cache.set(entry(3, latency_seconds=9.0))
    cache.get(entry(3).key)
    every = [entry(number).key[:12] for number in (1, 2, 3)]
    assert keys(panel.open("cache")) == every
    assert keys(panel.open("cache", cache_order="Oldest")) == every[::-1]
    assert keys(panel.open("cache", cache_order="Largest"))[0] == every[0]
    assert keys(panel.open("cache", cache_order="Most useful"))[0] == every[2]
    page = panel.open("cache", cache_q="schiff")
    assert len(entries(page).value) == 1
    assert entries(page).value["task"].tolist() == ["Task 1"]
    page = panel.open("cache")
    page.selectbox(key="cache_task").select("Sum up").run()
    assert entries(page).value["model"].tolist() == ["umbra/s"]
    page.selectbox(key="cache_task").select("").run()
    page.checkbox(key="cache_never").check().run()
    assert entries(page).value["task"].tolist() == ["Task 1", "Sum up"]
    page.selectbox(key="cache_age").select("30d").run()
    assert "No entry is like this." in shown(page)
    assert not [button for button in page.button if button.key == "forget_meant"]


def test_forgetting_by_filter_counts_first_and_spares_pinned_ones(panel: Panel) -> None:
    panel.open()
    cache = cache_of(panel)
    for number in range(1, 5):
        cache.set(entry(number, labels={"model": "acme/m", "task": f"Task {number % 2}"}))
    assert cache.pin(entry(1).key)
    page = panel.open("cache")
    page.selectbox(key="cache_task").select("Task 1").run()
    page.button(key="forget_meant").click().run()
    words = shown(page)
    assert "Forget 1 entry" in words
    assert "What is pinned stays (1 entry)." in words
    assert "2 entries" in page.button(key="forget_entries_all").label
    assert cache.size().entries == 4, "nothing is forgotten before the answer"
    page.button(key="forget_entries_yes").click().run()
    assert {item.key for item in cache.find()} == {entry(number).key for number in (1, 2, 4)}


def test_clearing_spares_pinned_ones_unless_told(panel: Panel) -> None:
    panel.open()
    cache = cache_of(panel)
    for number in range(1, 4):
        cache.set(entry(number))
    assert cache.pin(entry(2).key)
    page = panel.open("cache")
    page.button(key="clear_cache").click().run()
    page.button(key="clear_all_entries_yes").click().run()
    assert [item.key for item in cache.find()] == [entry(2).key]
    page.button(key="clear_cache").click().run()
    page.button(key="clear_all_entries_all").click().run()
    assert cache.size().entries == 0


def test_an_entry_is_pinned_and_let_go(panel: Panel) -> None:
    panel.open()
    cache_of(panel).set(entry(1))
    page = panel.open("cache")
    select(page, 0)
    page.button(key="entry_pin").click().run()
    assert page.toast[0].value == "The answer is pinned: it stays."
    assert entries(page).value["state"].tolist() == ["fresh, pinned"]
    page.button(key="entry_pin").click().run()
    assert page.toast[0].value == "The answer is no longer pinned."
    assert cache_of(panel).find()[0].pinned is False


def test_an_entry_is_asked_for_again(panel: Panel) -> None:
    panel.open()
    panel.server.script(chat("First."), chat("Second."))
    config = LLMPromptConfig(template="Say hi", name="Greet", model="acme/m")
    first = panel.client.execute(config)
    page = panel.open("cache")
    select(page, 0)
    assert "Say hi" in shown(page), "what was asked"
    page.button(key="entry_refresh").click().run()
    assert "asks again." in page.toast[0].value
    (run,) = [run for run in panel.client.runs.list()[0] if run.retry_of == first.id]
    for _ in panel.client.runs.follow(run.id):
        pass
    hit = panel.client.execute(config)
    assert (hit.output.text, str(hit.cache)) == ("Second.", "hit")


def test_what_cannot_be_asked_again_says_why(panel: Panel) -> None:
    panel.open()
    cache_of(panel).set(entry(1, run_id="gone"))
    page = panel.open("cache")
    select(page, 0)
    page.button(key="entry_refresh").click().run()
    assert "is not in the history" in page.toast[0].value


def test_hostile_entries_are_shown_letter_for_letter(panel: Panel) -> None:
    panel.open()
    evil = "<script>alert(1)</script> ![x](http://evil.example/?q=1) [a](javascript:alert(1)) :red[x] $x$"
    about = json.dumps({evil: f"{evil} {KEY}", "messages": evil})
    cache_of(panel).set(entry(1, body=f"{evil} {KEY}".encode(), about=about, labels={"model": evil, "task": evil}))
    page = panel.open("cache")
    select(page, 0)
    assert not page.exception
    # Within a span of code nothing is read as Markdown.
    words = [re.sub(r"`[^`]*`", "", str(block.value)) for block in (*page.markdown, *page.caption)]
    assert not any("![x](" in word or "<script>" in word for word in words)
    code = [str(block.value) for block in page.code]
    assert any(evil in block for block in code)
    assert KEY not in shown(page)


def test_the_settings_say_what_they_do(panel: Panel) -> None:
    page = panel.open("cache")
    words = shown(page)
    for name in ("BACKEND", "TTL", "MAX_BYTES", "ENCRYPTION"):
        assert f"`MCP_CACHE_{name}`" in words
    assert "one file of the data directory" in words


def test_an_entry_that_outlives_the_calendar_is_fresh_for_ever(panel: Panel) -> None:
    panel.open()
    cache_of(panel).set(entry(1, expires_at=1e15))
    page = panel.open("cache")
    select(page, 0)
    assert not page.exception
    assert any("fresh for ever" in caption.value for caption in page.caption)
