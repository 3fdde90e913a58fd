"""A configured model server, ready to be called: its protocol, connections, key and limits."""

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mcp_core.cache.base import Cache
from mcp_core.cache.keys import fingerprint
from mcp_core.control import CancelToken
from mcp_core.errors import APIError, ConfigurationError
from mcp_core.models import Outage
from mcp_core.providers.anthropic import AnthropicProtocol
from mcp_core.providers.base import WireProtocol
from mcp_core.providers.breaker import LONGEST_PAUSE, Breaker
from mcp_core.providers.config import ProviderConfig
from mcp_core.providers.endpoints import Endpoint, Endpoints
from mcp_core.providers.failures import Target
from mcp_core.providers.limits import Gate
from mcp_core.providers.openai import OpenAIProtocol
from mcp_core.providers.outages import SimulatedOutages
from mcp_core.providers.rates import ActorRates, Rates
from mcp_core.providers.shared import SharedState
from mcp_core.security.redaction import redactor

if TYPE_CHECKING:
    from mcp_core.providers.wire import Wire

__all__ = ["ModelServer", "Progress", "Resources", "protocol_for"]

Progress = Callable[[int, int], None]
"""Told of bytes done and in all while a model is being fetched."""

_AZURE = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")


def protocol_for(config: ProviderConfig) -> WireProtocol:
    """The protocol of a provider, in the dialect of its host."""
    if config.protocol == "anthropic":
        return AnthropicProtocol()
    host = urlsplit(config.base_url).hostname or ""
    azure = host.endswith(_AZURE) or "api-version" in config.query
    own = azure or host == "api.openai.com"
    return OpenAIProtocol(
        key_header="api-key" if azure else "Authorization",
        max_tokens_field="max_completion_tokens" if own else "max_tokens",
    )


@dataclass(frozen=True, slots=True)
class Resources:
    """What all model servers of an installation share.

    Attributes:
        value_of: looks up a setting by name; asked for the key at each call.
        master_key: gives the key that fingerprints of credentials are made with.
        pool_size: connections kept open to each server.
        outages: which of them are to be taken for down.
        actors: what each of those who ask gets a minute.
        shared: where circuits and rates are kept for all processes; None where each counts alone.
    """

    cache: Cache
    value_of: Callable[[str], str | None]
    master_key: Callable[[], bytes]
    pool_size: int
    outages: SimulatedOutages = field(default_factory=SimulatedOutages)
    actors: ActorRates = field(default_factory=lambda: ActorRates(None, None))
    shared: SharedState | None = None


class ModelServer:
    """One provider. Thread-safe; connects to nothing before the first call."""

    def __init__(self, config: ProviderConfig, resources: Resources) -> None:
        self.config = config
        self.protocol = protocol_for(config)
        self.gate = Gate(config.max_concurrency)
        self._resources = resources
        self._rates = Rates(
            config.name,
            config.requests_per_minute,
            config.tokens_per_minute,
            shared=self._shared,
            name=f"provider {config.name} {config.base_url}",
        )
        self._limits = {limit.model: limit for limit in config.limits}
        self._model_rates: dict[str, Rates] = {}
        self.endpoints = Endpoints(_endpoints(config, self._shared))
        self._lock = threading.Lock()
        self._wires: dict[str, Wire] = {}
        self._fingerprints: dict[str, str] = {}

    @property
    def _shared(self) -> SharedState | None:
        """Where its circuits and rates are kept for all processes; None where each counts alone."""
        return self._resources.shared

    def rates(self, model: str, actor: str) -> list[Rates]:
        """All rates a call of that model by that actor counts against."""
        found = [self._rates, self._rates_of(model), self._resources.actors.of(actor)]
        return [rates for rates in found if rates]

    def known_rates(self) -> list[Rates]:
        """Its own rates, and those of the models asked so far or named in its configuration."""
        for model in self._limits:
            if model != "*":
                self._rates_of(model)
        return [rates for rates in (self._rates, *self._model_rates.values()) if rates]

    def _rates_of(self, model: str) -> Rates | None:
        limit = self._limits.get(model) or self._limits.get("*")
        if limit is None:
            return None
        rates = self._model_rates.get(model)
        if rates is None:
            name = f"{self.config.name}/{model}"
            made = Rates(
                name,
                limit.requests_per_minute,
                limit.tokens_per_minute,
                shared=self._shared,
                name=f"model {name} {self.config.base_url}",
            )
            rates = self._model_rates.setdefault(model, made)
        return rates

    def wire_to(self, endpoint: Endpoint) -> "Wire":
        """Its connections to one of its endpoints, made on first use."""
        wire = self._wires.get(endpoint.base_url)
        if wire is None:
            from mcp_core.providers.wire import Wire  # half a second that a start or a hit can do without

            with self._lock:
                wire = self._wires.get(endpoint.base_url)
                if wire is None:
                    wire = Wire(endpoint.base_url, self._resources.cache, pool_size=self._resources.pool_size)
                    self._wires[endpoint.base_url] = wire
        return wire

    @property
    def identity(self) -> str:
        """What its answers depend on beside the request: its address, or that of the first of its endpoints."""
        return self.config.base_url

    @property
    def state(self) -> str:
        """`ready`; `no key` where its key is missing; `open` or `half-open` while it is left alone after failures."""
        if not self.has_key:
            return "no key"
        circuit = self.endpoints.state
        return "ready" if circuit == "closed" else circuit

    @property
    def trouble(self) -> str:
        """Why a call would be turned away now, as a sentence; empty where the server would be asked."""
        if (outage := self.outage) is not None:
            return f"An outage of {self.config.name} is simulated until {outage.until:%H:%M:%S} UTC."
        if not self.has_key:
            return f"The key of {self.config.name} is not set."
        return self.endpoints.refusal().message if self.endpoints.state == "open" else ""

    @property
    def outage(self) -> Outage | None:
        """The simulated outage it has now; None where it has none."""
        return self._resources.outages.of(self.config.name)

    @property
    def has_key(self) -> bool:
        """Whether the key it needs is there; true where it needs none."""
        return not self.config.api_key_env or bool(self._resources.value_of(self.config.api_key_env))

    def api_key(self) -> str | None:
        """Its key; None where it needs none.

        Raises:
            ConfigurationError: the key is missing, or cannot be one.
        """
        name = self.config.api_key_env
        if not name:
            return None
        key = (self._resources.value_of(name) or "").strip()
        if not key:
            raise ConfigurationError(
                f"The key of {self.config.name} is missing.",
                hint=f"Set {name} in the environment, in .env or in the Streamlit secrets.",
                field=name,
            )
        if key not in self._fingerprints:
            if not key.isascii() or not key.isprintable() or " " in key:
                raise ConfigurationError(
                    f"The key of {self.config.name} has characters that no key has.",
                    hint=f"Copy the key into {name} again, without spaces and line breaks.",
                    field=name,
                )
            redactor.learn([key])
            self._fingerprints[key] = fingerprint(key, key=self._resources.master_key())
        return key

    def credential(self, key: str | None) -> str:
        """A name for `key` that tells nothing about it; empty for none."""
        return self._fingerprints[key] if key else ""

    def ready(self, cancel: CancelToken, progress: Progress) -> tuple[str | None, str | None]:  # noqa: ARG002
        """What calling it takes: the address it was started at, None for that of its endpoints, and the key.

        Raises:
            ConfigurationError: the key is missing.
        """
        return None, self.api_key()

    def hold(self) -> AbstractContextManager[None]:
        """Keep what `ready` gives as it is inside the block."""
        return nullcontext()

    def mended(self, error: APIError) -> bool:  # noqa: ARG002
        """Whether what made a call fail has been put right, so that it is worth a repeat at once."""
        return False

    def headers(self, key: str | None, *, stream: bool) -> Mapping[str, str]:
        """Headers of a request."""
        return {
            "Content-Type": "application/json",
            "Accept": "text/event-stream, application/json" if stream else "application/json",
            # Compressing a few kilobytes costs more time than it saves, and holds back the pieces of a stream.
            "Accept-Encoding": "identity",
            "User-Agent": "model-control-panel",
            **self.config.headers,
            **self.protocol.headers(key),
        }

    @property
    def shown_headers(self) -> dict[str, str]:
        """Headers of its own for a person to see, with the name of the key, as in a shell, for the key."""
        name = self.config.api_key_env
        return {**self.config.headers, **self.protocol.headers(f"${name}" if name else None)}

    def target(self, model: str, key: str | None) -> Target:
        """Whom a call is for, for sentences about its failure."""
        return Target(
            provider=self.config.name,
            model=model,
            base_url=self.config.base_url,
            api_key_env=self.config.api_key_env,
            api_key=key,
            known_models=self.config.models,
        )

    def check_model(self, model: str) -> None:
        """Refuse a model that the provider's configuration does not offer.

        Raises:
            ConfigurationError: it names its models and this is none of them, or no model is named.
        """
        offered = self.config.models
        if not model or (offered and model not in offered):
            raise ConfigurationError(
                f"{self.config.name} has no model {model!r}." if model else f"{self.config.name}/ names no model.",
                hint=f"Choose one of: {', '.join(f'{self.config.name}/{name}' for name in offered[:8])}."
                if offered
                else f"Write {self.config.name}/ and the name of one of its models.",
                field="model",
            )

    def close(self) -> None:
        """Close its connections."""
        with self._lock:
            wires, self._wires = self._wires, {}
        for wire in wires.values():
            wire.close()


def _endpoints(config: ProviderConfig, shared: SharedState | None) -> list[Endpoint]:
    several = len(config.endpoints) > 1

    def breaker(base_url: str) -> Breaker:
        name = f"{config.name} at {urlsplit(base_url).netloc}" if several else config.name
        circuit = None
        if shared is not None:
            circuit = shared.circuit(
                f"{config.name} {base_url}",
                failures=config.breaker_failures,
                pause_seconds=config.breaker_seconds,
                longest_pause_seconds=config.breaker_seconds * LONGEST_PAUSE,
            )
        return Breaker(name, failures=config.breaker_failures, pause_seconds=config.breaker_seconds, shared=circuit)

    if not config.endpoints:
        return [Endpoint(config.base_url, 1.0, breaker(config.base_url))]
    return [Endpoint(one.base_url, one.weight, breaker(one.base_url)) for one in config.endpoints]
