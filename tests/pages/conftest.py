"""A panel behind its pages: the real client in a fresh directory, with a real HTTP server as its model server."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger
from streamlit.testing.v1 import AppTest

from mcp_core.api.client import MCPClient
from mcp_core.models import Run
from mcp_core.ui.client import current_client, release_client
from tests.faulty import FaultyServer

APP = Path(__file__).resolve().parents[2] / "app.py"
KEY = "sk-proj-canary0123456789abcdefABCDEF"


class Panel:
    """Opens pages, each in a browser session of its own, and reaches the client behind them."""

    def __init__(self, server: FaultyServer) -> None:
        self.server = server

    def open(self, page: str = "home", **params: str) -> AppTest:
        """A new session on a page; query parameters may be written with `_` for a dot."""
        session = AppTest.from_file(str(APP), default_timeout=60)
        session.context = {"url": "http://panel.example/base/"}
        for name, value in params.items():
            session.query_params[name.replace("var_", "var.", 1)] = value
        if page != "home":
            session.run()
            session.switch_page(f"pages/{page}.py")
            for name, value in params.items():
                session.query_params[name.replace("var_", "var.", 1)] = value
        return session.run()

    @property
    def client(self) -> MCPClient:
        """The client that the pages use."""
        return current_client()

    def finished(self, session: AppTest, seconds: float = 30.0) -> Run:
        """Wait until the session's run is over and the page has drawn it."""
        run_id = session.query_params["run"]
        until = time.monotonic() + seconds
        while not (run := self.client.runs.get(run_id)).status.is_final:
            assert time.monotonic() < until, f"run {run_id} is still {run.status}"
            time.sleep(0.02)
        session.run()
        return run


@pytest.fixture
def panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Panel]:
    """A panel with the provider `acme`, whose server is `panel.server`, and without a local model."""
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setenv("MCP_LOCAL_MODEL", "off")
    monkeypatch.setenv("ACME_KEY", KEY)
    with FaultyServer() as server:
        (data / "providers.toml").write_text(
            f'version = 1\n[providers.acme]\nbase_url = "{server.url}"\n'
            'api_key_env = "ACME_KEY"\nmodels = ["m", "n"]\n',
            "utf-8",
        )
        yield Panel(server)
        release_client()
    logger.remove()


def shown(session: AppTest) -> str:
    """Every text a page shows, one after the other."""
    kinds = ("title", "subheader", "markdown", "caption", "error", "warning", "info", "success", "code", "metric")
    texts = []
    for kind in kinds:
        for element in getattr(session, kind):
            texts += [str(element.value), str(getattr(element.proto, "title", "")), str(getattr(element, "label", ""))]
    return "\n".join(texts)
