"""A cache on a Redis server that is reached by TLS: `rediss://`, with the certificate checked."""

from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from mcp_core.api.client import MCPClient
from mcp_core.cache import redis as redis_module
from mcp_core.cache.redis import RedisCache
from mcp_core.errors import CacheError
from mcp_core.settings import load_settings
from tests.cache.helpers import entry, key_of, valkey_url
from tests.faulty import FaultyServer, chat
from tests.tls import Certificate, make_certificate, tls_proxy

__all__ = ["valkey_url"]

pytestmark = [pytest.mark.cache, pytest.mark.integration]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_module, "_SOCKET_SECONDS", 60.0)


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return make_certificate(tmp_path / "tls")


def _target(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def _cache(port: int, *, host: str = "localhost", authority: Path | None = None) -> RedisCache:
    trusted = "" if authority is None else f"?ssl_ca_certs={authority}"
    return RedisCache(f"rediss://{host}:{port}/0{trusted}", max_bytes=1_000_000, prefix=f"test-{uuid4().hex}")


def test_answers_are_kept_over_tls(valkey_url: str, certificate: Certificate) -> None:
    with tls_proxy(_target(valkey_url), certificate) as proxy:
        cache = _cache(proxy.port, authority=certificate.certificate)
        cache.set(entry("a"))
        assert cache.get(key_of("a")) == entry("a")
        assert cache.find()[0].hits == 1
        assert cache.clear() == 1
        assert proxy.handshakes >= 1
        cache.close()


@pytest.mark.parametrize("trusted", [False, True], ids=["unknown authority", "another authority"])
def test_a_certificate_nobody_vouches_for_is_refused(
    valkey_url: str, certificate: Certificate, tmp_path: Path, trusted: bool
) -> None:
    other = make_certificate(tmp_path / "other").certificate if trusted else None
    with tls_proxy(_target(valkey_url), certificate) as proxy:
        cache = _cache(proxy.port, authority=other)
        with pytest.raises(CacheError, match="certificate verify failed"):
            cache.set(entry("a"))
        assert proxy.handshakes == 0
        cache.close()


def test_a_certificate_of_another_host_is_refused(valkey_url: str, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path / "tls", host="cache.example.com")
    with tls_proxy(_target(valkey_url), certificate) as proxy:
        cache = _cache(proxy.port, authority=certificate.certificate)
        with pytest.raises(CacheError, match="certificate verify failed"):
            cache.get(key_of("a"))
        cache.close()


def test_a_server_without_tls_is_not_spoken_to_in_the_clear(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_module, "_SOCKET_SECONDS", 0.5)  # it waits for words it knows, and says nothing
    host, port = _target(valkey_url)
    cache = _cache(port, host=host)
    with pytest.raises(CacheError):
        cache.set(entry("a"))
    cache.close()


@pytest.mark.parametrize("backend", ["redis", "tiered"])
def test_a_panel_remembers_over_tls(backend: str, valkey_url: str, certificate: Certificate, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with FaultyServer() as server, tls_proxy(_target(valkey_url), certificate) as proxy:
        server.default = chat("Hello.")
        (data / "providers.toml").write_text(f'version = 1\n[providers.acme]\nbase_url = "{server.url}"\n')
        database = {"redis": 3, "tiered": 4}[backend]  # of its own: every panel uses the same names
        settings = load_settings(
            {
                "MCP_DATA_DIR": str(data),
                "MCP_LOCAL_MODEL": "off",
                "MCP_CACHE_BACKEND": backend,
                "MCP_REDIS_URL": f"rediss://localhost:{proxy.port}/{database}?ssl_ca_certs={certificate.certificate}",
            },
            directory=tmp_path,
        )
        task = {"type": "llm_prompt", "template": f"Say hi to {uuid4().hex}", "model": "acme/m"}
        with MCPClient(settings) as client:
            assert client.execute(task).cache == "miss"
        with MCPClient(settings) as client:
            assert client.execute(task).cache == "hit"
            client.cache.clear(pinned=True)
        assert proxy.handshakes >= 2
        assert server.calls == 1
