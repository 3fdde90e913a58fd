"""Fixtures of the providers' tests: a misbehaving server, providers that point at it, and the real local model."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mcp_core.cache.base import Cache
from mcp_core.cache.memory import MemoryCache
from mcp_core.providers.base import CachePolicy, CallScope, ChatRequest, Message
from mcp_core.providers.registry import Providers
from mcp_core.settings import load_settings
from tests.faulty import FaultyServer

KEY = "sk-proj-canary0123456789abcdefABCDEF0123456789"


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


@dataclass
class Ears:
    """A scope's events, as they came."""

    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, kind: str, data: Mapping[str, Any]) -> None:
        self.heard.append((kind, dict(data)))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [data for heard, data in self.heard if heard == kind]

    @property
    def text(self) -> str:
        return "".join(data["text"] for data in self.of("token"))


@pytest.fixture
def ears() -> Ears:
    return Ears()


MakeProviders = Callable[..., Providers]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeProviders]:
    """Builds `Providers` from the tables of a providers file; closes them afterwards."""
    with contextlib.ExitStack() as stack:

        def build(
            tables: str = "", *, cache: Cache | None = None, local: str = "off", env: Mapping[str, str] | None = None
        ) -> Providers:
            data = tmp_path / "data"
            data.mkdir(exist_ok=True)
            (data / "providers.toml").write_text(f"version = 1\n{tables}", "utf-8")
            values = {
                "MCP_DATA_DIR": str(data),
                "MCP_LOCAL_MODEL": local,
                "MCP_MASTER_KEY": "a master key of these tests",
                "ACME_KEY": KEY,
                **(env or {}),
            }
            providers = Providers(
                load_settings({name: value for name, value in values.items() if value}, directory=tmp_path),
                MemoryCache(50_000_000) if cache is None else cache,
            )
            stack.callback(providers.close)
            return providers

        yield build


@pytest.fixture
def acme(make: MakeProviders, server: FaultyServer) -> Providers:
    """Providers with one of OpenAI's kind, `acme`, at the misbehaving server."""
    return make(f'[providers.acme]\nbase_url = "{server.url}"\napi_key_env = "ACME_KEY"\n')


def ask(prompt: str = "hi", *, model: str = "acme/m", **fields: Any) -> ChatRequest:
    return ChatRequest(model=model, messages=(Message("user", prompt),), **fields)


def scope(
    emit: Callable[[str, Mapping[str, Any]], None] | None = None, *, mode: str = "use", **fields: Any
) -> CallScope:
    fields.setdefault("max_retries", 0)
    fields.setdefault("read_timeout", 5.0)
    fields.setdefault("policy", CachePolicy(mode=mode))  # type: ignore[arg-type]
    return CallScope(**fields) if emit is None else CallScope(emit=emit, **fields)


@pytest.fixture
def local(make: MakeProviders, local_model_file: Path, tmp_path: Path) -> Providers:
    """Providers with the real local model, which is there already and not started yet."""
    kept = tmp_path / "data" / "models" / local_model_file.name
    kept.parent.mkdir(parents=True)
    kept.symlink_to(local_model_file)
    return make(local="")
