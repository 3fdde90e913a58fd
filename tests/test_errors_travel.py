"""Every error class, from where it happens to the log, the run's record and the command line."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from loguru import logger

import mcp_core
from mcp_core.api.client import MCPClient
from mcp_core.cli import main
from mcp_core.cli.run import exit_code
from mcp_core.errors import CircuitOpenError, MCPError, PermissionDeniedError, ResourceLimitError
from mcp_core.logs import LOG_FILE, configure_logs
from mcp_core.models import Actor, Run, RunOutput, RunStatus
from mcp_core.security.redaction import redactor
from mcp_core.settings import load_settings
from mcp_core.types.base import BaseMCPConfig, RunContext, executor
from mcp_core.types.registry import default_registry
from tests.faulty import FaultyServer, chat, hang, status

pytestmark = pytest.mark.integration

KEY = "sk-proj-canary0123456789abcdefABCDEF0123456789"


class Tripped(BaseMCPConfig):
    """A task whose provider is left alone for a while."""

    type: Literal["tripped"] = "tripped"


@executor(Tripped)
def run_tripped(config: Tripped, ctx: RunContext) -> RunOutput:
    raise CircuitOpenError(f"acme is left alone: it failed with {KEY}.", hint="Wait a minute.", provider="acme")


@dataclass
class Panel:
    """A client, the server it asks, and where both leave their traces."""

    client: MCPClient
    server: FaultyServer
    data_dir: Path

    def task(self, **fields: Any) -> dict[str, Any]:
        base = {"type": "llm_prompt", "name": "Travel", "template": "x", "model": "acme/small", "max_retries": 0}
        return {**base, **fields}

    def logged(self, run_id: str, word: str) -> list[dict[str, Any]]:
        """Lines about a run with `word` in them; its caller may know of the end a moment before the log does."""
        until = time.monotonic() + 5
        while True:
            lines = map(json.loads, (self.data_dir / "logs" / LOG_FILE).read_text("utf-8").splitlines())
            about = [line for line in lines if run_id in (line.get("run_id"), *line["message"].split())]
            if (found := [line for line in about if word in line["message"]]) or time.monotonic() > until:
                return found
            time.sleep(0.01)


@pytest.fixture
def panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Panel]:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    monkeypatch.chdir(tmp_path)
    with FaultyServer() as server:
        (data_dir / "providers.toml").write_text(
            f'[providers.acme]\nbase_url = "http://127.0.0.1:{server.port}/v1"\napi_key_env = "ACME_KEY"\n'
        )
        for name, value in {
            "MCP_DATA_DIR": str(data_dir),
            "MCP_LOCAL_MODEL": "off",
            "MCP_WORKERS": "1",
            "MCP_QUEUE_SIZE": "1",
            "ACME_KEY": KEY,
        }.items():
            monkeypatch.setenv(name, value)
        settings = load_settings()
        configure_logs(settings, redactor.shapes, console=False)
        registry = default_registry()
        registry.register(run_tripped)
        client = MCPClient(settings, registry=registry)
        yield Panel(client, server, data_dir)
        client.close(drain_seconds=0)
        logger.remove()
        logging.basicConfig(handlers=[], force=True)


def unknown_provider(panel: Panel) -> Run:
    return panel.client.execute(panel.task(model="nobody/small"))


def cache_alone(panel: Panel) -> Run:
    return panel.client.execute(panel.task(cache="only"))


def mismatched(panel: Panel) -> Run:
    panel.server.script(chat("no JSON"))
    return panel.client.execute(panel.task(output_schema={"type": "object"}))


def too_slow(panel: Panel) -> Run:
    panel.server.script(hang())
    return panel.client.execute(panel.task(timeout=0.3))


def cancelled(panel: Panel) -> Run:
    panel.server.script(hang())
    handle = panel.client.submit(panel.task())
    next(event for event in handle.events() if event.kind == "cache")
    handle.cancel()
    return handle.result()


def shut_down(panel: Panel) -> Run:
    panel.server.script(hang())
    handle = panel.client.submit(panel.task())
    next(event for event in handle.events() if event.kind == "cache")
    panel.client.close(drain_seconds=0)
    return handle.result()


def queue_full(panel: Panel) -> Run:
    panel.server.script(hang(), hang())
    first = panel.client.submit(panel.task())
    next(event for event in first.events() if event.kind == "started")
    second = panel.client.submit(panel.task(template="y"))
    with pytest.raises(ResourceLimitError):
        panel.client.submit(panel.task(template="z"), run_id="one-too-many")
    for handle in (first, second):
        handle.cancel()
        handle.result()
    return panel.client.runs.get("one-too-many")


def not_found(panel: Panel) -> Run:
    panel.server.script(status(404, f"no such model for key {KEY}"))
    return panel.client.execute(panel.task())


def left_alone(panel: Panel) -> Run:
    return panel.client.execute({"type": "tripped", "name": "Travel"})


SITUATIONS: list[tuple[str, Callable[[Panel], Run], RunStatus, int]] = [
    ("ConfigurationError", unknown_provider, RunStatus.FAILED, 2),
    ("ExecutionError", cache_alone, RunStatus.FAILED, 1),
    ("OutputMismatchError", mismatched, RunStatus.FAILED, 1),
    ("RunTimeoutError", too_slow, RunStatus.TIMED_OUT, 1),
    ("RunCancelledError", cancelled, RunStatus.CANCELLED, 130),
    ("RunInterruptedError", shut_down, RunStatus.INTERRUPTED, 1),
    ("ResourceLimitError", queue_full, RunStatus.FAILED, 1),
    ("APIError", not_found, RunStatus.FAILED, 1),
    ("CircuitOpenError", left_alone, RunStatus.FAILED, 1),
]
NO_RUN = {"MCPError", "PermissionDeniedError", "CacheError", "StoreError"}
"""The base, and those that happen before there is a run or beside it: each has a test of its own below."""


def test_every_class_is_met_here() -> None:
    classes = {name for name in mcp_core.__all__ if name.endswith("Error")}
    assert classes == {name for name, *_ in SITUATIONS} | NO_RUN
    assert all(issubclass(getattr(mcp_core, name), MCPError) for name in classes)


@pytest.mark.parametrize(("name", "happen", "ended", "code"), SITUATIONS, ids=[name for name, *_ in SITUATIONS])
def test_an_error_reaches_record_log_and_command_line(
    panel: Panel,
    capsys: pytest.CaptureFixture[str],
    name: str,
    happen: Callable[[Panel], Run],
    ended: RunStatus,
    code: int,
) -> None:
    run = happen(panel)
    assert run.status is ended
    assert run.error is not None
    assert run.error.type == name
    assert run.error.message.endswith(".")
    assert run.error.hint
    assert exit_code(run) == code

    told = panel.logged(run.id, ended.value)
    assert told
    if ended is RunStatus.FAILED:
        assert {line["level"] for line in told} == {"WARNING"}
        assert run.error.message in told[-1]["message"]

    panel.client.close(drain_seconds=0)
    capsys.readouterr()
    assert main(["history", "show", run.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["error"] == run.error.model_dump()
    assert main(["history", "show", run.id]) == 0
    shown = capsys.readouterr().out
    assert f"{name}: {run.error.message}\n{run.error.hint}" in shown

    for path in panel.data_dir.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    assert KEY not in shown


def test_a_refused_actor_is_told_and_logged(
    panel: Panel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = Actor(id="eve", name="Eve", role="viewer")
    with pytest.raises(PermissionDeniedError, match="Eve is viewer and may not run"):
        panel.client.execute(panel.task(), actor=viewer)
    assert panel.client.runs.count() == 0
    log = (panel.data_dir / "logs" / LOG_FILE).read_text("utf-8")
    assert "eve (viewer) was refused: run needs the role operator." in log

    # The command line acts for the installation's owner; here the owner is one who may not.
    monkeypatch.setattr("mcp_core.api.client.Actor", lambda: viewer)
    task = panel.data_dir / "task.json"
    task.write_text(json.dumps(panel.task()))
    capsys.readouterr()
    assert main(["run", str(task), "--json"]) == 1
    captured = capsys.readouterr()
    error = json.loads(captured.out)["error"]
    assert error["type"] == "PermissionDeniedError"
    assert error["hint"] == "Ask an admin for the role operator."
    assert error["message"] in captured.err


def test_a_cache_that_fails_fails_no_run_and_is_told(panel: Panel, capsys: pytest.CaptureFixture[str]) -> None:
    panel.client.close()
    for path in panel.data_dir.glob("cache.sqlite*"):
        path.unlink()
    (panel.data_dir / "cache.sqlite").mkdir()
    panel.server.script(chat("one"), chat("two"))
    task = panel.data_dir / "task.json"
    task.write_text(json.dumps(panel.task()))
    for answer in ("one", "two"):
        capsys.readouterr()
        assert main(["run", str(task), "--json"]) == 0
        captured = capsys.readouterr()
        run = json.loads(captured.out)
        assert (run["status"], run["output"]["text"], run["error"]) == ("succeeded", answer, None)
        assert "cache" in captured.err
    assert main(["cache", "clear", "--yes", "--json"]) == 1
    captured = capsys.readouterr()
    error = json.loads(captured.out)["error"]
    assert error["type"] == "CacheError"
    assert error["message"] in captured.err
    lines = map(json.loads, (panel.data_dir / "logs" / LOG_FILE).read_text("utf-8").splitlines())
    assert any(line["level"] == "WARNING" and "cache" in line["message"] for line in lines)


def test_a_history_that_cannot_be_opened_is_told(panel: Panel, capsys: pytest.CaptureFixture[str]) -> None:
    panel.client.close()
    for path in panel.data_dir.glob("history.db*"):
        path.unlink()
    (panel.data_dir / "history.db").mkdir()
    capsys.readouterr()
    assert main(["history", "list", "--json"]) == 1
    captured = capsys.readouterr()
    error = json.loads(captured.out)["error"]
    assert error["type"] == "StoreError"
    assert error["message"].endswith(".")
    assert error["hint"]
    assert error["message"] in captured.err
    log = (panel.data_dir / "logs" / LOG_FILE).read_text("utf-8")
    assert "The command ended with StoreError" in log
