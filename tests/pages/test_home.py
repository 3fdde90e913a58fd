import pytest

from mcp_core.api.client import MCPClient
from mcp_core.api.notes import Note
from mcp_core.models import RunStatus
from mcp_core.types.llm_prompt import LLMPromptConfig
from mcp_core.ui import client as ui_client
from mcp_core.ui import health
from mcp_core.ui.overview import SAMPLE_TEXT
from tests.faulty import hang, models, status, stream
from tests.pages.conftest import APP, Panel, shown

pytestmark = pytest.mark.integration


def task(**fields: object) -> LLMPromptConfig:
    return LLMPromptConfig.model_validate({"template": "Say hi", "name": "Greet", "model": "acme/m", **fields})


def test_an_empty_panel_says_what_to_do_first_and_opens_the_example(panel: Panel) -> None:
    page = panel.open()
    assert not page.exception
    assert "Run your first task" in shown(page)
    page.button(key="home.example").click().run()
    assert page.title[0].value == "Run"
    assert page.text_area(key="run.summarise.variables.v_text").value == SAMPLE_TEXT


def test_recent_runs_show_state_time_and_cost(panel: Panel) -> None:
    panel.open()
    panel.server.script(stream("Hi."))
    panel.client.submit(task()).result(20)
    page = panel.open()
    words = shown(page)
    assert "Recent runs" in words
    assert "Succeeded" in words
    assert "cost unknown" in words
    assert "Greet" in [link.value for link in page.page_link]


def test_what_runs_now_is_listed_and_can_be_cancelled(panel: Panel) -> None:
    panel.open()
    panel.server.script(hang())
    handle = panel.client.submit(task())
    page = panel.open()
    assert "Running now" in shown(page)
    page.button(key=f"home.cancel.{handle.id}").click().run()
    assert handle.result(20).status is RunStatus.CANCELLED
    page.run()
    assert "Running now" not in shown(page)


def test_a_model_server_can_be_tested(panel: Panel) -> None:
    page = panel.open()
    panel.server.script(models("m"), status(500, "broken"))
    page.button(key="test.acme").click().run()
    assert "It answers" in shown(page)
    page.button(key="test.acme").click().run()
    assert "500" in shown(page)


def test_a_provider_without_its_key_is_marked(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACME_KEY")
    assert "No key" in shown(panel.open())


def test_a_wrong_setting_is_explained_instead_of_a_traceback(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_WORKERS", "many")
    page = panel.open()
    assert not page.exception
    assert page.title[-1].value == "The panel cannot start"
    assert "MCP_WORKERS" in page.error[0].value.replace("\\", "")
    monkeypatch.delenv("MCP_WORKERS")
    page.button[0].click().run()
    assert page.title[0].value == "Home"


def test_a_page_that_streamlit_enters_by_itself_is_run_by_the_app(panel: Panel) -> None:
    # The first request after a start may be for a page: Streamlit then knows nothing of the app's navigation yet.
    page = panel.open("run")
    assert page.title[0].value == "Run"
    assert len(page.title) == 1


def test_the_client_is_replaced_when_its_code_was_loaded_anew(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    panel.open()
    old = panel.client

    class Reloaded(MCPClient):
        pass

    monkeypatch.setattr(ui_client, "MCPClient", Reloaded)
    new = panel.client
    assert type(new) is Reloaded
    assert panel.client is new
    assert old is not new
    ui_client.release_client()


def test_what_everybody_should_know_stands_on_top(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    known = [
        Note("disk", "warning", "This disk is not kept.", "Set *this*."),
        Note("memory", "info", "Little.", "Add."),
    ]
    monkeypatch.setattr(health, "notes", lambda settings, **_: known)
    page = panel.open()
    assert (page.warning[0].proto.title, page.warning[0].value) == ("This disk is not kept\\.", "Set \\*this\\*\\.")
    assert page.info[0].value == "Add\\."


def test_every_page_is_in_the_navigation(panel: Panel) -> None:
    for script in sorted((APP.parent / "pages").glob("*.py")):
        page = panel.open(script.stem)
        assert not page.exception, script.name
        assert len(page.title) == 1, script.name
