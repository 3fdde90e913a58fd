import gzip
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import requests_cache

from mcp_core.cache.base import Cache
from mcp_core.cache.filesystem import FilesystemCache
from mcp_core.cache.http import EntryInfo, ResponseCache, cached_session, read_body, remembering
from mcp_core.cache.memory import MemoryCache
from mcp_core.cache.sqlite import SQLiteCache
from mcp_core.errors import APIError
from tests.cache.helpers import entry, key_of, noise

pytestmark = [pytest.mark.cache, pytest.mark.integration]

CANARIES = ("sk-canary-openai", "canary-azure-key", "canary-google-key", "canary-cookie", "canary-password")


class Server:
    """Answers as told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.status = 200
        self.body = b'{"answer": "hello"}'
        self.headers: dict[str, str] = {"Content-Type": "application/json", "Set-Cookie": "id=canary-cookie"}
        self.chunked = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                asked = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.requests.append((self.command, self.path, dict(self.headers), asked))
                self.send_response(302 if self.path == "/moved" else outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                if self.path == "/moved":
                    self.send_header("Location", "/new")
                if outer.chunked:
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    try:
                        for start in range(0, len(outer.body), 10_000):
                            piece = outer.body[start : start + 10_000]
                            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                        self.wfile.write(b"0\r\n\r\n")
                    except OSError:
                        self.close_connection = True
                else:
                    self.send_header("Content-Length", str(len(outer.body)))
                    self.end_headers()
                    self.wfile.write(outer.body)

            do_GET = do_POST = do_PUT = _answer  # noqa: N815  (names http.server asks for)

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def cache() -> MemoryCache:
    return MemoryCache(50_000_000)


@pytest.fixture
def session(cache: Cache) -> Iterator[requests.Session]:
    made = cached_session(cache, pool_size=4, trust_env=False)
    yield made
    made.close()


def info(name: str = "a", **fields: Any) -> EntryInfo:
    return EntryInfo(key=key_of(name), **({"ttl_seconds": 100.0} | fields))


def test_it_is_a_requests_cache_session(session: requests.Session) -> None:
    assert isinstance(session, requests_cache.CacheMixin)
    assert isinstance(session, requests.Session)
    assert not session.trust_env
    assert isinstance(session.cache, ResponseCache)


def test_an_answer_is_kept_under_the_key_it_was_asked_for(
    server: Server, session: requests.Session, cache: MemoryCache
) -> None:
    asked = info(labels={"model": "acme/m"}, run_id="run-9", cost_usd=Decimal("0.5"))
    with remembering(asked):
        response = session.post(f"{server.url}/v1", json={"model": "m"})
    assert response.json() == {"answer": "hello"}
    kept = cache.get(key_of("a"))
    assert kept is not None
    assert kept.body == server.body
    assert (kept.content_type, kept.run_id, kept.cost_usd) == ("application/json", "run-9", Decimal("0.5"))
    assert kept.labels == {"model": "acme/m"}
    assert kept.expires_at == kept.created_at + 100.0
    assert kept.latency_seconds == response.elapsed.total_seconds() > 0


def test_a_lookup_answers_from_the_cache(server: Server, session: requests.Session) -> None:
    for _ in range(3):
        with remembering(info(lookup=True)):
            response = session.get(f"{server.url}/v1/models")
        assert response.status_code == 200
        assert response.ok
        assert response.json() == {"answer": "hello"}
        assert response.headers["Content-Type"] == "application/json"
    assert len(server.requests) == 1


def test_without_lookup_the_server_is_asked_each_time(server: Server, session: requests.Session) -> None:
    for _ in range(2):
        with remembering(info()):
            session.post(server.url, json={})
    assert len(server.requests) == 2


def test_an_expired_answer_is_asked_for_again(server: Server, session: requests.Session, cache: MemoryCache) -> None:
    cache.set(entry(expires_at=1.0, body=b'"old"'))
    with remembering(info(lookup=True)):
        assert session.get(server.url).json() == {"answer": "hello"}
    kept = cache.get(key_of("a"))
    assert kept is not None
    assert kept.body == server.body


def test_an_answer_without_time_limit_is_never_stale(
    server: Server, session: requests.Session, cache: MemoryCache
) -> None:
    with remembering(info(ttl_seconds=None)):
        session.post(server.url)
    kept = cache.get(key_of("a"))
    assert kept is not None
    assert kept.expires_at is None
    with remembering(info(lookup=True)):
        session.get(server.url)
    assert len(server.requests) == 1


def test_nothing_is_kept_outside_of_remembering(server: Server, session: requests.Session, cache: MemoryCache) -> None:
    session.post(server.url, json={})
    session.get(server.url)
    with remembering(info()):
        session.put(server.url)
    assert cache.size().entries == 0
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [201, 204, 400, 401, 404, 429, 500, 503])
@pytest.mark.parametrize("lookup", [True, False])
def test_an_error_is_never_kept(
    server: Server, session: requests.Session, cache: MemoryCache, status: int, lookup: bool
) -> None:
    server.status = status
    if status == 204:
        server.body = b""
    with remembering(info(lookup=lookup)):
        assert session.post(server.url).status_code == status
    assert cache.size().entries == 0


@pytest.mark.parametrize("lookup", [True, False])
def test_an_answer_that_does_not_validate_is_not_kept_and_what_was_there_stays(
    server: Server, session: requests.Session, cache: MemoryCache, lookup: bool
) -> None:
    cache.set(entry(expires_at=1.0, body=b'"good"'))
    seen: list[bytes] = []

    def refuse(response: requests.Response) -> bool:
        seen.append(response.content)
        return False

    with remembering(info(validate=refuse, lookup=lookup)):
        assert session.post(server.url).content == server.body
    assert seen == [server.body]
    kept = cache.get(key_of("a"))
    assert kept is not None
    assert kept.body == b'"good"'


def test_what_validation_learns_is_kept(server: Server, session: requests.Session, cache: MemoryCache) -> None:
    asked = info()

    def price(response: requests.Response) -> bool:
        asked.cost_usd = Decimal(len(response.content))
        return True

    asked.validate = price
    with remembering(asked):
        session.post(server.url)
    kept = cache.get(key_of("a"))
    assert kept is not None
    assert kept.cost_usd == len(server.body)


def test_what_validation_raises_reaches_the_caller(
    server: Server, session: requests.Session, cache: MemoryCache
) -> None:
    def complain(response: requests.Response) -> bool:
        raise APIError("That is no answer.")

    with remembering(info(validate=complain)), pytest.raises(APIError, match="no answer"):
        session.post(server.url)
    assert cache.size().entries == 0


def make_sqlite(directory: Path) -> Cache:
    return SQLiteCache(directory / "cache.sqlite", 1_000_000)


def make_files(directory: Path) -> Cache:
    return FilesystemCache(directory / "cache", 1_000_000)


@pytest.mark.parametrize("make", [make_sqlite, make_files])
def test_no_header_cookie_url_or_request_reaches_the_disk(
    server: Server, tmp_path: Path, make: Callable[[Path], Cache]
) -> None:
    cache = make(tmp_path)
    session = cached_session(cache, pool_size=1, trust_env=False)
    headers = {
        "Authorization": "Bearer sk-canary-openai",
        "api-key": "canary-azure-key",
        "x-goog-api-key": "canary-google-key",
        "Cookie": "session=canary-cookie",
    }
    for lookup in (True, False):
        with remembering(info(lookup=lookup)):
            session.post(
                f"{server.url.replace('//', '//user:canary-password@')}/v1?key=canary-google-key",
                json={"prompt": "canary-password"},
                headers=headers,
            )
    session.close()
    assert cache.size().entries == 1
    cache.close()
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"hello" in written
    assert [canary for canary in CANARIES if canary.encode() in written] == []


def test_a_failing_cache_does_not_fail_the_request(server: Server, tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "cache").write_text("in the way")
    session = cached_session(SQLiteCache(tmp_path / "cache" / "c.sqlite", 1_000_000), pool_size=1, trust_env=False)
    for lookup in (True, False):
        with remembering(info(lookup=lookup)):
            assert session.post(server.url).json() == {"answer": "hello"}
    session.close()
    assert {line.split()[0] for line in said} == {"WARNING"}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("remembered", [False, True])
def test_a_body_above_the_limit_is_refused_and_not_kept(
    server: Server, cache: MemoryCache, chunked: bool, remembered: bool
) -> None:
    session = cached_session(cache, pool_size=1, trust_env=False, max_body_bytes=1_000_000)
    server.body, server.chunked = b"x" * 3_000_000, chunked
    with (
        remembering(info()) if remembered else nullcontext(),
        pytest.raises(APIError, match="sent an answer of more than 1 MB") as caught,
    ):
        session.post(server.url)
    assert caught.value.status == 200
    assert cache.size().entries == 0
    server.body, server.chunked = b"{}", False
    assert session.post(server.url).json() == {}
    session.close()


def test_a_body_that_grows_when_decompressed_is_refused(server: Server, cache: MemoryCache) -> None:
    session = cached_session(cache, pool_size=1, trust_env=False, max_body_bytes=1_000_000)
    server.headers["Content-Encoding"] = "gzip"
    server.body = gzip.compress(b"x" * 20_000_000)
    with remembering(info()), pytest.raises(APIError):
        session.post(server.url)
    server.body = gzip.compress(b'{"small": true}')
    with remembering(info()):
        assert session.post(server.url).json() == {"small": True}
    kept = cache.get(key_of("a"))
    assert kept is not None
    assert json.loads(kept.body) == {"small": True}
    session.close()


def test_read_body_names_the_provider(server: Server) -> None:
    server.body = noise(5000)
    with requests.get(server.url, stream=True, timeout=10) as response:
        assert read_body(response, 5000) == server.body
    with (
        requests.get(server.url, stream=True, timeout=10) as response,
        pytest.raises(APIError, match=r"acme sent an answer of more than 0\.004 MB") as caught,
    ):
        read_body(response, 4000, provider="acme")
    assert caught.value.provider == "acme"


def test_an_empty_body_is_read(server: Server) -> None:
    server.body = b""
    with requests.get(server.url, stream=True, timeout=10) as response:
        assert read_body(response) == b""


def test_a_stream_is_handed_over_unread_and_not_kept(
    server: Server, session: requests.Session, cache: MemoryCache
) -> None:
    server.body, server.chunked = b"data: x\n\n" * 5000, True
    with remembering(info()), session.post(server.url, stream=True) as response:
        assert not response._content_consumed  # type: ignore[attr-defined]
        assert b"".join(response.iter_content(1000)) == server.body
    assert cache.size().entries == 0


def test_the_answer_of_a_redirect_is_kept_once(server: Server, session: requests.Session, cache: MemoryCache) -> None:
    with remembering(info(lookup=True)):
        assert session.get(f"{server.url}/moved").json() == {"answer": "hello"}
    assert [path for _, path, _, _ in server.requests] == ["/moved", "/new"]
    assert cache.size().entries == 1
    with remembering(info("b")):
        assert session.get(f"{server.url}/moved", allow_redirects=False).status_code == 302
    assert cache.size().entries == 1


def test_threads_do_not_mix_their_keys(server: Server, session: requests.Session, cache: MemoryCache) -> None:
    def ask(number: int) -> None:
        with remembering(info(str(number), run_id=str(number))):
            session.post(server.url, json={"number": number})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(40)))
    kept = [cache.get(key_of(number)) for number in range(40)]
    assert [found.run_id if found else None for found in kept] == [str(number) for number in range(40)]


def test_remembering_ends_with_its_block(server: Server, session: requests.Session, cache: MemoryCache) -> None:
    with remembering(info("outer")):
        with remembering(info("inner")):
            session.post(server.url)
        session.post(server.url)
    session.post(server.url)
    assert cache.get(key_of("inner")) is not None
    assert cache.get(key_of("outer")) is not None
    assert len(server.requests) == 3


def test_a_session_builds_on_the_class_it_is_given(server: Server, cache: MemoryCache) -> None:
    class Own(requests.Session):
        sent = 0

        def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            self.sent += 1
            return super().send(request, **options)

    session = cached_session(cache, pool_size=1, trust_env=True, base=Own)
    with remembering(info()):
        session.post(server.url)
    assert isinstance(session, Own)
    assert session.sent == 1
    assert session.trust_env
    assert cache.size().entries == 1
    session.close()


def test_requests_cache_may_clear_but_closing_a_session_leaves_the_cache_open(
    session: requests.Session, cache: MemoryCache
) -> None:
    cache.set(entry())
    session.close()
    assert cache.size().entries == 1
    responses = ResponseCache(cache)
    responses.delete(key_of("a"))
    assert cache.size().entries == 1
    responses.save_response(requests.Response(), key_of("b"))
    assert cache.size().entries == 1
    responses.clear()
    assert cache.size().entries == 0
