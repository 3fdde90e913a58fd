"""The bridge to requests-cache: sessions that keep their answers in the panel's own cache.

A request is cached only inside `remembering(info)`, which says under which key and for how long; any other request
goes straight to the wire. Of an answer only its body, media type and latency are kept, with the labels of the info:
no request, no header, no cookie, no URL.

::

    session = cached_session(cache, pool_size=8, trust_env=False)
    with remembering(EntryInfo(key=key, ttl_seconds=3600, validate=is_answer)):
        response = session.post(url, json=body, allow_redirects=False)
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests_cache import CacheMixin
from requests_cache.backends.base import BaseCache
from requests_cache.models.response import CachedResponse
from requests_cache.policy.actions import CacheActions

from mcp_core.cache.base import Cache, Entry
from mcp_core.cache.guard import SafeCache
from mcp_core.errors import APIError

__all__ = ["MAX_BODY_BYTES", "EntryInfo", "ResponseCache", "cached_session", "read_body", "remembering"]

MAX_BODY_BYTES = 32_000_000
"""Largest answer that is read, in bytes after decompression."""

_CHUNK_BYTES = 65_536
_METHODS = ("GET", "POST")


def _accept(response: requests.Response) -> bool:  # noqa: ARG001
    """Keep whatever came with status 200."""
    return True


@dataclass(slots=True)
class EntryInfo:
    """Under which name and with what around it the answer of one request is remembered.

    Attributes:
        key: key of the entry.
        ttl_seconds: how long it stays fresh; None for ever.
        labels, run_id, about: as in `Entry`.
        cost_usd: as in `Entry`; `validate` may set it, as it is what reads the answer.
        validate: whether the answer is worth keeping; asked once, for answers of status 200 only, with the whole
            body in `response.content`. What it raises reaches the caller of the request, and nothing is kept.
        lookup: whether to look in the cache before sending; False where the caller has done so already.
    """

    key: str
    ttl_seconds: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    run_id: str = ""
    about: str = ""
    cost_usd: Decimal | None = None
    validate: Callable[[requests.Response], bool] = _accept
    lookup: bool = False
    _verdict: bool | None = field(default=None, init=False, repr=False)

    def keeps(self, response: requests.Response) -> bool:
        """Whether `response` is worth keeping."""
        if self._verdict is None:
            self._verdict = response.status_code == 200 and self.validate(response)
        return self._verdict


_info: ContextVar[EntryInfo | None] = ContextVar("mcp_entry_info", default=None)


@contextmanager
def remembering(info: EntryInfo) -> Iterator[EntryInfo]:
    """Remember the answer of the request made inside the block, by this thread, as `info` says."""
    token = _info.set(info)
    try:
        yield info
    finally:
        _info.reset(token)


def read_body(response: requests.Response, limit_bytes: int = MAX_BODY_BYTES, *, provider: str = "") -> bytes:
    """The body of a response requested with `stream=True`, but no more than `limit_bytes` of it.

    The connection goes back to its pool, or is closed where the body is too large.

    Raises:
        APIError: the body is larger.
        requests.RequestException: the connection broke.
    """
    announced = response.headers.get("Content-Length", "")
    chunks: list[bytes] = []
    size = int(announced) if announced.isdecimal() else 0
    if size <= limit_bytes:
        size = 0
        for chunk in response.iter_content(_CHUNK_BYTES):
            size += len(chunk)
            if size > limit_bytes:
                break
            chunks.append(chunk)
        else:
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
    response.close()
    raise APIError(
        f"{provider or 'The server'} sent an answer of more than {limit_bytes / 1e6:g} MB.",
        hint="Check the provider's address; ask for a shorter answer.",
        provider=provider,
        status=response.status_code,
    )


class ResponseCache(BaseCache):
    """What requests-cache sees of a `Cache`. Failures of the cache are logged and never fail the request."""

    def __init__(self, cache: Cache) -> None:
        super().__init__(cache_name="panel")
        self._cache = cache if isinstance(cache, SafeCache) else SafeCache(cache)

    def create_key(self, request: Any, match_headers: Any = None, **kwargs: Any) -> str:  # noqa: ARG002
        """The key the caller chose; empty outside of `remembering`."""
        info = _info.get()
        return "" if info is None else info.key

    def get_response(self, key: str, default: CachedResponse | None = None) -> CachedResponse | None:
        """The remembered answer as a response of status 200."""
        entry = self._cache.get(key)
        if entry is None:
            return default
        expires = None if entry.expires_at is None else datetime.fromtimestamp(entry.expires_at, UTC)
        response = CachedResponse(
            status_code=200,
            reason="OK",
            content=entry.body,
            created_at=datetime.fromtimestamp(entry.created_at, UTC),
            expires=expires,
        )
        response.headers["Content-Type"] = entry.content_type
        response.encoding = requests.utils.get_encoding_from_headers(response.headers) or "utf-8"
        response.cache_key = key
        return response

    def save_response(
        self,
        response: requests.Response,
        cache_key: str | None = None,
        expires: datetime | None = None,  # noqa: ARG002
    ) -> None:
        """Remember the body of `response`; `expires` gives way to the info's own time to live."""
        info = _info.get()
        if info is None or not cache_key:
            return
        now = time.time()
        self._cache.set(
            Entry(
                key=cache_key,
                body=response.content,
                content_type=response.headers.get("Content-Type", ""),
                created_at=now,
                expires_at=None if info.ttl_seconds is None else now + info.ttl_seconds,
                latency_seconds=response.elapsed.total_seconds(),
                cost_usd=info.cost_usd,
                run_id=info.run_id,
                labels=info.labels,
                about=info.about,
            )
        )

    def delete(self, *keys: str, **kwargs: Any) -> None:
        """Keep everything: requests-cache deletes what an answer that is not worth keeping was to replace."""

    def clear(self) -> None:
        """Forget everything."""
        self._cache.clear()

    def close(self) -> None:
        """Keep the cache open: it is shared by all sessions and closed by its owner."""


class _WriteActions(CacheActions):
    """What requests-cache is to do with a request that the caller has already looked up: send it, keep the answer.

    The full set of actions reads cache directives from every header and describes itself for a log nobody reads;
    that costs more than the request's own preparation.
    """

    def update_from_response(self, response: requests.Response) -> None:
        self.skip_write = response.request.method not in _METHODS or not _worth_keeping(response)


class _Remembering(CacheMixin):
    """Sends through requests-cache what `remembering` names, and everything else past it."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        info = _info.get()
        if info is None or kwargs.get("stream"):
            return super(CacheMixin, self).send(request, **kwargs)
        if info.lookup:
            return super().send(request, **kwargs)
        actions = _WriteActions(cache_key=info.key, request=request, settings=self.settings, skip_read=True)
        return self._send_and_cache(request, actions, **kwargs)


class _Bounded(requests.Session):
    """Reads bodies up to a limit; the time a response took includes its body."""

    max_body_bytes = MAX_BODY_BYTES

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        if kwargs.get("stream"):
            return super().send(request, **kwargs)
        kwargs["stream"] = True
        started = time.perf_counter()
        response = super().send(request, **kwargs)
        response._content = read_body(response, self.max_body_bytes)
        response._content_consumed = True  # type: ignore[attr-defined]
        response.elapsed = timedelta(seconds=time.perf_counter() - started)
        return response


def cached_session(
    cache: Cache,
    *,
    pool_size: int,
    trust_env: bool,
    base: type[requests.Session] = requests.Session,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> requests.Session:
    """A requests-cache session over `cache`, for one provider.

    GET and POST are cached, and of their answers those of status 200 that validate; see `remembering`. A request
    with `stream=True` is never cached: its caller keeps the answer with `cache.set`.

    Args:
        pool_size: connections kept open to a host; as many as there are threads.
        trust_env: whether every request reads proxies and credentials from the environment; slow.
        base: the session class to build on.
        max_body_bytes: largest body that is read; a larger one is an `APIError`.
    """
    session = _session_class(base)(
        backend=ResponseCache(cache),
        allowable_codes=(200,),
        allowable_methods=_METHODS,
        filter_fn=_worth_keeping,
        autoclose=False,
    )
    session.trust_env = trust_env
    session.max_body_bytes = max_body_bytes
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=pool_size))
    return session  # type: ignore[no-any-return]


def _worth_keeping(response: requests.Response) -> bool:
    info = _info.get()
    return info is not None and (isinstance(response, CachedResponse) or info.keeps(response))


def _session_class(base: type[requests.Session]) -> Any:
    bases = (_Remembering, _Bounded) if base is requests.Session else (_Remembering, _Bounded, base)
    return type("PanelSession", bases, {})
