"""A panel, the model server behind it, and the account that is settled after every fault."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from mcp_core.api.client import MCPClient
from mcp_core.logs import configure_logs
from mcp_core.models import Run, utcnow
from mcp_core.security.redaction import redactor
from mcp_core.settings import Settings, load_settings
from mcp_core.store.rollups import ERRORS
from mcp_core.types.llm_prompt import LLMPromptConfig
from tests.faults.account import ACCOUNT, Account
from tests.faulty import FaultyServer

SECRET = "sk-proj-CANARYfaults0123456789abcdefghijklmnop"
ROOT = Path(__file__).parents[2]
QUESTION = LLMPromptConfig(template="question {{ n }}", model="bench/m", max_retries=0)


def ask(panel: MCPClient, n: object, **options: Any) -> Run:
    """One whole run of the question `n`."""
    return panel.submit(QUESTION, {"n": str(n)}, stream=False, **options).result(30)


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition that another thread or process brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


class Place:
    """A data directory whose provider `bench` is a server that counts, and everything opened on it.

    Args:
        directory: holds the data directory `data`.
    """

    def __init__(self, directory: Path, server: FaultyServer, stack: ExitStack) -> None:
        self.directory = directory
        self.server = server
        self.data = directory / "data"
        self.data.mkdir(mode=0o700)
        (self.data / "providers.toml").write_text(
            f'version = 1\n[providers.bench]\nprotocol = "openai"\nbase_url = "{server.url}"\n'
            'models = ["m"]\napi_key_env = "FAULTS_API_KEY"\n'
        )
        self._stack = stack

    def settings(self, **values: str) -> Settings:
        """Settings of a panel here."""
        return load_settings({**self.environment(), **values}, directory=self.directory)

    def environment(self) -> dict[str, str]:
        """What another process here has to be given."""
        return {
            "MCP_DATA_DIR": str(self.data),
            "MCP_LOCAL_MODEL": "off",
            "MCP_LOG_LEVEL": "DEBUG",
            "MCP_WORKERS": "4",
            "FAULTS_API_KEY": SECRET,
        }

    def open(self, *, adopt: bool = False, **values: str) -> MCPClient:
        """A panel here, closed at the end of the test at the latest."""
        settings = self.settings(**values)
        configure_logs(settings, redactor.shapes)
        panel = MCPClient(settings, adopt=adopt)
        self._stack.callback(panel.close, drain_seconds=0)
        return panel

    def start(self, program: str) -> "subprocess.Popen[str]":
        """Another process here that runs `program`; killed at the end of the test at the latest."""
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.directory,
            env={**os.environ, **self.environment(), "PYTHONPATH": str(ROOT)},
        )

        def end() -> None:
            process.kill()
            process.communicate()

        self._stack.callback(end)
        return process

    def settle(self, panel: MCPClient, runs: Sequence[Run]) -> None:
        """The account: no run lost, none doubled, no status wrong, no sum wrong, no secret anywhere."""
        asked = {run.id: run.status for run in runs}
        assert len(asked) == len(runs)
        with suppress(AssertionError):  # what is not as it should be is counted, and then said
            until(lambda: {run.id: run.status for run in panel.store.iter_runs()} == asked, 60)
        stored = {run.id: run.status for run in panel.store.iter_runs()}
        totals = panel.store.totals(utcnow() - timedelta(days=2), utcnow() + timedelta(days=2))
        errors = sum(status in ERRORS for status in asked.values())
        found = Account(
            runs=len(asked),
            lost=len(asked.keys() - stored.keys()),
            doubled=len(stored.keys() - asked.keys()) + max(0, totals.runs - len(stored)),
            wrong_status=sum(stored.get(run_id, status) != status for run_id, status in asked.items())
            + abs(totals.errors - errors),
            leaked=len(self.leaks()),
        )
        ACCOUNT.add(asdict(found))
        assert found == Account(runs=len(asked)), found.line
        assert totals.runs == len(runs)
        assert all((run.duration_seconds or 0) >= 0 for run in panel.store.iter_runs())

    def leaks(self) -> list[str]:
        """Files here that hold the secret."""
        files = [path for path in self.directory.rglob("*") if path.is_file()]
        return [str(path) for path in files if SECRET.encode() in path.read_bytes()]


@pytest.fixture(autouse=True)
def _counted(request: pytest.FixtureRequest) -> None:
    """Every test here brings about a fault, but for the one that reads a document."""
    if request.node.get_closest_marker("unit") is None:
        ACCOUNT.faults.append(request.node.nodeid)


@contextmanager
def a_place(directory: Path) -> Iterator[Place]:
    """A place with a server of its own."""
    with FaultyServer() as server, ExitStack() as stack:
        yield Place(directory, server, stack)
    logger.remove()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A place of the test's own."""
    with a_place(tmp_path) as made:
        yield made
