"""All model servers of the panel: what there is, how it is, and asking it."""

import functools
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from loguru import logger

from mcp_core.cache.base import Cache, Entry
from mcp_core.cache.guard import SafeCache
from mcp_core.errors import CacheError, ConfigurationError, MCPError
from mcp_core.formats import count
from mcp_core.models import Usage
from mcp_core.providers.base import CallScope, ChatRequest, Completion
from mcp_core.providers.calls import Calls, KeyExplanation
from mcp_core.providers.config import LOCAL, PRESET_KEYS, load_providers
from mcp_core.providers.endpoints import Endpoint
from mcp_core.providers.estimates import Estimate, estimate
from mcp_core.providers.fallback import complete_in_turn
from mcp_core.providers.local import LocalModel
from mcp_core.providers.local_provider import LocalServer
from mcp_core.providers.outages import SimulatedOutages
from mcp_core.providers.prices import Prices
from mcp_core.providers.rates import ActorRates, Headroom
from mcp_core.providers.server import ModelServer, Resources
from mcp_core.providers.shared import SharedState
from mcp_core.security.master_key import load_master_key
from mcp_core.settings import Settings

__all__ = ["EndpointInfo", "ProviderHealth", "ProviderInfo", "ProviderModels", "Providers"]

_LOCAL_STATES = {
    "absent": "It is fetched when it is first asked.",
    "fetching": "It is being fetched.",
    "ready": "It starts when it is first asked.",
    "loading": "It is starting.",
    "running": "It answers.",
    "failed": "It could not be started.",
}


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """One of a provider's addresses.

    Attributes:
        weight: its share of the calls, against that of the others.
        in_use: calls of this process under way there.
        state: of its circuit: `closed` (it is asked), `open` (left alone) or `half-open` (may be asked once).
        retry_in_seconds: until it is asked again; None unless `open`.
    """

    base_url: str
    weight: float
    in_use: int
    state: str
    retry_in_seconds: float | None


@dataclass(frozen=True, slots=True)
class ProviderInfo:
    """A provider, as a person may see it.

    Attributes:
        models: the configured names; empty where the server is asked for its list.
        state: `ready`, `no key`; for the local one `absent`, `fetching`, `ready`, `loading`, `running` or `failed`;
            for all `open` while it is left alone after failures in a row, `half-open` once it may be asked again.
        retry_in_seconds: until it is asked again; None unless `open`.
        api_key_env: name of the setting that holds the key; empty where it takes none.
        headers: headers of a call beside those of any JSON request, the key as `$NAME`.
        endpoints: where it has several addresses.
        in_use: calls of this process under way; max_concurrency: as many as there may be.
        limits: what is left of its rates and of those of its models.
        outage_until: until when an outage of it is simulated; None where none is.
    """

    name: str
    protocol: str
    base_url: str
    has_key: bool
    models: tuple[str, ...]
    state: str
    retry_in_seconds: float | None = None
    api_key_env: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    endpoints: tuple[EndpointInfo, ...] = ()
    in_use: int = 0
    max_concurrency: int = 0
    limits: tuple[Headroom, ...] = ()
    outage_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ProviderModels:
    """Models of one provider, each as `provider/model`; none, and why, where the server could not be asked."""

    provider: str
    models: tuple[str, ...]
    error: str = ""


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    """How a provider's server is: whether it answered, how fast, and otherwise what happened and what to do."""

    provider: str
    ok: bool
    latency_seconds: float | None
    message: str
    hint: str = ""


class Providers:
    """The model servers of an installation. Thread-safe; connects to nothing before it is asked to.

    Args:
        cache: remembers answers; a failure of it never fails a call.
        outages: which of them are to be taken for down; default none.

    Raises:
        ConfigurationError: the providers file or the secrets describe a provider wrongly.
    """

    def __init__(self, settings: Settings, cache: Cache, *, outages: SimulatedOutages | None = None) -> None:
        self._cache = cache if isinstance(cache, SafeCache) else SafeCache(cache)
        self.local = LocalModel(settings)
        self.outages = outages or SimulatedOutages()
        self._shared = _shared_state(settings)
        self.actors = ActorRates(
            settings.actor_requests_per_minute or None, settings.actor_tokens_per_minute or None, shared=self._shared
        )
        resources = Resources(
            cache=self._cache,
            value_of=settings.value_of,
            master_key=functools.cache(lambda: load_master_key(settings)),
            pool_size=settings.workers,
            outages=self.outages,
            actors=self.actors,
            shared=self._shared,
        )
        self._servers: dict[str, ModelServer] = {
            name: LocalServer(self.local, config, resources) if name == LOCAL else ModelServer(config, resources)
            for name, config in load_providers(settings).items()
        }
        self._prices = Prices()
        self._calls = Calls(self._cache, self._prices, ttl_seconds=settings.cache_ttl)

    def complete(self, request: ChatRequest, scope: CallScope) -> Completion:
        """The answer to `request`: from the cache, from an equal call under way, or from the model server.

        Emits `cache`, `exchange`, `token`, `retry`, `fallback` and `progress` events to the scope.

        Raises:
            ConfigurationError: provider or model are unknown, or a key is missing.
            APIError: the server answered wrongly or not at all; its `attempts` say how often it was asked.
            ExecutionError: the answer does not match the schema, or the cache alone was asked and has none.
            RunCancelledError, RunTimeoutError, RunInterruptedError: the work should stop.
        """
        server = self._find(request.provider)
        if not request.fallbacks:
            return self._calls.complete(server, request, scope)
        others = [self._find(model.partition("/")[0]) for model in request.fallbacks]
        return complete_in_turn(self._calls, [server, *others], request, scope)

    def explain_key(self, request: ChatRequest, scope: CallScope) -> KeyExplanation:
        """The cache key of `request` and a hash of each of its parts, without asking anybody."""
        return self._calls.explain(self._find(request.provider), request, scope)

    def would_hit(self, request: ChatRequest, scope: CallScope) -> Entry | None:
        """The cache entry that would answer `request` now; None where the server would be asked."""
        return self._calls.would_hit(self._find(request.provider), request, scope)

    def trouble(self, name: str) -> str:
        """Why a call of that provider would be turned away now, as a sentence; empty where it would be asked.

        Raises:
            ConfigurationError: there is no such provider.
        """
        return self._find(name).trouble

    def concurrency(self, name: str) -> int:
        """How many calls a provider takes at the same time; 0 where there is none of that name."""
        server = self._servers.get(name)
        return 0 if server is None else server.gate.limit

    def estimate(self, request: ChatRequest) -> Estimate:
        """The tokens `request` may take, without asking anybody."""
        return estimate(request, self._find(request.provider).protocol.body(request, stream=False))

    def price(self, model: str, usage: Usage) -> Decimal | None:
        """What `usage` of `model` (`provider/model`) costs in dollars; None where the price is unknown."""
        provider, _, name = model.partition("/")
        return self._prices.cost(self._find(provider).config, name, usage)

    def list(self) -> Sequence[ProviderInfo]:
        """All providers, the built-in one first."""
        return [
            ProviderInfo(
                name=name,
                protocol=server.config.protocol,
                base_url=server.config.base_url,
                has_key=server.has_key,
                models=server.config.models,
                state=server.state,
                api_key_env=server.config.api_key_env,
                headers=server.shown_headers,
                retry_in_seconds=server.endpoints.retry_in_seconds,
                endpoints=tuple(
                    EndpointInfo(
                        base_url=endpoint.base_url,
                        weight=endpoint.weight,
                        in_use=endpoint.in_use,
                        state=endpoint.breaker.state,
                        retry_in_seconds=endpoint.breaker.retry_in_seconds,
                    )
                    for endpoint in (server.endpoints if server.config.endpoints else ())
                ),
                in_use=server.gate.in_use,
                max_concurrency=server.gate.limit,
                limits=tuple(room for rates in server.known_rates() for room in rates.headroom()),
                outage_until=outage.until if (outage := server.outage) is not None else None,
            )
            for name, server in self._servers.items()
        ]

    def cache_rules(self) -> Sequence[tuple[str, float | None, bool]]:
        """Name of each provider, how long its answers stay fresh (None: as set for all), and whether all share them."""
        return [(name, server.config.cache_ttl, server.config.shared) for name, server in self._servers.items()]

    def models(self, refresh: bool = False) -> Sequence[ProviderModels]:
        """The models of every provider: the configured ones, else the server's own list.

        Lists are remembered for five minutes; all servers are asked at once, for at most ten seconds.

        Args:
            refresh: ask the servers again.
        """
        found: dict[str, ProviderModels] = {}

        def ask(server: ModelServer) -> None:
            name = server.config.name
            try:
                models = server.config.models or _listed(server, refresh=refresh)
                found[name] = ProviderModels(name, tuple(f"{name}/{model}" for model in models))
            except MCPError as error:
                logger.info("The models of {} cannot be listed: {}", name, error)
                found[name] = ProviderModels(name, (), str(error))

        asking = []
        for server in self._servers.values():
            if server.config.models:
                ask(server)
            else:
                asking.append(threading.Thread(target=ask, args=(server,), daemon=True))
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        return [found[name] for name in self._servers]

    def check(self, name: str) -> ProviderHealth:
        """Ask a provider's server for its list of models and say how that went.

        The local model is not started for it: while it does not run, its state is the answer.

        Raises:
            ConfigurationError: there is no such provider.
        """
        server = self._find(name)
        if name == LOCAL and self.local.state != "running" and server.outage is None:
            return self._local_health()
        if len(server.endpoints) == 1:
            return _health(server, server.endpoints.best())
        with ThreadPoolExecutor(len(server.endpoints)) as pool:
            found = list(pool.map(functools.partial(_health, server), server.endpoints))
        well = [health for health in found if health.ok]
        worst = next((health for health in found if not health.ok or health.hint), found[0])
        message = f"Answering: {len(well)} of {count(len(found), 'endpoints')}."
        if worst.hint:
            message += f" {worst.message}"
        latency = min((health.latency_seconds or 0.0 for health in well), default=None)
        return ProviderHealth(name, bool(well), latency, message, worst.hint)

    def sharing_trouble(self) -> CacheError | None:
        """Why circuits and rates are not those of all processes, though they should be; None where all is well."""
        return None if self._shared is None else self._shared.trouble()

    def close(self) -> None:
        """Close all connections and stop the local model."""
        self.local.close()
        for server in self._servers.values():
            server.close()
        if self._shared is not None:
            self._shared.close()

    def _local_health(self) -> ProviderHealth:
        state, failure = self.local.state, self.local.failure
        if state == "failed" and failure is not None:
            return ProviderHealth(LOCAL, False, None, failure.message, failure.hint)
        return ProviderHealth(LOCAL, True, None, _LOCAL_STATES[state])

    def _find(self, name: str) -> ModelServer:
        server = self._servers.get(name)
        if server is None:
            if name == LOCAL:
                raise ConfigurationError(
                    "The local model is switched off.",
                    hint="Unset MCP_LOCAL_MODEL, or choose a model of another provider.",
                    field="MCP_LOCAL_MODEL",
                )
            if key := PRESET_KEYS.get(name):
                raise ConfigurationError(
                    f"The provider {name!r} has no key.",
                    hint=f"Set {key} and start again, or choose a model of another provider.",
                    field="model",
                )
            raise ConfigurationError(
                f"There is no provider {name!r}.",
                hint=f"Models are written provider/model; configured are: {', '.join(self._servers) or 'none'}.",
                field="model",
            )
        return server


def _shared_state(settings: Settings) -> SharedState | None:
    if not settings.redis_url:
        return None
    from mcp_core.providers.shared_redis import RedisShared

    return RedisShared(settings.redis_url)


def _health(server: ModelServer, endpoint: Endpoint) -> ProviderHealth:
    name = server.config.name
    began = time.perf_counter()
    try:
        _listed(server, refresh=True, endpoint=endpoint)
    except MCPError as error:
        return ProviderHealth(name, False, None, error.message, error.hint)
    latency = time.perf_counter() - began
    if endpoint.breaker.state == "closed":
        return ProviderHealth(name, True, latency, "It answers.")
    refusal = endpoint.breaker.refusal()
    return ProviderHealth(name, True, latency, f"It lists its models, but: {refusal.message}", refusal.hint)


def _listed(server: ModelServer, *, refresh: bool, endpoint: Endpoint | None = None) -> tuple[str, ...]:
    from mcp_core.providers.listing import list_models  # with all of HTTP, which a start can do without

    return list_models(server, refresh=refresh, endpoint=endpoint)
