"""A panel that knows the probes."""

from collections.abc import Iterator

import pytest

from mcp_core.api.client import MCPClient
from mcp_core.settings import Settings
from tests.api.probes import probe_registry


@pytest.fixture
def panel(settings: Settings) -> Iterator[MCPClient]:
    """A panel with two workers that knows the probes."""
    client = MCPClient(settings.model_copy(update={"workers": 2, "queue_size": 3}), registry=probe_registry())
    yield client
    client.close(drain_seconds=0)
