"""The way of one call: key, cache, single flight, limits, retries, wire, price, and back into the cache."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from loguru import logger

from mcp_core.cache.base import Cache, Entry
from mcp_core.cache.keys import cache_key, explained_key, shortened_parts
from mcp_core.cache.singleflight import SingleFlight, take_turn
from mcp_core.errors import APIError, CacheError, ExecutionError, OutputMismatchError
from mcp_core.models import Attempt, CacheOutcome, Usage
from mcp_core.providers.answers import Answer, remembered_answer
from mcp_core.providers.base import CallScope, ChatRequest, Completion
from mcp_core.providers.failures import is_the_servers_fault
from mcp_core.providers.prices import Prices
from mcp_core.providers.retry import with_retries
from mcp_core.providers.server import ModelServer
from mcp_core.security.redaction import redactor

__all__ = ["Calls", "KeyExplanation"]

_REPLAY_PIECES = 8
_ELSEWHERE = "Another process asks the same; its answer serves here too."


@dataclass(frozen=True, slots=True)
class KeyExplanation:
    """The cache key of a request, and a short hash of each part it was made of."""

    key: str
    parts: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Fetched:
    """What a flight brings home: an answer from the wire, or the entry that somebody else stored meanwhile."""

    answer: Answer
    attempts: tuple[Attempt, ...] = ()
    entry: Entry | None = None
    latency_seconds: float = 0.0
    run_id: str = ""


class Calls:
    """Answers requests from the cache or from a model server.

    Args:
        cache: remembers answers; must not raise.
        ttl_seconds: how long an answer stays fresh where neither the request nor the provider says.
    """

    def __init__(self, cache: Cache, prices: Prices, *, ttl_seconds: float) -> None:
        self._cache = cache
        self._prices = prices
        self._ttl_seconds = ttl_seconds
        self._flights: SingleFlight[_Fetched] = SingleFlight()

    def explain(self, server: ModelServer, request: ChatRequest, scope: CallScope) -> KeyExplanation:
        """The key the request has for this caller. Raises `ConfigurationError` where the provider's key is missing."""
        return KeyExplanation(*explained_key(_parts(server, request, scope)))

    def would_hit(self, server: ModelServer, request: ChatRequest, scope: CallScope) -> Entry | None:
        """The entry that would answer the request now; None where the server would be asked."""
        if scope.policy.mode not in ("use", "only"):
            return None
        entry = self._cache.peek(cache_key(_parts(server, request, scope)))
        return entry if entry is not None and (entry.is_fresh() or scope.policy.mode == "only") else None

    def complete(
        self, server: ModelServer, request: ChatRequest, scope: CallScope, *, expired: bool = True
    ) -> Completion:
        """The answer to `request`.

        Args:
            expired: whether an expired answer is better than the server's failure.

        Raises:
            ConfigurationError, APIError, ExecutionError: as `Providers.complete` says.
        """
        began = scope.clock()
        scope.cancel.check()
        server.check_model(request.model_name)
        mode = scope.policy.mode
        if mode == "bypass":
            scope.emit("cache", {"outcome": "bypass"})
            fetched = self._ask(server, request, scope, None)
            return self._finish(fetched, CacheOutcome(), scope, began)
        parts = _parts(server, request, scope)
        explained = KeyExplanation(*explained_key(parts))
        entry = self._cache.get(explained.key) if mode in ("use", "only") else None
        if entry is not None and (mode == "only" or entry.is_fresh()):
            hit = self._from_entry(server, request, scope, explained, entry, began)
            if hit is not None:
                return hit
            entry = None
        scope.emit("cache", {"outcome": "miss", "key": explained.key})
        if mode == "only":
            raise ExecutionError(
                "The cache has no answer to this request, and the task may not ask the model.",
                hint="Set the task's `cache` to `use`, or run it once with that.",
            )
        leads = False

        def lead() -> _Fetched:
            nonlocal leads
            leads = True
            return self._lead(server, request, scope, explained.key, parts)

        try:
            fetched, led = self._flights.run(f"{mode}:{explained.key}", lead, cancel=scope.cancel)
        except (OutputMismatchError, APIError) as error:
            if not leads:
                error.attempts = ()  # the one who asked has paid, and says so
            gone = not expired or isinstance(error, OutputMismatchError) or not is_the_servers_fault(error)
            if entry is None or gone:
                raise
            logger.warning("{} failed, so an expired answer is given: {}", request.model, error.message)
            stale = self._from_entry(server, request, scope, explained, entry, began, attempts=error.attempts)
            if stale is None:
                raise
            return stale
        if fetched.entry is not None:
            hit = self._from_entry(server, request, scope, explained, fetched.entry, began)
            if hit is not None:
                return hit
        if led:
            return self._finish(
                fetched, CacheOutcome(outcome="miss", key=explained.key, parts=explained.parts), scope, began
            )
        return self._shared(fetched, scope, explained, began)

    def expired(
        self, server: ModelServer, request: ChatRequest, scope: CallScope, *, attempts: tuple[Attempt, ...]
    ) -> Completion | None:
        """What the cache has for a request that nobody answers, fresh or not; None where it has nothing."""
        began = scope.clock()
        explained = self.explain(server, request, scope)
        entry = self._cache.get(explained.key)
        if entry is None:
            return None
        return self._from_entry(server, request, scope, explained, entry, began, attempts=attempts)

    def _lead(
        self, server: ModelServer, request: ChatRequest, scope: CallScope, key: str, parts: dict[str, Any]
    ) -> _Fetched:
        about = shortened_parts(parts, redactor.known)
        if scope.policy.mode != "use":
            return self._ask(server, request, scope, key, about)
        with self._cache.lock(key) as attempt:
            take_turn(attempt, scope.cancel, lambda: scope.emit("wait", {"message": _ELSEWHERE}))
            # An equal call may have come home between this one's look into the cache and its take-off.
            entry = self._cache.get(key)
            if entry is not None and entry.is_fresh():
                return _Fetched(Answer("", None, None, None), entry=entry)
            return self._ask(server, request, scope, key, about)

    def _ask(
        self, server: ModelServer, request: ChatRequest, scope: CallScope, key: str | None, about: str = ""
    ) -> _Fetched:
        from mcp_core.providers.exchange import Exchange  # with all of HTTP, which a hit can do without

        scope.before_wire(request)
        ttls = (scope.policy.ttl_seconds, request.ttl_seconds, server.config.cache_ttl, self._ttl_seconds)
        ttl = next(ttl for ttl in ttls if ttl is not None)
        exchange = Exchange(server, request, scope, self._cache, self._prices, key, ttl, about)
        began = time.perf_counter()
        answer, attempts = with_retries(
            exchange.attempt,
            scope,
            server.target(request.model_name, None),
            revive=exchange.revived,
            revivals=max(1, len(server.endpoints) - 1),
            shown=lambda: exchange.shown,
            waited=lambda: exchange.waited,
        )
        return _Fetched(answer, attempts, latency_seconds=time.perf_counter() - began, run_id=scope.run_id)

    def _from_entry(
        self,
        server: ModelServer,
        request: ChatRequest,
        scope: CallScope,
        explained: KeyExplanation,
        entry: Entry,
        began: float,
        *,
        attempts: tuple[Attempt, ...] = (),
    ) -> Completion | None:
        """The completion an entry holds; None where it is damaged, which also removes it."""
        try:
            answer = remembered_answer(server.protocol, request, entry.body)
        except (ValueError, RecursionError) as error:
            logger.warning("A damaged cache entry of {} is dropped: {}", request.model, error)
            self._forget(entry.key)
            return None
        now = time.time()
        age = entry.age_seconds(now)
        fresh = entry.is_fresh(now)
        elapsed = scope.clock() - began
        outcome = CacheOutcome(
            outcome="hit" if fresh else "stale",
            age_seconds=age,
            saved_usd=entry.cost_usd,
            saved_seconds=max(0.0, entry.latency_seconds - elapsed),
            key=entry.key,
            original_run_id=entry.run_id or None,
            parts=explained.parts,
        )
        scope.emit("cache", {"outcome": outcome.outcome, "age_seconds": age, "key": entry.key})
        return _completion(answer, outcome, scope, began, attempts=attempts, replay=True)

    def _shared(self, fetched: _Fetched, scope: CallScope, explained: KeyExplanation, began: float) -> Completion:
        """A follower's completion: it waited for another's call instead of making its own, and paid nothing."""
        outcome = CacheOutcome(
            outcome="hit",
            age_seconds=0.0,
            saved_usd=fetched.answer.cost_usd,
            saved_seconds=max(0.0, fetched.latency_seconds - (scope.clock() - began)),
            key=explained.key,
            original_run_id=fetched.run_id or None,
            parts=explained.parts,
        )
        scope.emit("cache", {"outcome": "hit", "age_seconds": 0.0, "key": explained.key})
        return _completion(fetched.answer, outcome, scope, began, replay=True)

    def _finish(self, fetched: _Fetched, outcome: CacheOutcome, scope: CallScope, began: float) -> Completion:
        completion = _completion(fetched.answer, outcome, scope, began, attempts=fetched.attempts)
        return replace(
            completion,
            cost_usd=fetched.answer.cost_usd,
            first_token_seconds=fetched.answer.first_token_seconds,
        )

    def _forget(self, key: str) -> None:
        try:
            self._cache.delete(key)
        except CacheError as error:
            logger.warning("A cache entry could not be dropped: {}", error)


def _parts(server: ModelServer, request: ChatRequest, scope: CallScope) -> dict[str, Any]:
    """What the answer depends on, and whose it is. The whole body counts; that it is streamed does not."""
    config = server.config
    parts: dict[str, Any] = server.protocol.body(request, stream=False)
    parts["provider"] = config.name
    parts["protocol"] = config.protocol
    parts["server"] = server.identity
    api_key = server.api_key()  # also where it plays no part: a missing one is told
    if not config.shared:
        parts["tenant"] = scope.tenant
        parts["credential"] = server.credential(api_key)
    parts["sample"] = request.sample
    if config.headers:
        parts["headers"] = config.headers
    if config.query:
        parts["query"] = config.query
    return parts


def _completion(
    answer: Answer,
    outcome: CacheOutcome,
    scope: CallScope,
    began: float,
    *,
    attempts: tuple[Attempt, ...] = (),
    replay: bool = False,
) -> Completion:
    first_token = None
    if replay and scope.stream:
        first_token = scope.clock() - began
        for piece in _pieces(redactor.known(answer.text)):
            scope.emit("token", {"text": piece})
    return Completion(
        text=answer.text,
        data=answer.data,
        usage=answer.usage or Usage(),
        cost_usd=Decimal(0),
        cache=outcome,
        finish_reason=answer.finish_reason,
        latency_seconds=scope.clock() - began,
        first_token_seconds=first_token,
        attempts=attempts,
    )


def _pieces(text: str) -> Iterator[str]:
    size = max(1, -(-len(text) // _REPLAY_PIECES))
    return (text[start : start + size] for start in range(0, len(text), size))
