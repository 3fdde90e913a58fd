"""Asking a model server which models it has."""

import threading
from collections.abc import Mapping
from dataclasses import replace

from mcp_core.cache.http import EntryInfo
from mcp_core.cache.keys import cache_key
from mcp_core.errors import APIError, MCPError, RunTimeoutError
from mcp_core.providers.answers import read_json
from mcp_core.providers.base import CallScope
from mcp_core.providers.endpoints import Endpoint
from mcp_core.providers.failures import AnswerError, located
from mcp_core.providers.server import ModelServer
from mcp_core.providers.transport import refused_connection
from mcp_core.providers.wire import join_url

__all__ = ["list_models"]

_LIST_SECONDS = 10.0
_LIST_TTL_SECONDS = 300.0


def list_models(server: ModelServer, *, refresh: bool, endpoint: Endpoint | None = None) -> tuple[str, ...]:
    """The server's own list of models.

    Args:
        endpoint: which of its endpoints to ask; the best one where None.

    Raises:
        APIError, ConfigurationError: it could not be had.
    """
    scope = CallScope(read_timeout=_LIST_SECONDS)
    endpoint = endpoint or server.endpoints.best()
    if server.outage is not None and refresh:
        raise refused_connection(replace(server.target("", None), base_url=endpoint.base_url))
    started_at, key = server.ready(scope.cancel, _nobody)
    base_url = started_at or endpoint.base_url
    target = replace(server.target("", key), base_url=base_url)
    listed: list[tuple[str, ...] | MCPError] = []

    def read(status: int, headers: Mapping[str, str], body: bytes) -> bool:
        try:
            payload = read_json(target, status, headers, body)
            listed.append(tuple(server.protocol.models(payload)))
        except AnswerError as error:
            listed.append(located(error, target))
        except MCPError as error:
            listed.append(error)
        return isinstance(listed[-1], tuple)

    info = EntryInfo(
        key=cache_key(
            {
                "models of": target.provider,
                "server": started_at or server.config.base_url,
                "credential": server.credential(key),
            }
        ),
        ttl_seconds=_LIST_TTL_SECONDS,
        labels={"type": "models", "provider": target.provider, "model": "", "task": ""},
        validate=lambda response: read(response.status_code, response.headers, response.content),
        lookup=not refresh,
    )
    stop = threading.Timer(_LIST_SECONDS, scope.cancel.cancel, ("timed_out",))
    stop.daemon = True
    stop.start()
    try:
        reply = server.wire_to(endpoint).send(
            "GET",
            join_url(base_url, server.protocol.models_path, server.config.query),
            server.headers(key, stream=False),
            None,
            target=target,
            scope=scope,
            remember=info,
        )
    except RunTimeoutError:
        raise APIError(
            f"{target.name} at {target.host} did not list its models within {_LIST_SECONDS:g} s.",
            hint="Try again later, or name the provider's `models` in its configuration.",
            provider=target.provider,
            transient=True,
        ) from None
    finally:
        stop.cancel()
    if not listed:
        read(reply.status, reply.headers, reply.body)
    found = listed[-1]
    if isinstance(found, MCPError):
        raise found
    return found


def _nobody(done: int, total: int) -> None:
    """Report the progress of a fetch to nobody."""
