import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from platformdirs import user_cache_path

from mcp_core.providers.model_file import ensure_model
from mcp_core.settings import load_settings
from tests.pages.conftest import Panel, shown

pytestmark = pytest.mark.e2e


@pytest.fixture
def with_local_model(panel: Panel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Panel:
    """The panel with the built-in model, which is fetched once per machine."""
    kept = os.environ.get("MCP_TEST_MODEL_DIR") or str(user_cache_path("model-control-panel-tests", appauthor=False))
    file = ensure_model(load_settings({"MCP_DATA_DIR": kept}, directory=Path(kept).parent))
    place = tmp_path / "data" / "models" / file.name
    place.parent.mkdir()
    place.symlink_to(file)
    monkeypatch.delenv("MCP_LOCAL_MODEL")
    return panel


def test_the_example_is_answered_by_the_built_in_model_and_then_from_the_cache(with_local_model: Panel) -> None:
    panel = with_local_model
    limit = json.dumps({"max_tokens": 24})
    page = panel.open("run", task="summarise", var_text="It rained all day. The match was called off.", set=limit)
    page.button(key="run.start").click().run()
    run = panel.finished(page, seconds=90)
    assert run.status == "succeeded"
    assert run.usage.output_tokens > 0
    assert run.output.text.split()[0] in shown(page)
    assert page.metric[3].value == "$0"
    page.button(key="run.start").click().run()
    again = panel.finished(page)
    assert again.cache == "hit"
    assert again.output.text == run.output.text
    assert "Running" in shown(panel.open())


def test_while_it_starts_the_page_can_be_used_and_says_so(
    with_local_model: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = with_local_model
    page = panel.open("run")
    home = panel.open()
    local = panel.client.providers.local
    looked, load = threading.Event(), local._load

    def slowly(start: Any) -> Any:
        assert looked.wait(120), "the pages were never drawn"
        return load(start)

    monkeypatch.setattr(local, "_load", slowly)
    local.warm_up()
    page.run()
    home.run()
    assert [bar.text for bar in (*page.progress, *home.progress)] == ["Starting the built-in model"] * 2
    page.text_area(key="run.summarise.variables.v_text").set_value("Still usable").run()
    assert page.query_params["var.text"] == "Still usable"
    looked.set()
    local.endpoint()
    page.run()
    assert not page.progress
    home.run()
    home.button(key="test.local").click().run()
    assert "It answers" in shown(home)
