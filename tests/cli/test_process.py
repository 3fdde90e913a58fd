"""The command line as a process: terminals, signals and pipes."""

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcp_core.cli import history
from tests.cli.conftest import ROOT, Result
from tests.cli.server import ModelServer

pytestmark = pytest.mark.e2e

Cli = Callable[..., Result]
Spawn = Callable[..., "subprocess.Popen[str]"]


def read_all(descriptor: int, *, until: str = "", seconds: float = 30.0) -> str:
    """What a terminal shows, until `until` appears or its other side is closed."""
    seen = b""
    end = time.monotonic() + seconds
    while time.monotonic() < end and (not until or until.encode() not in seen):
        if not select.select([descriptor], [], [], 0.1)[0]:
            continue
        try:
            piece = os.read(descriptor, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    return seen.decode()


def test_an_answer_streams_to_a_terminal_without_its_control_codes(
    spawn: Spawn, task: Path, model_server: ModelServer
) -> None:
    model_server.answer = ["A \x1b[31mred", "\x07 ", "answer."]
    ours, theirs = pty.openpty()
    process = spawn("run", "shorten", "--var", "text=x", stdout=theirs)
    os.close(theirs)
    shown = read_all(ours)
    os.close(ours)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert shown.replace("\r\n", "\n") == "A [31mred answer.\n"
    assert model_server.requests[0]["stream"] is True
    assert "succeeded" in errors


def test_a_pipe_gets_the_answer_as_it_is(spawn: Spawn, task: Path, model_server: ModelServer) -> None:
    model_server.answer = ["raw \x1b[31m", "text\n"]
    process = spawn("run", "shorten", "--var", "text=x")
    out, _ = process.communicate(timeout=20)
    assert out == "raw \x1b[31mtext\n"
    assert not model_server.requests[0].get("stream")


@pytest.mark.parametrize(
    ("number", "code", "status", "error"),
    [
        (signal.SIGINT, 130, "cancelled", "RunCancelledError"),
        (signal.SIGTERM, 143, "interrupted", "RunInterruptedError"),
    ],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_signal_ends_the_run(
    spawn: Spawn,
    cli: Cli,
    task: Path,
    model_server: ModelServer,
    number: signal.Signals,
    code: int,
    status: str,
    error: str,
) -> None:
    model_server.hold.clear()
    process = spawn("run", "shorten", "--var", "text=x", "--json", **_environment(MCP_DRAIN_SECONDS="0.1"))
    assert model_server.asked.wait(60)
    process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == code
    run = json.loads(out)
    assert run["status"] == status
    assert run["error"]["type"] == error
    assert "Traceback" not in errors
    assert cli("history", "show", run["id"], "--json").json == run


def test_a_run_that_ends_while_the_command_drains_is_whole(spawn: Spawn, task: Path, model_server: ModelServer) -> None:
    model_server.hold.clear()
    process = spawn("run", "shorten", "--var", "text=x", "--json", **_environment(MCP_DRAIN_SECONDS="60"))
    assert model_server.asked.wait(60)
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    assert "Told to end: the run may go on for 60 s.\n" in process.stderr  # reads as far as that
    model_server.hold.set()
    out, _ = process.communicate(timeout=60)
    run = json.loads(out)
    assert (process.returncode, run["status"], run["output"]["text"]) == (0, "succeeded", "A short answer.")


def test_an_interrupted_run_is_resumed_once(spawn: Spawn, cli: Cli, task: Path, model_server: ModelServer) -> None:
    model_server.hold.clear()
    process = spawn("run", "shorten", "--var", "text=x", "--json", **_environment(MCP_DRAIN_SECONDS="0"))
    assert model_server.asked.wait(60)
    process.terminate()
    first = json.loads(process.communicate(timeout=60)[0])
    model_server.hold.set()
    resumed = [cli("history", "resume", first["id"], "--json") for _ in range(2)]
    assert [done.code for done in resumed] == [0, 0]
    assert resumed[0].json == resumed[1].json
    run = resumed[0].json
    assert (run["status"], run["retry_of"], run["output"]["text"]) == ("succeeded", first["id"], "A short answer.")
    refused = cli("history", "resume", run["id"], "--json")
    assert refused.code == 2
    assert "only an interrupted one can be resumed" in refused.json["error"]["message"]


def test_the_run_of_another_command_is_cancelled(
    spawn: Spawn, cli: Cli, task: Path, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "CANCEL_SECONDS", 600.0)
    model_server.hold.clear()
    process = spawn("run", "shorten", "--var", "text=x", "--json", "--run-id", "mine")
    assert model_server.asked.wait(60)
    done = cli("history", "cancel", "mine", "--json")
    assert (done.code, [run["status"] for run in done.json["runs"]]) == (0, ["cancelled"])
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)) == (130, done.json["runs"][0])
    again = cli("history", "cancel", "mine")
    assert (again.code, again.out) == (0, "mine\tcancelled\n")
    assert "had ended before" in again.err


def test_a_closed_pipe_is_no_error(spawn: Spawn, cli: Cli, task: Path) -> None:
    cli("run", "shorten", "--var", "text=" + "long " * 40_000)
    for arguments in (["history", "export"], ["run", "shorten", "--var", "text=x", "--json"], ["tasks"]):
        reading, writing = os.pipe()
        os.close(reading)
        process = spawn(*arguments, stdout=writing)
        os.close(writing)
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")


def test_the_key_of_a_provider_is_nowhere(spawn: Spawn, task: Path, data_dir: Path) -> None:
    key = "sk-canary-0123456789abcdef0123456789"
    file = data_dir / "providers.toml"
    file.write_text(file.read_text() + 'api_key_env = "ACME_KEY"\n')
    process = spawn("run", "shorten", "--var", "text=x", "--json", "--verbose", **_environment(ACME_KEY=key))
    out, errors = process.communicate(timeout=20)
    assert json.loads(out)["status"] == "succeeded"
    assert key not in out + errors
    for path in data_dir.rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes(), path


def _environment(**names: str) -> dict[str, Any]:
    return {"env": {**os.environ, "PYTHONPATH": str(ROOT), **names}}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom mcp_core.cli import main\nassert main(['run', '--help']) == 0\n"
        "heavy = {'pydantic', 'sqlalchemy', 'requests', 'pandas', 'rich', 'streamlit', 'jinja2', 'yaml'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stderr == "[]\n"
    assert "--var" in done.stdout


def test_a_command_imports_no_pages(spawn: Spawn, data_dir: Path) -> None:
    code = (
        "import sys\nfrom mcp_core.cli import main\nassert main(['history', 'list', '--json']) == 0\n"
        "print(sorted({'pandas', 'plotly', 'streamlit'} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stderr == "[]\n"
    assert json.loads(done.stdout) == {"runs": [], "next": None}


def test_the_app_is_served(spawn: Spawn, data_dir: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = spawn("serve", "--host", "127.0.0.1", "--port", port, "--", "--server.headless=true")
    until = time.monotonic() + 60
    answer = b""
    while answer != b"ok" and time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as response:
                answer = response.read()
        except OSError:
            time.sleep(0.1)
    assert answer == b"ok"
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGTERM)
