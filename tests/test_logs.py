"""Logs: structured, redacted tracebacks included, standard library intercepted, silent as a library."""

import gzip
import json
import logging
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from mcp_core.logs import LOG_FILE, configure_logs
from mcp_core.security.redaction import MASK, Redactor
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
    configure_logs(settings.model_copy(update={"log_level": "DEBUG"}), Redactor().shapes, console=False)
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


def test_a_known_secret_is_masked_whatever_json_makes_of_it(settings: Settings) -> None:
    secret = 'pass"word\\with\ttraps'
    redactor = Redactor()
    redactor.learn([secret])
    configure_logs(settings, redactor.shapes, console=False)
    logger.bind(key=secret).warning("The answer was <{}>.", secret)
    (line,) = lines(settings)
    assert (line["message"], line["key"]) == (f"The answer was <{MASK}>.", MASK)


def test_a_message_that_does_not_fit_its_arguments_harms_nobody(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    configure_logs(settings, Redactor().shapes, console=False)
    logging.getLogger("elsewhere").warning("%d of them", SECRET)
    logging.getLogger("elsewhere").warning(Hostile())
    logging.getLogger("elsewhere").warning("still here")
    assert [line["message"] for line in lines(settings)] == [
        "A message does not fit its arguments: %d of them",
        "A message does not fit its arguments: Hostile",
        "still here",
    ]
    assert {line["logger"] for line in lines(settings)} == {"elsewhere"}
    assert SECRET not in capsys.readouterr().err


def test_a_very_long_line_is_cut_and_still_json(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(settings, Redactor().shapes)
    try:
        raise ValueError("e" * 200_000)
    except ValueError:
        logger.bind(body="b" * 200_000).exception("m" * 200_000)
    (line,) = lines(settings)
    assert str(line["message"]).endswith("… (200,000 characters in all)")
    assert str(line["body"]).endswith("… (200,000 characters in all)")
    assert str(line["exception"]).startswith("…eee")
    assert len(json.dumps(line)) < 200_000
    assert len(capsys.readouterr().err) < 150_000


@pytest.mark.parametrize("before", range(63_960, 64_001, 8))
def test_a_cut_shows_no_half_of_a_key(settings: Settings, before: int) -> None:
    redactor = Redactor()
    redactor.learn(["hunter2" * 5])
    configure_logs(settings, redactor.shapes, console=False)
    logger.warning("{}", "x" * before + "hunter2" * 5 + "x" * 3000)
    (line,) = lines(settings)
    assert "hunter2" not in str(line["message"])


def test_logs_are_their_owners_alone_whatever_the_directory(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = settings.data_dir / "logs"
    directory.mkdir()
    directory.chmod(0o755)
    add = logger.add
    monkeypatch.setattr(logger, "add", lambda *args, **options: add(*args, **{**options, "rotation": lambda *_: True}))
    configure_logs(settings, Redactor().shapes, console=False)
    for number in range(3):
        logger.info("Line {}", number)
    packed = sorted(directory.glob("*.gz"))
    assert len(packed) == 3
    kept = b"".join(gzip.decompress(path.read_bytes()) for path in packed)
    assert b"Line 0" in kept
    assert b"Line 1" in kept
    assert {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in directory.iterdir()} == {
        path.name: "0o600" for path in (directory / LOG_FILE, *packed)
    }
