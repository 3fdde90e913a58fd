"""HTTP to one provider: a cached session for whole answers, a plain one for streams, both bounded and interruptible."""

import http.client
import ipaddress
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests
import urllib3
from requests.models import PreparedRequest
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies

from mcp_core.cache.base import Cache
from mcp_core.cache.http import MAX_BODY_BYTES, EntryInfo, cached_session, remembering
from mcp_core.errors import APIError
from mcp_core.providers.base import CallScope
from mcp_core.providers.failures import Target
from mcp_core.providers.interrupt import ActiveCall, InterruptibleAdapter
from mcp_core.providers.transport import CONNECT_TIMEOUT, BodyTooLargeError, transport_failure

__all__ = ["Reply", "StreamReply", "Wire", "join_url"]

_FOREIGN = (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError)
_DRAIN_SECONDS = 0.2
_CHUNK_BYTES = 65_536


def join_url(base_url: str, path: str, query: Mapping[str, str] | None = None) -> str:
    """`base_url` followed by `path`, with a `/v1` that both have taken once."""
    if path.startswith("/v1/") and base_url.endswith("/v1"):
        path = path.removeprefix("/v1")
    return f"{base_url}{path}" + (f"?{urlencode(query)}" if query else "")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with its whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class StreamReply:
    """An answer whose body is read piece by piece."""

    def __init__(
        self, response: requests.Response, call: ActiveCall, target: Target, scope: CallScope, read_timeout: float
    ) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._raw: Any = response.raw
        self._call = call
        self._target = target
        self._scope = scope
        self._read_timeout = read_timeout
        self._ended = False

    def chunks(self) -> Iterator[bytes]:
        """Pieces of the body as they arrive.

        Raises:
            APIError: the connection breaks or falls silent, or the body is larger than allowed.
            RunCancelledError, RunTimeoutError, RunInterruptedError: the work should stop.
        """
        size = 0
        while True:
            with _translated(self._target, self._scope, self._read_timeout):
                piece = self._raw.read1(_CHUNK_BYTES, decode_content=True)
                size += len(piece)
                if size > MAX_BODY_BYTES:
                    raise BodyTooLargeError
            _check(self._scope)
            if not piece:
                self._ended = True
                return
            yield piece

    def body(self) -> bytes:
        """The whole body; raises as `chunks` does."""
        return b"".join(self.chunks())

    def finish(self) -> None:
        """Read the little that follows a stream's last event, so that the connection can be used again."""
        if self._ended or not self._call.settimeout(_DRAIN_SECONDS):
            return
        try:
            for _ in range(4):
                if not self._raw.read1(_CHUNK_BYTES, decode_content=True):
                    return
        except _FOREIGN:
            # The server keeps the connection open or has broken it; it is closed then and a new one made next time.
            return


class _Session(requests.Session):
    """Follows no redirect: a POST would become a GET, and a key go to whatever host the answer names."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        return None


class Wire:
    """Talks HTTP to the hosts of one provider.

    Proxies and certificate authorities come from the environment and are read once, here; loopback is never asked
    through a proxy. TLS is always verified, no redirect is followed, no cookie kept.

    Args:
        pool_size: connections kept open; as many as there are worker threads.
    """

    def __init__(self, base_url: str, cache: Cache, *, pool_size: int) -> None:
        self._proxies, self._verify = _environment(base_url)
        self._cached = cached_session(cache, pool_size=pool_size, trust_env=False, base=_Session)
        self._plain = _Session()
        for session in (self._cached, self._plain):
            session.trust_env = False
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
            for scheme in ("http://", "https://"):
                session.mount(scheme, InterruptibleAdapter(pool_connections=4, pool_maxsize=pool_size))

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        target: Target,
        scope: CallScope,
        remember: EntryInfo | None = None,
    ) -> Reply:
        """Send a request and read the whole answer, whatever its status.

        Args:
            remember: under which key the answer is kept, and whether it is worth it; None to keep nothing.

        Raises:
            APIError, ConfigurationError: no whole answer came.
            RunCancelledError, RunTimeoutError, RunInterruptedError: the work should stop.
        """
        read_timeout = _read_timeout(scope)
        with ActiveCall(scope.cancel), remembering(remember) if remember else nullcontext():
            with _translated(target, scope, read_timeout):
                response = self._cached.send(
                    _prepared(method, url, headers, body), **self._options(read_timeout), stream=False
                )
            _check(scope)
            return Reply(response.status_code, response.headers, response.content)

    @contextmanager
    def stream(
        self, url: str, headers: Mapping[str, str], body: bytes, *, target: Target, scope: CallScope
    ) -> Iterator[StreamReply]:
        """Send a POST and hand over the answer as soon as its headers are there. Raises as `send` does."""
        read_timeout = _read_timeout(scope)
        with ActiveCall(scope.cancel) as call:
            with _translated(target, scope, read_timeout):
                response = self._plain.send(
                    _prepared("POST", url, headers, body), **self._options(read_timeout), stream=True
                )
            try:
                yield StreamReply(response, call, target, scope, read_timeout)
            finally:
                response.close()

    def close(self) -> None:
        """Close all connections."""
        self._cached.close()
        self._plain.close()

    def _options(self, read_timeout: float) -> dict[str, Any]:
        return {"timeout": (CONNECT_TIMEOUT, read_timeout), "proxies": self._proxies, "verify": self._verify}


def _prepared(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> PreparedRequest:
    # What `Session.prepare_request` does beside this (parameters, cookies, netrc, hooks) is of no use here and costs
    # more than sending.
    request = PreparedRequest()
    request.method = method
    request.url = url
    request.headers = CaseInsensitiveDict(headers)
    if body is not None:
        request.headers["Content-Length"] = str(len(body))
    request.body = body
    return request


def _environment(base_url: str) -> tuple[dict[str, str], bool | str]:
    verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    return ({} if _is_loopback(base_url) else dict(get_environ_proxies(base_url))), verify


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _read_timeout(scope: CallScope) -> float:
    _check(scope)
    remaining = scope.cancel.remaining()
    return scope.read_timeout if remaining is None else max(0.01, min(scope.read_timeout, remaining))


def _check(scope: CallScope) -> None:
    """Stop where the work should, or its time is up though nobody has said so yet."""
    if scope.cancel.remaining() == 0:
        scope.cancel.cancel("timed_out")
    scope.cancel.check()


@contextmanager
def _translated(target: Target, scope: CallScope, read_timeout: float) -> Iterator[None]:
    try:
        yield
    except APIError:
        # The cached session's own word for a body that is too large knows neither provider nor model.
        _check(scope)
        raise transport_failure(BodyTooLargeError(), target, read_timeout) from None
    except _FOREIGN as error:
        _check(scope)
        raise transport_failure(error, target, read_timeout) from None
