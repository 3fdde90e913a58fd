"""What every wire protocol and every caller of a model server agree on."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol

from mcp_core.control import CancelToken
from mcp_core.models import Attempt, CacheOutcome, Usage

__all__ = ["CachePolicy", "CallScope", "ChatRequest", "Chunk", "Completion", "Message", "WireProtocol"]

CachePolicyMode = Literal["use", "refresh", "bypass", "only"]


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How a call treats the cache.

    Attributes:
        mode: `use` (answer from it, remember misses), `refresh` (ask, then remember), `bypass` (neither), `only`
            (answer from it, even from a stale entry, and never ask).
        ttl_seconds: how long a new entry stays fresh; None for the provider's or the panel's default.
    """

    mode: CachePolicyMode = "use"
    ttl_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat completion asked for, independent of any protocol. None means the server's own default.

    Attributes:
        model: `provider/model`.
        output_schema: JSON schema the answer has to match.
        fallbacks: models, as `provider/model`, asked one after the other where the one before fails for a reason of
            its server; no part of the cache key, since an answer is remembered under the model that gave it.
        ttl_seconds: how long the answer stays fresh, where the task does not say; no part of the cache key.
        sample: index of this sample among several of the same request; part of the cache key, never sent.
    """

    model: str
    messages: tuple[Message, ...]
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    output_schema: Mapping[str, Any] | None = None
    sample: int = 0
    ttl_seconds: float | None = None
    fallbacks: tuple[str, ...] = ()

    @property
    def provider(self) -> str:
        """Name of the provider: what stands before the first slash."""
        return self.model.partition("/")[0]

    @property
    def model_name(self) -> str:
        """Name of the model as the provider knows it: what stands after the first slash."""
        return self.model.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a streamed answer. `usage` and `finish_reason` come with the last ones."""

    text: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished answer.

    Attributes:
        data: the parsed JSON where an output schema was asked for; None otherwise.
        cost_usd: 0 for a hit; None where the price is unknown.
        latency_seconds: of this call, cache and waits included; first_token_seconds: until the first text arrived.
    """

    text: str
    data: Any
    usage: Usage
    cost_usd: Decimal | None
    cache: CacheOutcome
    finish_reason: str | None
    latency_seconds: float
    first_token_seconds: float | None = None
    attempts: tuple[Attempt, ...] = ()


def _ignore(kind: str, data: Mapping[str, Any]) -> None:
    """Report to nobody."""


def _forget(request: "ChatRequest", text: str) -> None:
    """Count nothing."""


def _allow(request: ChatRequest) -> None:
    """Let it go."""


@dataclass(slots=True)
class CallScope:
    """On whose behalf, under which limits and to whose ears a model is called. One per run.

    Attributes:
        run_id, run_type, task, tenant: labels for cache entries; `tenant` also isolates them.
        actor: id of who asks, whose own rates count; empty for nobody in particular.
        emit: receives `(kind, data)`: `token` {text}, `retry` {attempt, wait_seconds, error},
            `fallback` {from, to, error}, `wait` {seconds, reason, message}, `cache` {outcome, ...},
            `exchange` {url, request, status, response} (redacted and bounded).
        before_wire: called with the request before anything of a call is sent: the place to make the run's record
            durable, and to refuse what it may not spend.
        on_broken: told of a request whose answer broke off, and of the text that had come: its server may bill it.
        aside: makes a block within which the call only waits its turn, and needs no worker.
        stream: whether to ask for a stream even where nobody has to wait for it.
        max_retries: repeats after the first attempt.
        read_timeout: longest silence of the server, seconds.
    """

    run_id: str = ""
    run_type: str = ""
    task: str = ""
    tenant: str = "default"
    actor: str = ""
    cancel: CancelToken = field(default_factory=CancelToken)
    policy: CachePolicy = field(default_factory=CachePolicy)
    max_retries: int = 2
    stream: bool = False
    read_timeout: float = 120.0
    emit: Callable[[str, Mapping[str, Any]], None] = _ignore
    before_wire: Callable[[ChatRequest], None] = _allow
    on_broken: Callable[[ChatRequest, str], None] = _forget
    aside: Callable[[], AbstractContextManager[None]] = nullcontext
    clock: Callable[[], float] = time.monotonic


class WireProtocol(Protocol):
    """How one family of model servers is spoken to. Stateless; raises `APIError` for an answer it cannot read."""

    @property
    def name(self) -> str:
        """What a provider's `protocol` calls it."""
        ...

    @property
    def path(self) -> str:
        """What follows the base URL for a completion (POST)."""
        ...

    @property
    def models_path(self) -> str:
        """What follows the base URL for the list of models (GET)."""
        ...

    def headers(self, api_key: str | None) -> dict[str, str]:
        """Headers that authenticate and announce the protocol's version."""
        ...

    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Any]:
        """The JSON body to send."""
        ...

    def parse(self, payload: Mapping[str, Any]) -> tuple[str, str | None, Usage | None]:
        """Text, finish reason and usage (None where missing or senseless) of a whole answer."""
        ...

    def parse_stream(self, events: Iterable[str]) -> Iterator[Chunk]:
        """Chunks of a streamed answer, from the `data:` payloads of its server-sent events.

        Raises `APIError` (transient) if the events end before the answer does.
        """
        ...

    def assemble(
        self, request: ChatRequest, text: str, finish_reason: str | None, usage: Usage | None
    ) -> dict[str, Any]:
        """The whole answer a non-streaming server would have sent, for the cache."""
        ...

    def models(self, payload: Mapping[str, Any]) -> list[str]:
        """Model names in the answer of the server's model list."""
        ...
