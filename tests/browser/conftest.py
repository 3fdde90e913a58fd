"""The real app in the real browser: one server and one Chromium for each test process."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.chromium import chromium_path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class App:
    """A running app: where it is and where it keeps its data."""

    url: str
    data_dir: Path


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory, local_model_file: Path) -> Iterator[App]:
    """`streamlit run app.py` as a person starts it, with the local model already fetched."""
    data_dir = tmp_path_factory.mktemp("app")
    models = data_dir / "models"
    models.mkdir()
    (models / local_model_file.name).symlink_to(local_model_file)
    with running_app(data_dir) as running:
        yield running


@contextmanager
def running_app(data_dir: Path, **settings: str) -> Iterator[App]:
    """`streamlit run app.py` on a data directory, until the end of the block."""
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MCP_")}
    environ |= {"MCP_DATA_DIR": str(data_dir), **settings}
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true"]
    command += [f"--server.port={port}", "--server.address=127.0.0.1", "--server.fileWatcherType=none"]
    log = (data_dir / "server.log").open("w")
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log) as server:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until_healthy(url, server)
            yield App(url, data_dir)
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
            log.close()


def wait_until_healthy(url: str, server: "subprocess.Popen[bytes]") -> None:
    """Wait until an app answers; it has a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError("the app did not start")


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One headless Chromium, ended before tests of another room.

    Playwright keeps an event loop running on its thread: with that, `asyncio.run` fails in whatever test comes next.
    """
    path = chromium_path(tmp_path_factory.getbasetemp().parent / "chromium.lock")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh browser profile: a person of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A tab."""
    return context.new_page()
