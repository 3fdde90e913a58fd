"""docs/logging.md says what logs at which level; here each level is provoked by what really happens."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger
from streamlit.testing.v1 import AppTest

from mcp_core.api.client import MCPClient
from mcp_core.logs import LOG_FILE, configure_logs
from mcp_core.security.redaction import redactor
from mcp_core.settings import Settings, load_settings
from tests.api.probes import Probe, probe_registry

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[1]


@pytest.fixture
def logged(settings: Settings) -> Iterator[Settings]:
    verbose = settings.model_copy(update={"log_level": "DEBUG"})
    configure_logs(verbose, redactor.shapes)
    yield verbose
    logger.remove()


def lines(settings: Settings, level: str) -> str:
    text = (settings.data_dir / "logs" / LOG_FILE).read_text("utf-8")
    return "\n".join(line["message"] for line in map(json.loads, text.splitlines()) if line["level"] == level)


def test_debug_a_run_starts_and_info_it_succeeds(logged: Settings) -> None:
    with MCPClient(logged, registry=probe_registry()) as panel:
        run = panel.execute(Probe())
        panel.cache.clear()
    assert f"Run {run.id} of type probe started" in lines(logged, "DEBUG")
    assert f"Run {run.id} succeeded" in lines(logged, "INFO")
    assert "cleared the cache" in lines(logged, "INFO")


def test_warning_a_run_fails(logged: Settings) -> None:
    with MCPClient(logged, registry=probe_registry()) as panel:
        run = panel.execute(Probe(act="fail"))
    assert f"Run {run.id} failed: The probe failed." in lines(logged, "WARNING")


def test_error_something_nobody_foresaw_with_its_traceback(logged: Settings) -> None:
    with MCPClient(logged, registry=probe_registry()) as panel:
        run = panel.execute(Probe(act="crash"))
    assert f"Run {run.id} failed with an unexpected error" in lines(logged, "ERROR")
    text = (logged.data_dir / "logs" / LOG_FILE).read_text("utf-8")
    assert "ZeroDivisionError" in text
    assert "abcdefghijklmnop" not in text


def test_error_a_broken_history_is_set_aside(logged: Settings) -> None:
    logged.data_dir.mkdir(parents=True, exist_ok=True)
    (logged.data_dir / "history.db").write_bytes(b"this is no database " * 500)
    with MCPClient(logged, registry=probe_registry()) as panel:
        assert panel.execute(Probe()).status == "succeeded"
    assert "is damaged; it was set aside" in lines(logged, "ERROR")


def test_critical_the_panel_cannot_start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MCP_WORKERS", "many")
    monkeypatch.chdir(ROOT)
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    logger.remove()
    assert "MCP_WORKERS" in app.error[0].value.replace("\\", "")
    printed = capsys.readouterr().err
    assert re.search(r"CRITICAL +The panel cannot start: MCP_WORKERS .* is 'many'", printed)


def test_every_level_of_the_table_is_documented() -> None:
    text = (ROOT / "docs" / "logging.md").read_text("utf-8")
    for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        assert f"| `{level}` |" in text
    assert load_settings({}, directory=ROOT / "docs").log_level == "INFO"
