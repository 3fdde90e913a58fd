"""The page Queue and health: the live queue, model servers with tests and simulated outages, the machine, trouble."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from mcp_core.models import RunStatus
from mcp_core.types.llm_prompt import LLMPromptConfig
from tests.faulty import Connection, chat, models, status
from tests.pages.conftest import KEY, Panel, shown

pytestmark = pytest.mark.integration

TASK = LLMPromptConfig(name="Ask", template="{{ n }}", model="acme/m", max_retries=0)


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


@pytest.fixture
def health(panel: Panel) -> Callable[[], AppTest]:
    def opened() -> AppTest:
        page = panel.open("health")
        assert not page.exception
        return page

    return opened


@pytest.fixture
def held(panel: Panel) -> Iterator[threading.Event]:
    """The model server answers once this is set."""
    go = threading.Event()

    def answer(connection: Connection) -> None:
        while not go.is_set() and not connection.wait(0.02):
            pass
        chat("late")(connection)

    panel.server.default = answer
    yield go
    go.set()


def press(page: AppTest, key: str) -> AppTest:
    return next(one for one in page.button if one.key == key).click().run()


def test_an_empty_panel_says_so(health: Callable[[], AppTest]) -> None:
    text = shown(health())
    assert "Nothing runs or waits." in text
    assert "No retries, fallbacks, expired answers or errors" in text
    assert "Circuit closed" in text
    assert KEY not in text


def test_without_any_model_server(panel: Panel, health: Callable[[], AppTest], tmp_path: Path) -> None:
    (tmp_path / "data" / "providers.toml").write_text("version = 1\n")
    assert "No model server is configured" in shown(health())


def test_what_runs_is_shown_and_cancelled(panel: Panel, health: Callable[[], AppTest], held: threading.Event) -> None:
    handle = panel.client.submit(TASK, {"n": "one"})
    until(lambda: panel.server.calls == 1)
    until(lambda: any(run.id == handle.id for run in panel.client.queue.snapshot(max_age_seconds=0).running))
    page = health()
    text = shown(page)
    assert "Running" in text
    assert "acme/m · by local" in text
    press(page, f"queue.cancel.{handle.id}")
    assert handle.result(60).status is RunStatus.CANCELLED
    until(lambda: not panel.client.queue.snapshot(max_age_seconds=0).running)
    page.run()
    assert "Nothing runs or waits." in shown(page)


def test_what_waits_is_shown_with_its_place_and_cancelled(
    panel: Panel, health: Callable[[], AppTest], held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCP_WORKERS", "1")
    first = panel.client.submit(TASK, {"n": "one"})
    until(lambda: panel.server.calls == 1)
    second = panel.client.submit(TASK, {"n": "two"}, priority="low")

    def both_are_known() -> bool:
        now = panel.client.queue.snapshot(max_age_seconds=0)
        return [run.id for run in now.running] == [first.id] and [run.id for run in now.waiting] == [second.id]

    until(both_are_known)
    page = health()
    text = shown(page)
    assert "place 1" in text
    assert "low priority" in text
    values = {metric.label: metric.value for metric in page.metric}
    assert (values["Running"], values["Waiting"], values["Workers busy"]) == ("1", "1", "1 of 1")
    press(page, f"queue.cancel.{second.id}")
    assert second.result(60).status is RunStatus.CANCELLED
    held.set()
    assert first.result(60).status is RunStatus.SUCCEEDED
    assert panel.server.calls == 1


def test_who_asked_last_sees_what_is_left(
    panel: Panel, health: Callable[[], AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCP_ACTOR_REQUESTS_PER_MINUTE", "60")
    panel.client.execute(TASK, {"n": "one"})
    assert "Who asked last" in shown(health())


def test_each_server_is_tested(panel: Panel, health: Callable[[], AppTest]) -> None:
    panel.server.default = models("m")
    page = press(health(), "test.acme")
    assert "It answers" in shown(page)
    panel.server.default = status(500)
    assert "HTTP 500" in shown(press(page, "test.acme"))


def test_an_outage_begins_and_ends(panel: Panel, health: Callable[[], AppTest]) -> None:
    page = health()
    page.number_input(key="outage.minutes.acme").set_value(2.0)
    press(page, "outage.begin.acme")
    (outage,) = panel.client.health.outages()
    assert (outage.provider, (outage.until - outage.since).total_seconds()) == ("acme", 120)
    assert "An outage is simulated" in shown(page)
    run = panel.client.execute(TASK, {"n": "one"})
    assert run.status is RunStatus.FAILED
    assert panel.server.calls == 0
    press(page, "outage.end.acme")
    assert panel.client.health.outages() == []
    assert "An outage is simulated" not in shown(page)


def test_who_may_not_is_told(panel: Panel, health: Callable[[], AppTest], monkeypatch: pytest.MonkeyPatch) -> None:
    health()
    monkeypatch.setattr(panel.client, "actor", panel.client.actor.model_copy(update={"role": "editor"}))
    page = press(health(), "outage.begin.acme")
    assert "may not simulate an outage" in page.toast[0].value
    assert panel.client.health.outages() == []


def test_an_open_circuit_and_trouble_are_shown(panel: Panel, health: Callable[[], AppTest]) -> None:
    panel.server.default = status(500)
    for n in range(5):
        panel.client.execute(TASK, {"n": n})
    page = health()
    text = shown(page)
    assert "Circuit open" in text
    assert "asked again in" in text
    table = page.dataframe[0].value
    assert len(table) == 5
    assert set(table["what"]) == {"Failed"}
    assert set(table["server"]) == {"acme"}
    assert all("HTTP 500" in why for why in table["why"])
    assert all("/history?run=" in link for link in table["run"])


def test_the_machine_is_shown(health: Callable[[], AppTest]) -> None:
    labels = {metric.label: metric.value for metric in health().metric}
    for name in ("Memory free", "This process", "Processors", "Disk free", "Threads", "Open files", "History"):
        assert labels[name] not in ("", "—")
