"""Results of work that is no model call, remembered as answers are: made once, and taken from the cache after that."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from loguru import logger

from mcp_core.cache.base import Cache, Entry
from mcp_core.cache.keys import JsonValue, explained_key, shortened_parts
from mcp_core.cache.singleflight import SingleFlight, take_turn
from mcp_core.control import CancelToken
from mcp_core.errors import CacheError, ConfigurationError, ExecutionError
from mcp_core.models import CacheOutcome
from mcp_core.settings import LONGEST_TTL

__all__ = ["ResultScope", "Results"]

_ELSEWHERE = "Another process is at the same work; its result serves here too."


def _as_it_is(text: str) -> str:
    return text


def _ignore(kind: str, data: Mapping[str, Any]) -> None:
    """Report to nobody."""


@dataclass(frozen=True, slots=True)
class ResultScope:
    """On whose behalf something is remembered, and how.

    Attributes:
        owner: what the key covers beside what the caller gives: type, version, tenant. Their names are put in
            parentheses, so that they meet none of the caller's.
        labels, run_id: as in `Entry`.
        mode: as in `CachePolicy`: `use`, `refresh`, `bypass` or `only`.
        ttl_seconds: how long a new result stays fresh; None for the panel's default.
        emit: receives `cache` and `wait` events.
        mask: takes secrets out of a text.
    """

    owner: Mapping[str, JsonValue]
    labels: Mapping[str, str] = field(default_factory=dict)
    run_id: str = ""
    mode: Literal["use", "refresh", "bypass", "only"] = "use"
    ttl_seconds: float | None = None
    cancel: CancelToken = field(default_factory=CancelToken)
    emit: Callable[[str, Mapping[str, Any]], None] = _ignore
    mask: Callable[[str], str] = _as_it_is


@dataclass(frozen=True, slots=True)
class _Made:
    """What a flight brings home: a result just made, or the entry that somebody else stored meanwhile."""

    text: str
    latency_seconds: float = 0.0
    run_id: str = ""
    entry: Entry | None = None


class Results:
    """Remembers results in a cache that does not raise. One a process: equal work at once is done once."""

    def __init__(self, cache: Cache, *, ttl_seconds: float) -> None:
        self._cache = cache
        self._ttl_seconds = ttl_seconds
        self._flights: SingleFlight[_Made] = SingleFlight()

    def remember(
        self, parts: Mapping[str, JsonValue], make: Callable[[], Any], scope: ResultScope
    ) -> tuple[Any, CacheOutcome]:
        """What `make` returns, or what it returned for the same `parts` before; and what the cache did.

        The result comes back as JSON has it, also when it was just made: tuples as lists, keys as texts.

        Args:
            parts: all that the result depends on, by name.
            make: does the work; returns what JSON can say.

        Raises:
            ConfigurationError: `parts` or the result are not JSON, or the time to live is none.
            ExecutionError: the cache alone was asked and has nothing, or the work should stop.
        """
        began = time.monotonic()
        scope.cancel.check()
        _check_ttl(scope.ttl_seconds)
        if scope.mode == "bypass":
            scope.emit("cache", {"outcome": "bypass"})
            return json.loads(_as_text(make())), CacheOutcome()
        whole = {**parts, **{f"({name})": value for name, value in scope.owner.items()}}
        key, digests = explained_key(whole)
        entry = self._cache.get(key) if scope.mode in ("use", "only") else None
        if entry is not None and (scope.mode == "only" or entry.is_fresh()):
            found = self._from_entry(entry, digests, scope, began)
            if found is not None:
                return found
        scope.emit("cache", {"outcome": "miss", "key": key})
        if scope.mode == "only":
            raise ExecutionError(
                "The cache has no result of this, and the task may not work it out anew.",
                hint="Set the task's `cache` to `use`, or run it once with that.",
            )
        made, led = self._flights.run(
            f"{scope.mode}:{key}", lambda: self._make(key, whole, make, scope), cancel=scope.cancel
        )
        if made.entry is not None:
            found = self._from_entry(made.entry, digests, scope, began)
            if found is not None:
                return found
        if led:
            return json.loads(made.text), CacheOutcome(outcome="miss", key=key, parts=digests)
        return json.loads(made.text), self._hit(made.run_id, made.latency_seconds, 0.0, key, digests, scope, began)

    def _make(self, key: str, parts: Mapping[str, JsonValue], make: Callable[[], Any], scope: ResultScope) -> _Made:
        if scope.mode != "use":
            return self._made(key, parts, make, scope)
        with self._cache.lock(key) as attempt:
            take_turn(attempt, scope.cancel, lambda: scope.emit("wait", {"message": _ELSEWHERE}))
            entry = self._cache.get(key)
            if entry is not None and entry.is_fresh() and _is_json(entry.body):
                return _Made("", entry=entry)
            return self._made(key, parts, make, scope)

    def _made(self, key: str, parts: Mapping[str, JsonValue], make: Callable[[], Any], scope: ResultScope) -> _Made:
        began = time.perf_counter()
        text = _as_text(make())
        took = time.perf_counter() - began
        now = time.time()
        ttl = self._ttl_seconds if scope.ttl_seconds is None else scope.ttl_seconds
        self._cache.set(
            Entry(
                key=key,
                body=scope.mask(text).encode("utf-8", "replace"),
                created_at=now,
                expires_at=now + ttl,
                latency_seconds=took,
                run_id=scope.run_id,
                labels=scope.labels,
                about=shortened_parts(parts, scope.mask),
            )
        )
        return _Made(text, took, scope.run_id)

    def _from_entry(
        self, entry: Entry, digests: dict[str, str], scope: ResultScope, began: float
    ) -> tuple[Any, CacheOutcome] | None:
        """The result an entry holds; None where it is damaged, which also removes it."""
        try:
            result = json.loads(entry.body)
        except (ValueError, RecursionError) as error:
            logger.warning("A damaged cache entry is dropped: {}", error)
            try:
                self._cache.delete(entry.key)
            except CacheError as failure:
                logger.warning("A cache entry could not be dropped: {}", failure)
            return None
        if entry.is_fresh():
            age = entry.age_seconds()
            return result, self._hit(entry.run_id, entry.latency_seconds, age, entry.key, digests, scope, began)
        outcome = self._hit(
            entry.run_id, entry.latency_seconds, entry.age_seconds(), entry.key, digests, scope, began, stale=True
        )
        return result, outcome

    def _hit(
        self,
        run_id: str,
        latency_seconds: float,
        age: float,
        key: str,
        digests: dict[str, str],
        scope: ResultScope,
        began: float,
        *,
        stale: bool = False,
    ) -> CacheOutcome:
        name: Literal["hit", "stale"] = "stale" if stale else "hit"
        scope.emit("cache", {"outcome": name, "age_seconds": age, "key": key})
        return CacheOutcome(
            outcome=name,
            age_seconds=age,
            saved_seconds=max(0.0, latency_seconds - (time.monotonic() - began)),
            key=key,
            original_run_id=run_id or None,
            parts=digests,
        )


def _as_text(result: Any) -> str:
    try:
        return json.dumps(result, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"This result cannot be remembered: {error}.",
            hint="Return what JSON can say: text, finite numbers, true, false, null, lists and objects.",
        ) from None


def _check_ttl(ttl: object) -> None:
    if ttl is None or (isinstance(ttl, int | float) and 0 < ttl <= LONGEST_TTL):
        return
    raise ConfigurationError(
        f"ttl: found {str(ttl)[:40]!r}, allowed is a number of seconds above 0, at most {LONGEST_TTL:,.0f}.",
        field="ttl",
    )


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True
