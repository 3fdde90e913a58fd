"""One request on the wire, whole or streamed: asked, read, priced, and remembered where it is worth it."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import requests

from mcp_core.cache.base import Cache, Entry
from mcp_core.cache.http import EntryInfo
from mcp_core.errors import APIError, MCPError, OutputMismatchError
from mcp_core.providers.answers import Answer, clean_text, read_answer, structured
from mcp_core.providers.base import CallScope, ChatRequest
from mcp_core.providers.endpoints import Endpoint
from mcp_core.providers.failures import AnswerError, Target, http_failure, is_the_servers_fault, located
from mcp_core.providers.prices import Prices
from mcp_core.providers.rates import estimated_tokens, spend
from mcp_core.providers.redact import excerpt, mask_bytes
from mcp_core.providers.server import ModelServer
from mcp_core.providers.sse import decode_events
from mcp_core.providers.transport import refused_connection
from mcp_core.providers.wire import StreamReply, Wire, join_url
from mcp_core.security.redaction import redactor

__all__ = ["EXCHANGE_BYTES", "Exchange"]

EXCHANGE_BYTES = 32_768
"""How much of a request and of an answer an `exchange` event shows, each."""

_WITHHELD = b"A stream that holds a secret, and is not shown."


class Exchange:
    """Asks a model server on behalf of one call; `attempt` may be repeated.

    Args:
        key: under which the answer is remembered; None to remember nothing.
        about: the parts of the key, for those who look into the cache.

    Attributes:
        shown: whether the last attempt has emitted tokens.
        waited: seconds of the last attempt that passed before the server was asked.
    """

    def __init__(
        self,
        server: ModelServer,
        request: ChatRequest,
        scope: CallScope,
        cache: Cache,
        prices: Prices,
        key: str | None,
        ttl_seconds: float,
        about: str = "",
    ) -> None:
        self._server = server
        self._request = request
        self._scope = scope
        self._cache = cache
        self._prices = prices
        self._key = key
        self._ttl_seconds = ttl_seconds
        self._about = about
        self._body = _dumps(server.protocol.body(request, stream=scope.stream))
        self.shown = False
        self.waited = 0.0
        self._tokens = estimated_tokens(request, self._body)
        self._failed: set[Endpoint] = set()
        self._asked = False
        self._out = False
        self._came: list[str] = []

    def attempt(self) -> Answer:
        """Ask once.

        Raises:
            APIError: no usable answer came.
            CircuitOpenError: the server failed too often and is left alone for now.
            ExecutionError: the answer does not match the schema, or the work should stop.
            ConfigurationError: the provider cannot be called as it is configured.
        """
        self.shown, self.waited, self._came = False, 0.0, []
        self._server.endpoints.check()  # before anything is waited for
        self._asked = False
        with self._server.hold():
            return self._try()

    def _try(self) -> Answer:
        server, scope, began = self._server, self._scope, time.perf_counter()
        # One that is to be taken for down is not started either.
        self._out = server.outage is not None
        started_at, api_key = (None, server.api_key()) if self._out else server.ready(scope.cancel, self._progress)
        with (
            spend(server.rates(self._request.model_name, scope.actor), self._tokens, scope) as spending,
            server.gate.enter(scope.cancel, scope.aside),
            server.endpoints.enter(self._failed) as endpoint,
        ):
            self._asked = spending.sent = True
            self.waited = time.perf_counter() - began
            base_url = started_at or endpoint.base_url
            url = join_url(base_url, server.protocol.path, server.config.query)
            target = replace(server.target(self._request.model_name, api_key), base_url=base_url)
            try:
                if self._out:
                    raise refused_connection(target)
                wire = server.wire_to(endpoint)
                answer = self._stream(wire, url, target) if scope.stream else self._whole(wire, url, target)
            except APIError:
                self._failed.add(endpoint)
                spending.tokens = 0
                if self._came:
                    scope.on_broken(self._request, "".join(self._came))
                raise
            except OutputMismatchError as error:
                spending.answered(error.usage)
                raise
            spending.answered(answer.usage)
            return answer

    def revived(self, error: APIError) -> bool:
        """Whether asking again at once helps: another endpoint may do better, or what failed has been mended."""
        if self._asked and is_the_servers_fault(error) and self._server.endpoints.others(self._failed):
            return True
        return not self._out and self._server.mended(error)

    def _whole(self, wire: Wire, url: str, target: Target) -> Answer:
        read: list[Answer | MCPError] = []

        def worth_keeping(response: requests.Response) -> bool:
            # Read once, here, where the cache needs to know; what it found is raised or returned below.
            body = mask_bytes(response.content, target.api_key)
            response._content = body
            try:
                answer = self._read(target, response.status_code, response.headers, body)
            except MCPError as error:
                read.append(error)
                return False
            read.append(answer)
            info.cost_usd = answer.cost_usd
            return True

        info = EntryInfo(
            key=self._key or "",
            ttl_seconds=self._ttl_seconds,
            labels=self._labels(),
            run_id=self._scope.run_id,
            about=self._about,
            validate=worth_keeping,
        )
        reply = wire.send(
            "POST",
            url,
            self._server.headers(target.api_key, stream=False),
            self._body,
            target=target,
            scope=self._scope,
            remember=info if self._key else None,
        )
        self._report(url, target, reply.status, reply.body)
        found = read[0] if read else self._read(target, reply.status, reply.headers, reply.body)
        if isinstance(found, MCPError):
            raise found
        return found

    def _stream(self, wire: Wire, url: str, target: Target) -> Answer:
        began = time.perf_counter()
        headers = self._server.headers(target.api_key, stream=True)
        with wire.stream(url, headers, self._body, target=target, scope=self._scope) as reply:
            media_type = reply.headers.get("Content-Type", "").lower()
            if reply.status != 200 or not media_type.startswith("text/event-stream"):
                # A server that knows no streams may send the whole answer at once.
                body = mask_bytes(reply.body(), target.api_key)
                self._report(url, target, reply.status, body)
                if reply.status != 200:
                    raise http_failure(target, reply.status, reply.headers, body)
                answer = self._read(target, reply.status, reply.headers, body)
                self._token(redactor.known(answer.text))
                self._remember(body, answer, time.perf_counter() - began)
                return answer
            answer = self._follow(url, target, reply, began)
        payload = self._server.protocol.assemble(self._request, answer.text, answer.finish_reason, answer.usage)
        self._remember(mask_bytes(_dumps(payload), target.api_key), answer, time.perf_counter() - began)
        return answer

    def _follow(self, url: str, target: Target, reply: StreamReply, began: float) -> Answer:
        texts = self._came
        reason, usage, first_token = None, None, None
        seen = bytearray()
        masked = redactor.stream()
        try:
            for chunk in self._server.protocol.parse_stream(decode_events(_tee(reply.chunks(), seen))):
                if chunk.text:
                    if first_token is None:
                        first_token = time.perf_counter() - began
                    self._take(masked.feed(clean_text(chunk.text)), texts)
                reason = chunk.finish_reason or reason
                usage = chunk.usage or usage
            self._take(masked.flush(), texts)
        except AnswerError as error:
            raise located(error, target) from None
        finally:
            # A secret that came in pieces stands in none of the events, and is there for whoever puts them together.
            self._report(url, target, reply.status, _WITHHELD if masked.found else bytes(seen))
        reply.finish()
        return self._checked(Answer("".join(texts), None, reason, usage, None, first_token), target)

    def _take(self, text: str, texts: list[str]) -> None:
        if text:
            texts.append(text)
            self._token(text)

    def _read(self, target: Target, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        return self._checked(read_answer(self._server.protocol, target, status, headers, body), target)

    def _checked(self, answer: Answer, target: Target) -> Answer:
        """The answer with its price, and its data where a schema was asked for."""
        cost = self._prices.cost(self._server.config, self._request.model_name, answer.usage)
        try:
            data = structured(answer.text, answer.finish_reason, self._request, target)
        except OutputMismatchError as error:
            error.usage, error.cost_usd = answer.usage, cost
            raise
        return replace(answer, data=data, cost_usd=cost)

    def _remember(self, body: bytes, answer: Answer, latency_seconds: float) -> None:
        if self._key is None:
            return
        now = time.time()
        self._cache.set(
            Entry(
                key=self._key,
                body=body,
                created_at=now,
                expires_at=now + self._ttl_seconds,
                latency_seconds=latency_seconds,
                cost_usd=answer.cost_usd,
                run_id=self._scope.run_id,
                labels=self._labels(),
                about=self._about,
            )
        )

    def _labels(self) -> dict[str, str]:
        return {
            "type": self._scope.run_type,
            "provider": self._request.provider,
            "model": self._request.model,
            "task": self._scope.task,
        }

    def _token(self, text: str) -> None:
        self.shown = True
        self._scope.emit("token", {"text": text})

    def _progress(self, done: int, total: int) -> None:
        self._scope.emit(
            "progress", {"done": done, "total": total, "unit": "bytes", "what": "Fetching the local model"}
        )

    def _report(self, url: str, target: Target, status: int, body: bytes) -> None:
        self._scope.emit(
            "exchange",
            {
                "url": url,
                "request": excerpt(self._body, target.api_key, limit=EXCHANGE_BYTES),
                "status": status,
                "response": excerpt(body, target.api_key, limit=EXCHANGE_BYTES),
            },
        )


def _dumps(payload: Mapping[str, Any]) -> bytes:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _tee(chunks: Iterator[bytes], seen: bytearray) -> Iterator[bytes]:
    """`chunks`, with as much of their beginning as an event shows kept in `seen`."""
    for chunk in chunks:
        if len(seen) <= EXCHANGE_BYTES:
            seen += chunk
        yield chunk
