import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis

from mcp_core.cache import redis as redis_module
from mcp_core.cache.redis import KEEP_STALE_SECONDS, RedisCache
from mcp_core.errors import CacheError, ConfigurationError
from tests.cache.helpers import closed_port, entry, key_of, noise, valkey

pytestmark = [pytest.mark.cache, pytest.mark.integration]


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid4().hex}"


@pytest.fixture
def cache(valkey_url: str, prefix: str) -> Iterator[RedisCache]:
    made = RedisCache(valkey_url, max_bytes=10_000_000, prefix=prefix)
    yield made
    made.close()


@pytest.fixture
def db(valkey_url: str) -> "Iterator[Redis]":
    with Redis.from_url(valkey_url) as connection:
        yield connection


def test_an_expired_entry_stays_for_a_while_and_then_goes(cache: RedisCache, db: Redis, prefix: str) -> None:
    cache.set(entry("fresh", expires_at=time.time() + 1000))
    cache.set(entry("stale", expires_at=time.time() - 1000))
    cache.set(entry("eternal", expires_at=None))
    lives = {name: db.ttl(f"{{{prefix}}}:entry:{key_of(name)}") for name in ("fresh", "stale", "eternal")}
    assert KEEP_STALE_SECONDS + 900 < lives["fresh"] <= KEEP_STALE_SECONDS + 1000
    assert KEEP_STALE_SECONDS - 100 < lives["stale"] <= KEEP_STALE_SECONDS
    assert lives["eternal"] == -1


def test_what_the_server_let_go_no_longer_counts(
    cache: RedisCache, db: Redis, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_module, "KEEP_STALE_SECONDS", 0.02)
    cache.set(entry("brief", expires_at=1.0))
    cache.set(entry("lasting"))
    time.sleep(0.05)
    assert cache.get(key_of("brief")) is None
    assert cache.size().entries == 1
    assert [found.key for found in cache.entries()] == [key_of("lasting")]
    assert db.zcard(f"{{{prefix}}}:used") == 1


def test_a_lasting_answer_replaces_a_brief_one(cache: RedisCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_module, "KEEP_STALE_SECONDS", 0.02)
    cache.set(entry(expires_at=1.0))
    cache.set(entry(expires_at=None))
    time.sleep(0.05)
    cache.set(entry("next"))
    assert cache.get(key_of("a")) == entry(expires_at=None)
    assert cache.size().entries == 2


def test_many_uses_are_sent_in_one_go(cache: RedisCache, db: Redis, prefix: str) -> None:
    cache.set(entry())
    before = db.zscore(f"{{{prefix}}}:used", key_of("a"))
    cache.get(key_of("a"))
    assert db.zscore(f"{{{prefix}}}:used", key_of("a")) == before
    for number in range(600):
        cache.touch(key_of(number))
    after = db.zscore(f"{{{prefix}}}:used", key_of("a"))
    assert before is not None
    assert after is not None
    assert after > before
    assert db.zcard(f"{{{prefix}}}:used") == 1


def test_clear_finds_entries_whose_index_is_lost_and_spares_others(cache: RedisCache, db: Redis, prefix: str) -> None:
    cache.set(entry("a"))
    cache.set(entry("b"))
    for name in ("used", "made", "sizes", "bytes"):
        db.delete(f"{{{prefix}}}:{name}")
    db.set(f"theirs-{prefix}", "precious")
    assert cache.clear() == 2
    assert cache.get(key_of("a")) is None
    assert cache.size().size_bytes == 0
    assert db.get(f"theirs-{prefix}") == b"precious"
    assert db.keys(f"{{{prefix}}}:entry:*") == []


def test_an_unreachable_server_is_a_cache_error(said: list[str]) -> None:
    cache = RedisCache(f"redis://:hunter2@127.0.0.1:{closed_port()}/0", max_bytes=1_000_000)
    for number in range(600):
        cache.touch(key_of(number))
    for work in (
        cache.check,
        lambda: cache.get(key_of("a")),
        lambda: cache.set(entry()),
        lambda: cache.delete(key_of("a")),
        cache.clear,
        cache.size,
        lambda: list(cache.entries()),
    ):
        with pytest.raises(CacheError, match="The Redis cache does not work") as caught:
            work()
        assert "hunter2" not in str(caught.value)
        assert "MCP_REDIS_URL" in caught.value.hint
    cache.close()
    assert said == [], "whoever uses it says so, once"


def test_a_silent_server_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_module, "_SOCKET_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cache = RedisCache(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", max_bytes=1_000_000)
        with pytest.raises(CacheError):
            cache.get(key_of("a"))
        cache.close()


@pytest.mark.parametrize("url", ["http://u:hunter2@host", "redis://u:hunter2@host:port/0", "nonsense"])
def test_a_wrong_address_is_named_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedisCache(url, max_bytes=1_000_000)
    assert caught.value.field == "MCP_REDIS_URL"
    assert "hunter2" not in str(caught.value)


def test_a_server_that_refuses_writes_is_a_cache_error(cache: RedisCache) -> None:
    with valkey(maxmemory="3mb") as full:
        limited = RedisCache(f"redis://127.0.0.1:{full.port}/0", max_bytes=100_000_000)

        def fill() -> None:
            for number in range(40):
                limited.set(entry(number, noise(200_000, number)))

        with pytest.raises(CacheError, match="memory"):
            fill()
        assert limited.get(key_of(0)) is not None
        limited.close()


def test_it_heals_when_the_server_comes_back(redis_socket: Path) -> None:
    with valkey(unixsocket=str(redis_socket)):
        cache = RedisCache(f"unix://{redis_socket}", max_bytes=1_000_000)
        cache.set(entry("before"))
    with pytest.raises(CacheError):
        cache.get(key_of("before"))
    with valkey(unixsocket=str(redis_socket)):
        cache.set(entry("after"))
        assert cache.get(key_of("after")) == entry("after")
    cache.close()


class TlsFront:
    """Speaks TLS on a loopback port and hands everything to a plain port: a Redis server with TLS."""

    def __init__(self, certificate: Path, key: Path, target: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._context = context
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._server]
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                raw, _ = self._server.accept()
                with suppress(ssl.SSLError):
                    secured = self._context.wrap_socket(raw, server_side=True)
                    plain = socket.create_connection(("127.0.0.1", self._target))
                    self._sockets += [secured, plain]
                    for source, sink in ((secured, plain), (plain, secured)):
                        threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError, ValueError):
            while data := source.recv(65_536):
                sink.sendall(data)

    def close(self) -> None:
        for each in self._sockets:
            each.close()


@pytest.fixture
def tls(valkey_url: str, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Port of a TLS server before the real one, and its self-signed certificate."""
    openssl = shutil.which("openssl")
    assert openssl is not None
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            openssl,
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ],
        check=True,
        capture_output=True,
    )
    front = TlsFront(certificate, key, int(valkey_url.rsplit(":", 1)[1].split("/")[0]))
    yield front.port, certificate
    front.close()


def test_tls_is_spoken_and_the_certificate_checked(tls: tuple[int, Path], prefix: str) -> None:
    port, certificate = tls
    trusted = RedisCache(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}", max_bytes=1_000_000, prefix=prefix)
    trusted.set(entry())
    assert trusted.get(key_of("a")) == entry()
    trusted.close()
    stranger = RedisCache(f"rediss://127.0.0.1:{port}/0", max_bytes=1_000_000, prefix=prefix)
    with pytest.raises(CacheError, match="certificate"):
        stranger.get(key_of("a"))
    stranger.close()


def test_changes_of_others_are_heard_and_own_ones_are_not(valkey_url: str, prefix: str, cache: RedisCache) -> None:
    other = RedisCache(valkey_url, max_bytes=1_000_000, prefix=prefix)
    heard: list[str | None] = []
    stop = cache.watch(heard.append)
    _eventually(lambda: heard == [None])  # said once it listens
    cache.set(entry("a"))
    cache.set(entry("a", b"own replacement"))
    other.set(entry("new"))
    other.set(entry("a", b"replaced"))
    _eventually(lambda: heard == [None, key_of("a")])
    other.delete(key_of("a"))
    other.clear()
    _eventually(lambda: heard == [None, key_of("a"), key_of("a"), None] or len(heard) > 4)
    assert heard[:3] == [None, key_of("a"), key_of("a")]
    assert heard[-1] is None
    stop()
    count = len(heard)
    other.clear()
    assert len(heard) == count
    other.close()


def test_a_watcher_listens_again_after_the_server_restarted(redis_socket: Path) -> None:
    heard: list[str | None] = []
    with valkey(unixsocket=str(redis_socket)):
        cache = RedisCache(f"unix://{redis_socket}", max_bytes=1_000_000)
        cache.watch(heard.append)
        _eventually(lambda: heard == [None])
    with valkey(unixsocket=str(redis_socket)):
        _eventually(lambda: len(heard) > 1)
        assert heard[-1] is None
        other = RedisCache(f"unix://{redis_socket}", max_bytes=1_000_000)
        other.set(entry())
        other.set(entry())
        _eventually(lambda: heard[-1] == key_of("a"))
        other.close()
        cache.close()


def _eventually(condition: object) -> None:
    assert callable(condition)
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
