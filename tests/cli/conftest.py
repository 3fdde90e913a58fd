"""A panel as the command line sees it: a data directory, a model server, and a task file."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from mcp_core.cli import main
from tests.cli.server import ModelServer, serving

__all__ = ["Result", "cli", "data_dir", "model_server", "spawn", "task"]

ROOT = Path(__file__).resolve().parents[2]


class Result:
    """How a command ended: exit code, standard output, standard error."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    with serving() as server:
        yield server


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_server: ModelServer) -> Path:
    """A data directory whose one provider is the model server."""
    path = tmp_path / "data"
    path.mkdir()
    (path / "providers.toml").write_text(f'version = 1\n[providers.acme]\nbase_url = "{model_server.url}"\n')
    monkeypatch.setenv("MCP_DATA_DIR", str(path))
    monkeypatch.setenv("MCP_LOCAL_MODEL", "off")
    monkeypatch.chdir(tmp_path)
    return path


@pytest.fixture
def task(data_dir: Path) -> Path:
    """A task that asks the model server, known by the name `shorten`."""
    path = data_dir / "tasks" / "shorten.yaml"
    path.parent.mkdir()
    path.write_text(
        "type: llm_prompt\nname: Shorten\ndescription: Makes it short.\n"
        "template: 'Shorten: {{ text }}'\nmodel: acme/small\nmax_retries: 0\n"
    )
    return path


@pytest.fixture
def cli(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Result]]:
    """Runs a command in this process."""

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    yield run
    logger.remove()
    logging.basicConfig(handlers=[], force=True)


@pytest.fixture
def spawn(data_dir: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        settings: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "env": {**os.environ, "PYTHONPATH": str(ROOT)},
            **options,
        }
        process = subprocess.Popen([sys.executable, "-m", "mcp_core", *map(str, arguments)], text=True, **settings)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
