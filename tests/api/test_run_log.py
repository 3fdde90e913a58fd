import json
from datetime import timedelta
from pathlib import Path

import pytest

from mcp_core.api.logs import MAX_BYTES, LogService
from mcp_core.errors import StoreError
from mcp_core.models import Run, new_id

pytestmark = pytest.mark.unit


@pytest.fixture
def run() -> Run:
    return Run(id=new_id(), type="llm_prompt")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "logs" / "panel.log"
    path.parent.mkdir()
    return path


def line(run: Run, seconds: float, message: str, **extra: object) -> str:
    at = (run.created_at + timedelta(seconds=seconds)).isoformat()
    return json.dumps({"at": at, "level": "INFO", "message": message, "logger": "mcp_core.test", **extra}) + "\n"


def test_only_lines_that_name_the_run_come_oldest_first(run: Run, log: Path, tmp_path: Path) -> None:
    log.write_text(
        line(run, 0, "began", run_id=run.id)
        + line(run, 1, "another", run_id=new_id())
        + line(run, 2, f"Run {run.id} is named in words only")
        + line(run, 3, "failed", run_id=run.id, exception="Traceback ...", level="ERROR"),
        "utf-8",
    )
    found = LogService(tmp_path).of_run(run)
    assert [entry.message for entry in found.lines] == ["began", f"Run {run.id} is named in words only", "failed"]
    assert (found.lines[-1].level, found.lines[-1].exception) == ("ERROR", "Traceback ...")
    assert found.lines[0].at == run.created_at
    assert not found.truncated


def test_no_log_is_no_lines(run: Run, tmp_path: Path) -> None:
    assert LogService(tmp_path).of_run(run).lines == ()


def test_a_log_that_cannot_be_read_is_an_error_with_a_hint(run: Run, log: Path, tmp_path: Path) -> None:
    log.mkdir()
    with pytest.raises(StoreError, match="cannot be read") as caught:
        LogService(tmp_path).of_run(run)
    assert "logs" in caught.value.hint


def test_the_newest_lines_are_kept_where_there_are_too_many(run: Run, log: Path, tmp_path: Path) -> None:
    log.write_text("".join(line(run, n, f"line {n}", run_id=run.id) for n in range(10)), "utf-8")
    found = LogService(tmp_path).of_run(run, limit=3)
    assert [entry.message for entry in found.lines] == ["line 7", "line 8", "line 9"]
    assert found.truncated


def test_damaged_lines_and_foreign_ones_are_left_out(run: Run, log: Path, tmp_path: Path) -> None:
    log.write_bytes(
        b'{"half a line of ' + run.id.encode() + b"\n\xff\xfe" + run.id.encode() + b"\n"
        b'"' + run.id.encode() + b'"\n' + line(run, 0, "whole", run_id=run.id).encode() + b"no line break at the end"
    )
    assert [entry.message for entry in LogService(tmp_path).of_run(run).lines] == ["whole"]


def test_lines_across_the_borders_of_blocks_are_whole(run: Run, log: Path, tmp_path: Path) -> None:
    text = "".join(
        line(run, n / 100, f"{n} " + "é" * 700, run_id=run.id) if n % 50 == 0 else line(run, n / 100, "x" * 700)
        for n in range(2000)
    )
    log.write_text(text, "utf-8")
    found = LogService(tmp_path).of_run(run)
    assert [int(entry.message.split()[0]) for entry in found.lines] == list(range(0, 2000, 50))
    assert not found.truncated


def test_reading_ends_where_the_run_had_not_begun(run: Run, log: Path, tmp_path: Path) -> None:
    earlier = "".join(line(run, -3600 + n, f"{'y' * 900}", run_id="other") for n in range(400))
    log.write_text(
        line(run, -7200, "too old to be looked at", run_id=run.id) + earlier + line(run, 1, "mine", run_id=run.id)
    )
    found = LogService(tmp_path).of_run(run)
    assert [entry.message for entry in found.lines] == ["mine"]
    assert not found.truncated


def test_a_very_long_log_is_read_to_a_bound(run: Run, log: Path, tmp_path: Path) -> None:
    filler = line(run, 1, "z" * 5000)
    log.write_text(line(run, 0, "first", run_id=run.id) + filler * (MAX_BYTES // len(filler) + 200), "utf-8")
    found = LogService(tmp_path).of_run(run)
    assert found.lines == ()
    assert found.truncated, "what may lie further back is said to"
