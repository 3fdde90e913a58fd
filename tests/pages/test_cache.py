import time
from decimal import Decimal
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from mcp_core.cache.base import Cache, Entry
from mcp_core.cache.sqlite import SQLiteCache
from mcp_core.types.llm_prompt import LLMPromptConfig
from mcp_core.ui.cache_view import LONGEST_SHOWN, _readable
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


def select(page: AppTest, row: int) -> None:
    """Tick a row of the table, as a browser does."""
    page.session_state[str(page.dataframe[0].key)] = {"selection": {"rows": [row], "columns": [], "cells": []}}
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
    row = page.dataframe[0].value.iloc[0]
    assert (row["model"], row["task"], row["state"]) == ("acme/m", "Greet", "fresh")
    assert "Select an entry to see its answer." in shown(page)
    select(page, 0)
    words = shown(page)
    assert "Hello you." in words
    assert KEY not in words
    assert run.cache.key is not None
    assert run.cache.key in words
    page.button(key="entry_delete").click().run()
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
    assert page.dataframe[0].value["task"].tolist() == [f"Task {number}" for number in range(1, 51)]
    page.session_state["cache_page"] = 3
    page.run()
    assert page.dataframe[0].value["task"].tolist() == [f"Task {number}" for number in range(101, 121)]


def test_secrets_and_size_of_a_body_are_kept_within_bounds(panel: Panel) -> None:
    panel.open()
    cache_of(panel).set(entry(1, body=f"not JSON {KEY} ".encode() + b"\xff" + b"x" * 60_000, expires_at=1.0))
    page = panel.open("cache")
    assert page.dataframe[0].value["state"].tolist() == ["outdated"]
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
    assert "Forget all 3 entries" in shown(page)
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
    cache_of(panel).clear()
    page.button(key="entry_delete").click().run()
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
    assert not page.dataframe
    assert metric(page, "Entries") == "unknown"
    assert metric(page, "Hit ratio") == "25 %"


def test_a_huge_entry_is_cut_before_it_is_searched_and_shows_no_half_of_a_key() -> None:
    secret = "sk-proj-" + "hunter2" * 5
    for before in range(LONGEST_SHOWN - 60, LONGEST_SHOWN + 1, 6):
        body = f"{'x ' * (before // 2)}{secret} {'a-' * 400_000}".encode()
        shown_body = _readable(Entry("k", body))
        assert "hunter2" not in shown_body
        assert shown_body.endswith("characters in all")
        assert len(shown_body) < LONGEST_SHOWN + 100
