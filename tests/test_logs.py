"""Logs: structured, redacted tracebacks included, standard library intercepted, silent as a library."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from mcp_core.logs import LOG_FILE, configure_logs, set_level
from mcp_core.security.redaction import Redactor
from mcp_core.settings import Settings, load_settings

pytestmark = pytest.mark.unit

SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    yield load_settings({"MCP_DATA_DIR": str(tmp_path)}, directory=tmp_path)
    logger.remove()
    logging.basicConfig(handlers=[], force=True)


def lines(settings: Settings) -> list[dict[str, object]]:
    text = (settings.data_dir / "logs" / LOG_FILE).read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_is_json_with_its_context(settings: Settings) -> None:
    configure_logs(settings, Redactor().shapes, console=False)
    with logger.contextualize(run_id="r1", actor="ada"):
        logger.info("Run {} {braces} <tags>", "r1", braces="{}")
    (line,) = lines(settings)
    assert line["message"] == "Run r1 {} <tags>"
    assert (line["run_id"], line["actor"], line["level"]) == ("r1", "ada", "INFO")


def test_secrets_are_masked_in_message_context_and_traceback(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(settings, Redactor().shapes)
    try:
        raise ValueError(f"key {SECRET}")
    except ValueError:
        logger.bind(key=SECRET).exception("failed with {}", SECRET)
    text = (settings.data_dir / "logs" / LOG_FILE).read_text("utf-8")
    console = capsys.readouterr().err
    assert "Traceback" in text
    assert "Traceback" in console
    assert SECRET not in text
    assert SECRET not in console


def test_the_standard_library_is_intercepted(settings: Settings) -> None:
    configure_logs(settings, Redactor().shapes, console=False)
    logging.getLogger("some.library").warning("disk %s", "full")
    (line,) = lines(settings)
    assert (line["message"], line["logger"], line["level"]) == ("disk full", "some.library", "WARNING")


def test_the_level_holds_and_can_be_changed(settings: Settings) -> None:
    configure_logs(settings, Redactor().shapes, console=False)
    logger.debug("unheard")
    set_level(settings, Redactor().shapes, "DEBUG")
    logger.debug("heard")
    assert [line["message"] for line in lines(settings)] == ["heard"]


def test_a_log_that_cannot_be_written_leaves_the_console(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    blocked = settings.model_copy(update={"data_dir": tmp_path / "file"})
    configure_logs(blocked, Redactor().shapes)
    assert "Logs go to the console alone" in capsys.readouterr().err


def test_as_a_library_it_is_silent() -> None:
    code = (
        "from importlib.metadata import EntryPoint\n"
        "from mcp_core.types.registry import ENTRY_POINT_GROUP, Registry\n"
        "Registry()._load_plugin(EntryPoint('ghost', 'no.such:module', ENTRY_POINT_GROUP))\n"
        "print('done')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("done\n", "")
