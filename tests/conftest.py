"""Fixtures every room uses: a panel of its own in a fresh directory, and no way out of this machine."""

import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from platformdirs import user_cache_path

from mcp_core.providers.model_file import ensure_model
from mcp_core.security.redaction import redactor
from mcp_core.settings import Settings, load_settings
from tests.faults import account

if TYPE_CHECKING:
    from mcp_core.api.client import MCPClient

# A busy machine may take long over any one example; what is tested is not how fast it is. Under continuous integration
# the examples are the same each time, so that a run can be repeated; at a desk they go on looking for what is new.
hypothesis.settings.register_profile(
    "untimed",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("untimed")

_connect = socket.socket.connect


def _only_loopback(self: socket.socket, address: Any) -> None:
    """Refuse to connect anywhere but to this machine: a test must never reach a real, paid model."""
    if self.family in (socket.AF_INET, socket.AF_INET6):
        host = str(address[0]).partition("%")[0]
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise PermissionError(f"a test tried to reach {host}")
    _connect(self, address)


def pytest_configure(config: pytest.Config) -> None:
    """Count the faults that are tried, whichever process tries them."""
    config.pluginmanager.register(account, "faults-account")


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(socket.socket, "connect", _only_loopback)
    for name in list(os.environ):
        ours = name.startswith("MCP_") and name != "MCP_TEST_MODEL_DIR"
        if ours or name.endswith("_API_KEY") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MCP_DATA_DIR", str(tmp_path / "data"))
    # What one test teaches the process to mask is no secret of the next one's.
    monkeypatch.setattr(redactor, "_known", redactor._known)
    monkeypatch.setattr(redactor, "_pattern", redactor._pattern)


@pytest.fixture(scope="session")
def local_model_file() -> Path:
    """The built-in model's file, fetched once per machine."""
    given = os.environ.get("MCP_TEST_MODEL_DIR")
    directory = Path(given) if given else user_cache_path("model-control-panel-tests", appauthor=False)
    return ensure_model(load_settings({"MCP_DATA_DIR": str(directory)}, directory=directory))


@pytest.fixture
def redis_socket() -> Iterator[Path]:
    """Where a Redis server that comes and goes may listen: a port might be somebody else's by the time it is back."""
    with TemporaryDirectory() as place:  # its name has to be shorter than pytest's are
        yield Path(place) / "valkey.sock"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a fresh panel without a local model."""
    values = {"MCP_DATA_DIR": str(tmp_path / "data"), "MCP_LOCAL_MODEL": "off"}
    return load_settings(values, directory=tmp_path)


@pytest.fixture
def client(settings: Settings) -> "Iterator[MCPClient]":
    """A panel of its own, closed afterwards."""
    from mcp_core.api.client import MCPClient

    panel = MCPClient(settings)
    yield panel
    panel.close(drain_seconds=0)
