import json
import re
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from mcp_core.errors import ConfigurationError
from mcp_core.models import Run, RunOutput, RunStatus, utcnow
from mcp_core.types.llm_prompt import LLMPromptConfig
from tests.faulty import hang, status, stream
from tests.pages.conftest import Panel, shown

pytestmark = pytest.mark.integration


def task(**fields: object) -> LLMPromptConfig:
    return LLMPromptConfig.model_validate({"template": "Say hi", "model": "acme/m", "max_retries": 0, **fields})


def until(page: AppTest, holds: Callable[[str], bool], seconds: float = 60.0) -> str:
    """Let the page look at its run again until it shows what is waited for."""
    end = time.monotonic() + seconds
    while not holds(words := shown(page)):
        assert time.monotonic() < end, words
        time.sleep(0.05)
        page.run()
    return words


def test_a_waiting_run_tells_its_place_in_the_queue(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_WORKERS", "1")
    panel.open()
    panel.server.script(hang())
    first = panel.client.submit(task())
    next(event for event in first.events() if event.kind == "started")
    second = panel.client.submit(task(template="Say ho"))
    page = panel.open("run", run=second.id)
    assert "number 1 in the queue" in shown(page)
    second.cancel()
    assert "The run was cancelled" in until(page, lambda words: "cancelled" in words)
    first.cancel()


def test_a_retry_is_shown_with_its_reason_and_wait(panel: Panel) -> None:
    panel.open()
    panel.server.script(status(503, "overloaded", headers={"Retry-After": "20"}))
    handle = panel.client.submit(task(max_retries=1))
    page = panel.open("run", run=handle.id)
    words = until(page, lambda words: "Attempt 1 failed" in words)
    assert "503" in words
    assert re.search(r"Trying again in 2\d\.\d s", words)
    handle.cancel()


def test_progress_is_shown_as_a_bar(panel: Panel) -> None:
    panel.open()
    panel.server.script(stream("One."), hang())
    handle = panel.client.submit(task(samples=2, temperature=1))
    page = panel.open("run", run=handle.id)
    until(page, lambda _: len(page.progress) == 1 and page.progress[0].value == 50)
    assert page.progress[0].text == "1 of 2 samples"
    assert "Waiting for the model" in shown(page)
    handle.cancel()


def test_how_long_it_usually_takes_is_told_while_nothing_has_come(panel: Panel) -> None:
    panel.open()
    now = utcnow()
    config = task(name="Slow").model_dump(mode="json")
    for number in range(3):
        done = Run(id=f"old{number}", type="llm_prompt", name="Slow", config=config, model="acme/m", created_at=now)
        times = {"started_at": now, "finished_at": now + timedelta(seconds=90)}
        panel.client.store.save_run(done.model_copy(update={**times, "status": RunStatus.SUCCEEDED}))
    panel.server.script(hang())
    handle = panel.client.submit(task(name="Slow"))
    page = panel.open("run", run=handle.id)
    assert "(usually 1 min 30 s)" in until(page, lambda words: "Waiting for the answer" in words)
    handle.cancel()


def test_an_open_run_of_another_process_is_cancelled_there(panel: Panel) -> None:
    panel.open()
    panel.client.store.heartbeat("elsewhere")
    run = Run(id="theirs", type="llm_prompt", status=RunStatus.RUNNING, started_at=utcnow(), owner="elsewhere")
    panel.client.store.save_run(run)
    page = panel.open("run", run="theirs")
    page.button(key="live.cancel").click().run()
    assert not page.exception
    assert panel.client.store.asked_to_cancel("elsewhere") == ["theirs"]
    pressed = page.run().button(key="live.cancel")
    assert (pressed.label, pressed.disabled) == ("Cancelling", True)


def test_a_past_run_opens_in_the_form(panel: Panel) -> None:
    panel.open()
    panel.server.script(stream("Hi."))
    config = {**panel.client.tasks.load("summarise").model_dump(mode="json"), "model": "acme/m", "seed": 7}
    run = panel.client.submit(config, {"text": "Snow"}).result(20)
    history = panel.open("history", run=run.id)
    assert not history.exception
    history.button(key="run.form").click().run()
    assert not history.exception
    assert history.text_area(key="run.summarise.variables.v_text").value == "Snow"
    page = panel.open("run", **{"from": run.id})
    assert page.query_params == {"from": run.id}
    assert page.text_area(key="run.summarise.variables.v_text").value == "Snow"
    page.text_area(key="run.summarise.variables.v_text").set_value("Ice").run()
    assert json.loads(page.query_params["set"]) == {"model": "acme/m", "seed": 7}
    assert "from" not in page.query_params


def test_a_run_that_cannot_be_repeated_says_why(panel: Panel) -> None:
    panel.open()
    gone = Run(id="gone", type="gone", config={"type": "gone"}, status=RunStatus.SUCCEEDED, output=RunOutput(text="x"))
    panel.client.store.save_run(gone.model_copy(update={"started_at": utcnow(), "finished_at": utcnow()}))
    page = panel.open("run", run="gone")
    assert page.button(key="run.again").disabled
    assert page.button(key="run.refresh").disabled
    assert "its settings are not valid any more" in shown(page)
    assert not page.error


def test_a_run_of_a_broken_task_file_cannot_be_repeated_or_opened(panel: Panel, tmp_path: Path) -> None:
    panel.open()
    (tmp_path / "bad.yaml").write_text("type: llm_prompt\nname: Bad\n")
    with pytest.raises(ConfigurationError):
        panel.client.load(tmp_path / "bad.yaml", run_id="bad")
    page = panel.open("history", run="bad")
    assert not page.exception
    assert all(page.button(key=f"run.{name}").disabled for name in ("again", "refresh", "form"))
    assert "nothing of a task that is wrong is kept" in shown(page)


def test_a_refused_repetition_is_told_below_the_buttons(panel: Panel) -> None:
    panel.open()
    config = {"type": "llm_prompt", "template": "Say {{ word }}", "model": "acme/m"}
    run = Run(id="less", type="llm_prompt", config=config, status=RunStatus.FAILED, model="acme/m")
    panel.client.store.save_run(run.model_copy(update={"started_at": utcnow(), "finished_at": utcnow()}))
    page = panel.open("run", run="less")
    page.button(key="run.again").click().run()
    assert page.error[0].proto.title == "The run was not started"
    assert "word" in page.error[0].value


def test_a_broken_task_file_is_named_and_the_others_stay(panel: Panel, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "tasks"
    folder.mkdir()
    (folder / "mine.yaml").write_text("type: llm_prompt\nname: Mine\ntemplate: Hello\n")
    (folder / "broken.yaml").write_text("type: llm_prompt\ntemplate: '{{ '\n")
    page = panel.open("run", task="mine")
    assert page.selectbox(key="run.task").value == "mine"
    assert "This task takes no variables" in shown(page)
    assert [box.label for box in page.expander if "Left out" in box.label] == ["Left out: broken\\.yaml"]
    assert "broken" not in " ".join(warning.value for warning in page.warning)
    assert "The template has an error" in shown(page)


def test_before_the_local_model_is_there_the_form_tells_that_it_is_fetched(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MCP_LOCAL_MODEL")
    assert "is fetched once, when it is first asked" in shown(panel.open("run"))
    home = panel.open()
    assert "Not fetched yet" in shown(home)
    assert home.button(key="local.fetch").label == "Fetch now"


def test_a_local_model_that_failed_is_told_at_home(
    panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "model.gguf"
    broken.write_bytes(b"no model at all")
    monkeypatch.setenv("MCP_LOCAL_MODEL", str(broken))
    monkeypatch.delenv("ACME_KEY")
    home = panel.open()
    panel.client.submit(task(model="local/model")).result(20)
    words = shown(home.run())
    assert "Failed" in words
    assert "MCP\\_LOCAL\\_MODEL" in words
    form = panel.open("run", task="llm_prompt", set=json.dumps({"template": "x", "model": "local/model"}))
    assert "OPENAI_API_KEY" in shown(form)
    form.button(key="local.again").click().run()
    assert not form.exception


def test_an_interrupted_run_is_resumed_with_one_click(panel: Panel) -> None:
    panel.open()
    panel.server.script(stream("At last."))
    config = task(name="Slow").model_dump(mode="json")
    gone = Run(id="gone", type="llm_prompt", name="Slow", config=config, model="acme/m", started_at=utcnow())
    panel.client.store.save_run(gone.model_copy(update={"status": RunStatus.INTERRUPTED, "finished_at": utcnow()}))
    page, other = panel.open("run", run="gone"), panel.open("history", run="gone")
    for session in (page, other):
        session.button(key="run.resume").click().run()
        run = panel.finished(session)
        assert (run.status, run.retry_of, run.output.text) == (RunStatus.SUCCEEDED, "gone", "At last.")
    assert page.query_params["run"] == other.query_params["run"]
    assert panel.server.calls == 1
    assert "run.resume" not in [button.key for button in page.button]


def test_a_priority_is_chosen_beside_the_button(panel: Panel) -> None:
    page = panel.open("run", task="summarise", **{"var.text": "Rain", "set": '{"model": "acme/m"}'})
    panel.server.script(stream("Wet."))
    page.selectbox(key="run.priority").select("low")
    page.button(key="run.start").click().run()
    assert panel.finished(page).priority == "low"
