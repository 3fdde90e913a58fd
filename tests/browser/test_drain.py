"""The app is told to end while it runs something: that run ends as it should, and what waits goes on elsewhere."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from mcp_core.api.client import MCPClient
from mcp_core.models import RunStatus
from mcp_core.settings import load_settings
from tests.api.test_engine import until
from tests.api.test_queue import Held
from tests.browser.conftest import ROOT, free_port, wait_until_healthy
from tests.faulty import FaultyServer, chat

pytestmark = pytest.mark.e2e

SLOW = 90_000


def begun(page: Page, url: str) -> str:
    """Begin the task on its page; returns the run's id."""
    page.goto(f"{url}/run?task=slow")
    button = page.get_by_test_id("stMain").get_by_role("button", name=re.compile(r"\bRun\b")).first
    expect(button).to_be_enabled(timeout=SLOW)
    button.click()
    page.wait_for_url("**run=*", timeout=SLOW)
    return page.url.partition("run=")[2].partition("&")[0]


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except OSError:
        return True
    return False


def test_the_app_drains_on_sigterm(page: Page, tmp_path: Path) -> None:
    with FaultyServer() as server:
        server.default = held = Held(chat("at last"))
        (tmp_path / "providers.toml").write_text(
            f'version = 1\n[providers.acme]\nbase_url = "{server.url}"\nmodels = ["m"]\n'
        )
        (tmp_path / "tasks").mkdir()
        (tmp_path / "tasks" / "slow.yaml").write_text(
            "type: llm_prompt\nname: Slow\ntemplate: Hi\nmodel: acme/m\nmax_retries: 0\ncache: bypass\n"
        )
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MCP_")}
        ours = {"MCP_DATA_DIR": str(tmp_path), "MCP_LOCAL_MODEL": "off", "MCP_WORKERS": "1"}
        port = free_port()
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true"]
        command += [f"--server.port={port}", "--server.address=127.0.0.1", "--server.fileWatcherType=none"]
        with subprocess.Popen(
            command, cwd=ROOT, env={**environ, **ours, "MCP_DRAIN_SECONDS": "300"}, stdout=subprocess.DEVNULL
        ) as app:
            try:
                url = f"http://127.0.0.1:{port}"
                wait_until_healthy(url, app)
                first = begun(page, url)
                assert held.asked.acquire(timeout=60)
                second = begun(page, url)
                app.send_signal(signal.SIGTERM)
                until(lambda: refuses(port), 60)
                # It serves nobody any more, and goes on for the sake of the run.
                assert app.poll() is None
                held.go.set()
                assert app.wait(120) == 0
            finally:
                held.go.set()
                app.kill()
        with MCPClient(load_settings(ours, directory=tmp_path), adopt=True) as heir:
            assert heir.runs.get(first).status is RunStatus.SUCCEEDED
            for _ in heir.runs.follow(second, timeout=60):
                continue
            assert heir.runs.get(second).output.text == "at last"
            assert server.calls == 2
