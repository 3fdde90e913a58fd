"""Asking the next model where the one asked for is down or missing."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from loguru import logger

from mcp_core.errors import APIError, ConfigurationError, ExecutionError, PermissionDeniedError
from mcp_core.models import Attempt, utcnow
from mcp_core.providers.base import CallScope, ChatRequest, Completion
from mcp_core.providers.calls import Calls
from mcp_core.providers.failures import is_the_servers_fault
from mcp_core.providers.server import ModelServer

__all__ = ["complete_in_turn"]

_MISSING_MODEL = (404, 405)

E = TypeVar("E", APIError, ExecutionError, PermissionDeniedError)


def complete_in_turn(
    calls: Calls, servers: Sequence[ModelServer], request: ChatRequest, scope: CallScope
) -> Completion:
    """The answer of the model asked for or, where that fails for a reason of its server, of the next that can answer.

    A refusal that any model would repeat, such as HTTP 400 or 401, ends the call at the model asked for; a fallback is
    passed over whatever its trouble. Where nobody answers, an expired answer is given if the cache has one.

    Args:
        servers: of the model asked for and of each of `request.fallbacks`, in this order.

    Raises:
        ConfigurationError: a model is unknown to its provider.
        APIError: the failure of the model asked for; its `attempts` are those at all models.
        ExecutionError: as `Calls.complete` says.
        PermissionDeniedError: a model costs more than may be spent; its `attempts` are those at the models before.
    """
    began = scope.clock()
    requests = [replace(request, model=model, fallbacks=()) for model in (request.model, *request.fallbacks)]
    for server, one in zip(servers, requests, strict=True):
        server.check_model(one.model_name)
    if scope.policy.mode == "only":
        return _remembered(calls, servers, requests, scope)
    attempts: list[Attempt] = []
    failed: list[tuple[APIError, ModelServer, ChatRequest]] = []
    for place, (server, one) in enumerate(zip(servers, requests, strict=True), 1):
        started_at = utcnow()
        try:
            found = calls.complete(server, one, scope, expired=False)
        except ExecutionError as error:
            raise _with_attempts(error, (*attempts, *error.attempts)) from None
        except PermissionDeniedError as error:
            # What may not be spent on this model is refused, not looked for at the next.
            raise _with_attempts(error, attempts) from None
        except ConfigurationError as error:
            if not failed:
                raise
            reason = error.message
            attempts.append(
                Attempt(
                    number=1,
                    provider=one.provider,
                    model=one.model_name,
                    started_at=started_at,
                    duration_seconds=0.0,
                    error=reason,
                )
            )
        except APIError as error:
            if not failed and not _moves_on(error):
                raise
            reason = error.message
            attempts.extend(error.attempts)
            failed.append((error, server, one))
        else:
            found = _named(found, one, request)
            if not attempts:
                return found
            return replace(
                found, attempts=_numbered((*attempts, *found.attempts)), latency_seconds=scope.clock() - began
            )
        if place < len(requests):
            then = requests[place].model
            logger.warning("{} cannot answer, so {} is asked: {}", one.model, then, reason)
            scope.emit("fallback", {"from": one.model, "to": then, "error": reason})
    if scope.policy.mode == "use":
        for _, server, one in failed:
            expired = calls.expired(server, one, scope, attempts=_numbered(attempts))
            if expired is not None:
                logger.warning("Nobody answers in place of {}, so an expired answer is given", request.model)
                return _named(expired, one, request)
    failure = failed[0][0]
    raise _with_attempts(failure, attempts, f"{failure.hint} Its fallbacks failed too; the attempts say why.") from None


def _moves_on(error: APIError) -> bool:
    return is_the_servers_fault(error) or error.status in _MISSING_MODEL


def _remembered(
    calls: Calls, servers: Sequence[ModelServer], requests: Sequence[ChatRequest], scope: CallScope
) -> Completion:
    """What the cache has for the first of the models it has anything for."""
    for server, one in zip(servers, requests, strict=True):
        if calls.would_hit(server, one, scope) is not None:
            return _named(calls.complete(server, one, scope), one, requests[0])
    return calls.complete(servers[0], requests[0], scope)


def _named(found: Completion, one: ChatRequest, asked: ChatRequest) -> Completion:
    """The completion with the model whose remembered answer it is, where that is not the one asked for."""
    if one.model == asked.model or found.cache.outcome not in ("hit", "stale"):
        return found
    return replace(found, cache=found.cache.model_copy(update={"model": one.model}))


def _with_attempts(error: E, attempts: Iterable[Attempt], hint: str | None = None) -> E:
    # A copy: equal calls of others that waited for the same answer hold the same error.
    own = copy.copy(error)
    own.attempts = _numbered(attempts)
    own.hint = error.hint if hint is None else hint.strip()
    return own


def _numbered(attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    return tuple(attempt.model_copy(update={"number": number}) for number, attempt in enumerate(attempts, 1))
