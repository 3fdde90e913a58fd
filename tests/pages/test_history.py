import csv
import io
import json
import time
from datetime import timedelta

import pytest
from streamlit.testing.v1 import AppTest

from mcp_core.models import Attempt, CacheOutcome, RunEvent, RunStatus
from mcp_core.store import RunFilter
from mcp_core.types.llm_prompt import LLMPromptConfig
from mcp_core.ui.bulk import cancel_runs, delete_runs, repeat_runs
from mcp_core.ui.table_look import COLUMNS_KEY, exported
from tests.faulty import chat, hang, stream
from tests.made_runs import made_run, seed, week_of_runs
from tests.pages.conftest import KEY, Panel, shown

pytestmark = pytest.mark.integration


def table(page: AppTest) -> "list[str]":
    """Ids of the runs in the page's table."""
    return [str(run_id) for run_id in page.dataframe[0].value["id"]]


def metric(page: AppTest, label: str) -> str:
    return next(str(found.value) for found in page.metric if found.label == label)


def alts(page: AppTest) -> list[str]:
    return [chart.proto.alt for chart in page.get("plotly_chart")]


def task(**fields: object) -> LLMPromptConfig:
    return LLMPromptConfig.model_validate({"template": "Say hi", "name": "Greet", "model": "acme/m", **fields})


def test_an_empty_history_says_what_to_do(panel: Panel) -> None:
    page = panel.open("history")
    assert not page.exception
    assert "Nothing has run yet" in shown(page)
    assert [link.value for link in page.page_link] == ["Run the first task"]
    assert not page.metric


def test_hundreds_of_runs_are_charted_and_counted(panel: Panel) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(400))
    page = panel.open("history")
    assert not page.exception
    assert metric(page, "Runs") == "400"
    assert metric(page, "Success rate") == "90 %"
    assert metric(page, "Hit ratio") == "25 %"
    assert metric(page, "Cost") == "\\$0.30"
    assert metric(page, "Saved") == "\\$0.10"
    assert metric(page, "95th percentile").endswith(" s")
    assert len(page.metric[0].proto.chart_data) == 8, "a step a day, whether anything ran or not"
    assert alts(page) == [
        "Runs over time: 400 in all, 360 succeeded, 40 failed.",
        next(alt for alt in alts(page) if alt.startswith("Latency over time: median up to")),
        "Cost over time: $0.30 in all.",
        "Errors over time: 40 in all, most of them APIError.",
    ]
    assert len(table(page)) == 100


def test_an_unknown_cost_is_unknown_and_not_nothing(panel: Panel) -> None:
    panel.open()
    seed(panel.client.store, [made_run(cost_usd=None) for _ in range(3)])
    page = panel.open("history")
    assert metric(page, "Cost") == "unknown"
    assert page.dataframe[0].value["cost_usd"].isna().all()
    assert page.dataframe[0].proto.placeholder == "unknown"


def test_a_link_restores_the_filters(panel: Panel) -> None:
    panel.open()
    wanted = made_run(name="Weekly report", model="acme/n", hours_ago=2)
    seed(panel.client.store, [*week_of_runs(40), wanted])
    page = panel.open("history", range="24h", statuses="Succeeded", models="acme/n", q="weekly")
    assert not page.exception
    assert table(page) == [wanted.id]
    assert page.session_state["range"] == "24h"
    assert page.session_state["statuses"] == ["succeeded"]
    assert page.session_state["models"] == ["acme/n"]
    assert page.text_input(key="q").value == "weekly"


def test_filters_narrow_the_table_and_can_be_cleared(panel: Panel) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(40))
    page = panel.open("history")
    page.session_state["statuses"] = ["failed"]
    page.run()
    assert len(table(page)) == 4
    page.text_input(key="q").set_value("no run has this").run()
    assert "No run matches" in shown(page)
    page.button(key="clear_all").click().run()
    assert len(table(page)) == 40


def test_filters_of_type_and_cache_join(panel: Panel) -> None:
    panel.open()
    seed(panel.client.store, [*week_of_runs(20), made_run(type="gone_plugin", cache=CacheOutcome(outcome="bypass"))])
    page = panel.open("history", types="gone_plugin")
    assert len(table(page)) == 1
    assert "gone_plugin" in page.multiselect(key="types").options
    page.session_state["outcomes"] = ["hit"]
    page.run()
    assert "No run matches" in shown(page)


def test_columns_have_their_order_and_are_restored_by_a_link(panel: Panel) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(5))
    page = panel.open("history", cols="Error")
    assert list(page.dataframe[0].proto.column_order) == ["open", "error_type"]
    page.multiselect(key="cols").set_value(["model", "error_type"]).run()
    assert list(page.dataframe[0].proto.column_order) == ["open", "model", "error_type"]
    page.multiselect(key="cols").set_value([]).run()
    assert "name" in page.dataframe[0].proto.column_order, "a table without columns is no table"


def test_columns_are_kept_for_the_person_and_a_link_has_its_own(panel: Panel) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(5))
    page = panel.open("history")
    page.multiselect(key="cols").set_value(["error_type", "name"]).run()
    assert panel.client.preferences.get(COLUMNS_KEY) == ["error_type", "name"]

    another_session = panel.open("history")
    assert list(another_session.dataframe[0].proto.column_order) == ["open", "error_type", "name"]
    from_link = panel.open("history", cols="Model")
    assert list(from_link.dataframe[0].proto.column_order) == ["open", "model"]
    assert panel.client.preferences.get(COLUMNS_KEY) == ["error_type", "name"], "looking at a link chooses nothing"
    somebody = panel.client.actor.model_copy(update={"id": "somebody"})
    assert panel.client.preferences.get(COLUMNS_KEY, actor=somebody) is None

    another_session.multiselect(key="cols").set_value([]).run()
    assert "name" in panel.open("history").dataframe[0].proto.column_order, "nothing chosen is nothing kept"


@pytest.mark.parametrize("kept", [["gone", "model", "model", 7], "model", {"a": 1}, []])
def test_columns_of_another_version_do_no_harm(panel: Panel, kept: object) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(2))
    panel.client.preferences.set(COLUMNS_KEY, kept)
    page = panel.open("history")
    assert not page.exception
    shown_columns = list(page.dataframe[0].proto.column_order)
    assert shown_columns == ["open", "model"] if isinstance(kept, list) and kept else "name" in shown_columns


def test_columns_that_cannot_be_kept_are_shown_all_the_same(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(2))
    page = panel.open("history")
    panel.client.store.flush()
    monkeypatch.setattr(panel.client.store._preferences._writer, "_closed", True)
    page.multiselect(key="cols").set_value(["model"]).run()
    assert list(page.dataframe[0].proto.column_order) == ["open", "model"]
    assert "are not kept" in page.toast[0].value


def test_pages_go_on_where_the_last_one_ended(panel: Panel) -> None:
    panel.open()
    runs = week_of_runs(60)
    seed(panel.client.store, runs)
    newest_first = [run.id for run in sorted(runs, key=lambda run: run.created_at, reverse=True)]
    page = panel.open("history", rows="25")
    assert table(page) == newest_first[:25]
    page.button(key="page_next").click().run()
    assert table(page) == newest_first[25:50]
    link = page.query_params["before"]
    page.button(key="page_next").click().run()
    assert table(page) == newest_first[50:]
    assert page.button(key="page_next").disabled
    page.button(key="page_back").click().run()
    assert table(page) == newest_first[25:50]
    page.button(key="page_back").click().run()
    assert table(page) == newest_first[:25]
    assert "before" not in page.query_params

    from_link = panel.open("history", rows="25", before=link)
    assert table(from_link) == newest_first[25:50]
    from_link.button(key="page_first").click().run()
    assert table(from_link) == newest_first[:25]


def test_all_runs_are_sorted_and_not_the_page(panel: Panel) -> None:
    panel.open()
    runs = [made_run(hours_ago=number + 1, seconds=number * 7 % 60 + 1) for number in range(60)]
    seed(panel.client.store, runs)
    longest_first = [run.id for run in sorted(runs, key=lambda run: (run.duration_seconds or 0, run.id), reverse=True)]
    page = panel.open("history", rows="25")
    assert page.selectbox(key="sort_by").value == "created"
    page.button(key="page_next").click().run()
    page.selectbox(key="sort_by").set_value("duration").run()
    assert page.query_params["sort"] == "duration"
    assert "before" not in page.query_params, "another order begins at its first page"
    assert table(page) == longest_first[:25]
    page.button(key="page_next").click().run()
    assert table(page) == longest_first[25:50]
    link = dict(page.query_params)
    page.button(key="sort_turn").click().run()
    assert page.query_params["sort"] == "duration:asc"
    assert table(page) == longest_first[:-26:-1]

    from_link = panel.open("history", **link)
    assert table(from_link) == longest_first[25:50]
    assert from_link.selectbox(key="sort_by").value == "duration"
    from_link.selectbox(key="sort_by").set_value("created").run()
    assert "sort" not in from_link.query_params
    assert table(from_link) == [run.id for run in sorted(runs, key=lambda run: run.created_at, reverse=True)][:25]


def test_another_filter_begins_at_the_first_page(panel: Panel) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(60))
    page = panel.open("history", rows="25")
    page.button(key="page_next").click().run()
    page.session_state["statuses"] = ["succeeded"]
    page.run()
    assert "before" not in page.query_params
    assert page.button(key="page_first").disabled


def test_a_place_that_is_none_is_said_to_be_none(panel: Panel) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(3))
    page = panel.open("history", before="not a place")
    assert "it is no place in this list" in page.warning[0].value
    assert "before" not in page.query_params
    assert len(table(page)) == 3


def test_downloads_hold_what_matches_and_no_formula(panel: Panel) -> None:
    panel.open()
    evil = made_run(name="=HYPERLINK(1)", variables={"x": 1}, cost_usd=None)
    seed(panel.client.store, [*week_of_runs(4), evil])
    where = RunFilter(names=("=HYPERLINK(1)",))
    as_csv = exported(panel.client, where, "csv")
    assert as_csv.startswith(b"\xef\xbb\xbf"), "spreadsheets tell UTF-8 by its mark"
    rows = list(csv.DictReader(io.StringIO(as_csv.decode("utf-8-sig"))))
    assert [(row["id"], row["name"], row["cost_usd"]) for row in rows] == [(evil.id, "'=HYPERLINK(1)", "")]
    assert json.loads(exported(panel.client, where, "json")) == {"runs": [evil.as_json()], "next": None}
    page = panel.open("history")
    assert {button.label for button in page.download_button} == {
        "CSV, for spreadsheets",
        "JSON, with everything",
    }


def test_nothing_selected_leaves_the_buttons_grey(panel: Panel) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(3))
    page = panel.open("history")
    assert all(page.button(key=f"bulk_{name}").disabled for name in ("open", "cancel", "repeat", "delete"))


def select(page: AppTest, *rows: int) -> None:
    """Tick rows of the table, as a browser does."""
    key, _ = page.session_state["history_table_chosen"]
    page.session_state[key] = {"selection": {"rows": list(rows), "columns": [], "cells": []}}
    page.run()


def test_several_runs_are_deleted_after_a_question(panel: Panel) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(6))
    page = panel.open("history")
    ids = table(page)
    select(page, 0, 2)
    assert "2 runs selected" in shown(page)
    page.button(key="bulk_delete").click().run()
    assert "Delete 2 runs with everything they answered?" in shown(page)
    assert len(panel.client.runs.list()[0]) == 6, "nothing is deleted before the answer"
    page.button(key="delete_runs_yes").click().run()
    assert table(page) == [ids[1], *ids[3:]]
    assert [toast.value for toast in page.toast] == ["Deleted 2 runs."]
    assert page.button(key="bulk_delete").disabled, "what is gone is not selected any more"


def test_a_selection_stays_with_its_runs_when_another_comes(panel: Panel) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(4))
    page = panel.open("history")
    chosen = table(page)[1]
    select(page, 1)
    newest = made_run(hours_ago=0.1)
    seed(panel.client.store, [newest])
    page.run()
    assert table(page)[0] == newest.id
    page.button(key="bulk_delete").click().run()
    page.button(key="delete_runs_yes").click().run()
    assert chosen not in table(page)
    assert len(table(page)) == 4


def test_several_runs_are_repeated_after_a_question(panel: Panel) -> None:
    panel.open()
    panel.server.script(stream("Hi."))
    config = task(cache={"mode": "bypass"})
    done = [panel.client.submit(config).result(20) for _ in range(2)]
    page = panel.open("history")
    select(page, 0, 1)
    page.button(key="bulk_repeat").click().run()
    assert "Run 2 runs again" in shown(page)
    page.button(key="repeat_runs_yes").click().run()
    repeats = [run for run in panel.client.runs.list()[0] if run.retry_of]
    assert {run.retry_of for run in repeats} == {run.id for run in done}


def test_several_runs_are_cancelled_and_the_table_looks_again_while_one_goes_on(panel: Panel) -> None:
    panel.open()
    panel.server.script(hang())
    handle = panel.client.submit(task())
    deadline = time.monotonic() + 60
    while panel.server.calls == 0:  # the server holds the run from then on
        assert time.monotonic() < deadline, "nobody was asked"
        time.sleep(0.02)
    page = panel.open("history")
    assert page.dataframe[0].value["status"].tolist() == [["Running"]]
    select(page, 0)
    page.button(key="bulk_cancel").click().run()
    assert handle.result(60).status is RunStatus.CANCELLED
    page.run()
    assert page.dataframe[0].value["status"].tolist() == [["Cancelled"]]


def test_what_an_action_could_not_do_is_said(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(2))
    page = panel.open("history")
    ids = table(page)
    viewer = panel.client.actor.model_copy(update={"role": "viewer"})
    monkeypatch.setattr(panel.client, "actor", viewer)
    select(page, 0)
    page.button(key="bulk_delete").click().run()
    page.button(key="delete_runs_yes").click().run()
    assert "may not delete" in page.toast[0].value
    assert table(page) == ids
    page.button(key="bulk_cancel").click().run()
    assert "goes on" in page.toast[0].value
    page.button(key="bulk_repeat").click().run()
    page.button(key="repeat_runs_yes").click().run()
    assert "was not repeated" in page.toast[0].value


def test_actions_outside_a_page_are_the_clients(panel: Panel) -> None:
    panel.open()
    run = made_run()
    seed(panel.client.store, [run])
    actor = panel.client.actor
    cancel_runs(panel.client, [run.id], actor)
    repeat_runs(panel.client, ["there is no such run"], actor)
    delete_runs(panel.client, [run.id, "gone before"], actor)
    assert panel.client.runs.list()[0] == []


# A run's own page


def test_a_run_that_is_not_there_is_said_to_be_gone(panel: Panel) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(3))
    page = panel.open("history", run="0123nothing")
    assert not page.exception
    assert "There is no run" in page.warning[0].value
    assert "history list" not in page.warning[0].value, "a page names no command"
    assert "run" not in page.query_params
    assert len(table(page)) == 3, "the runs there are stand below"


def test_a_runs_page_shows_what_was_asked_and_what_came_of_it(panel: Panel) -> None:
    panel.open()
    panel.server.script(stream("Hel", "lo **you**."))
    run = panel.client.submit(task(template="Say {{ word }}", tags=["first", "*second*"]), {"word": "hi"}).result(20)
    page = panel.open("history", run=run.id)
    assert not page.exception
    words = shown(page)
    assert "Greet" in words
    assert "Hello **you**." in words
    assert "Asked the model" in str([badge.proto for badge in page.get("badge")]) or "Asked the model" in words
    assert "has not been run like this before" in words
    assert run.id in words
    assert "\\*second\\*" in words, "a tag is shown letter for letter"
    assert alts(page)[0].startswith("Timeline of the run: 3 bars")
    assert KEY not in words


def part(page: AppTest, name: str) -> str:
    page.session_state["part"] = name
    page.run()
    assert not page.exception
    return shown(page)


def test_its_parts_show_input_events_attempts_and_log(panel: Panel) -> None:
    panel.open()
    panel.server.script(stream("Hello."))
    run = panel.client.submit(task(template="Say {{ word }}"), {"word": "hi"}).result(20)
    page = panel.open("history", run=run.id)
    part(page, "Input")
    assert json.loads(page.json[0].value) == {"word": "hi"}
    assert json.loads(page.json[1].value)["template"] == "Say {{ word }}"
    part(page, "Events")
    kinds = page.dataframe[0].value["kind"].tolist()
    assert (kinds[0], kinds[-1]) == ("queued", "finished")
    assert "token" not in kinds
    assert json.loads(page.dataframe[0].value["data"].iloc[-1]) == {"status": "succeeded"}
    part(page, "Attempts")
    assert page.dataframe[0].value[["model", "status"]].values.tolist() == [["acme/m", "200"]]
    assert "succeeded" in part(page, "Log")


def test_a_run_without_parts_says_so(panel: Panel) -> None:
    panel.open()
    run = made_run(variables={}, cache=CacheOutcome())
    seed(panel.client.store, [run])
    page = panel.open("history", run=run.id)
    assert "This run has none." in part(page, "Input")
    assert "No events are kept" in part(page, "Events")
    assert "No model server was asked." in part(page, "Attempts")
    assert "The log says nothing about this run." in part(page, "Log")


def test_a_log_that_cannot_be_read_is_named(panel: Panel) -> None:
    panel.open()
    run = made_run()
    seed(panel.client.store, [run])
    log = panel.client.settings.data_dir / "logs" / "panel.log"
    log.unlink(missing_ok=True)
    log.mkdir(parents=True)
    page = panel.open("history", run=run.id)
    assert "The log file cannot be read" in part(page, "Log")


def test_a_hit_leads_to_the_run_that_was_answered_first(panel: Panel) -> None:
    panel.open()
    panel.server.script(chat("Hello."))
    first = panel.client.execute(task())
    again = panel.client.execute(task())
    assert again.cache == "hit"
    page = panel.open("history", run=again.id)
    page.button(key="go_original").click().run()
    assert page.query_params["run"] == first.id


def test_a_miss_tells_what_changed(panel: Panel) -> None:
    panel.open()
    panel.server.script(chat("Hello."))
    panel.client.execute(task(temperature=0.1))
    warmer = panel.client.execute(task(temperature=0.9))
    assert "because this changed since the last such run: the temperature." in shown(
        panel.open("history", run=warmer.id)
    )


def test_children_parent_and_repeats_are_linked(panel: Panel) -> None:
    panel.open()
    parent = made_run(name="Parent")
    child = made_run(name="Child *one*", parent_id=parent.id, retry_of=parent.id)
    seed(panel.client.store, [parent, child])
    page = panel.open("history", run=parent.id)
    page.button(key=f"child_{child.id}").click().run()
    assert page.query_params["run"] == child.id
    labels = [button.label for button in page.button]
    assert f"Started by run {parent.id[:12]}" in labels
    assert f"Repeats run {parent.id[:12]}" in labels


def test_files_of_a_run_can_be_downloaded(panel: Panel) -> None:
    panel.open()
    run = made_run()
    seed(panel.client.store, [run.model_copy(update={"status": RunStatus.RUNNING, "finished_at": None})])
    file = panel.client.store.put_artifact(run.id, "plan.txt", "text/plain", b"one two")
    seed(panel.client.store, [run.model_copy(update={"output": run.output.model_copy(update={"artifacts": (file,)})})])
    page = panel.open("history", run=run.id)
    assert "plan.txt (7 B)" in [button.label.replace("\\", "") for button in page.download_button]


def test_a_run_that_goes_on_is_followed(panel: Panel) -> None:
    panel.open()
    panel.server.script(hang())
    handle = panel.client.submit(task())
    page = panel.open("history", run=handle.id)
    assert not page.exception
    assert "Waiting" in shown(page)
    assert "Timeline of the run" in alts(page)[0]
    handle.cancel()
    handle.result(20)
    page.run()
    assert "cancelled" in shown(page)


def test_many_events_are_cut_and_said_to_be(panel: Panel) -> None:
    panel.open()
    run = made_run()
    events = [
        RunEvent(
            run_id=run.id, seq=n, kind="log", at=run.created_at + timedelta(milliseconds=n), data={"n": "x" * 3000}
        )
        for n in range(1, 1006)
    ]
    attempt = Attempt(number=1, provider="acme", model="m", started_at=run.created_at, duration_seconds=1.0)
    panel.client.store.save_run(run.model_copy(update={"attempts": (attempt,)}), events=events)
    page = panel.open("history", run=run.id)
    assert "The first 1,000 of 1,005 events." in part(page, "Events")
    assert len(page.dataframe[0].value) == 1000
    part(page, "Attempts")
    assert page.dataframe[0].value["status"].tolist() == ["no answer"]


def test_a_hit_explains_itself(panel: Panel) -> None:
    panel.open()
    panel.server.script(chat("Hello."))
    first = panel.client.execute(task())
    hit = panel.client.execute(task())
    page = panel.open("history", run=hit.id)
    words = shown(page)
    assert "The answer came from the cache, " in words
    assert "Getting it took" not in words, "beside what was saved, another time only raises questions"
    assert "That saved " in words
    assert [button for button in page.button if button.key == "go_original"]
    page.session_state["cache_key"] = True
    assert "**The text that was sent**" in shown(page.run())
    assert "The run that first got this answer" not in words
    panel.client.runs.delete([first.id])
    assert "not in the history any more" in shown(panel.open("history", run=hit.id))
