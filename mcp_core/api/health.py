"""How the panel is, and trying what happens when a provider goes down."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from loguru import logger
from pydantic_core import to_jsonable_python

from mcp_core.api.machine import Machine, Processors, machine
from mcp_core.api.queue import QueueService
from mcp_core.api.snapshot import QueueSnapshot
from mcp_core.api.trouble import Trouble, troubles
from mcp_core.errors import ConfigurationError
from mcp_core.models import Actor, Outage, utcnow
from mcp_core.providers.rates import Headroom
from mcp_core.providers.registry import ProviderInfo, Providers
from mcp_core.security.permissions import check
from mcp_core.security.redaction import redactor
from mcp_core.settings import Settings
from mcp_core.store import Store

if TYPE_CHECKING:
    from mcp_core.store.engine import Pool

__all__ = ["LONGEST_OUTAGE_MINUTES", "Health", "HealthService"]

LONGEST_OUTAGE_MINUTES = 24 * 60.0
"""For how long an outage can be simulated at most, so that one that is forgotten ends."""


_TROUBLED_RUNS = 20
_MOST_TROUBLES = 30
_MOST_ACTORS = 10


@dataclass(frozen=True, slots=True)
class Health:
    """How everything is at one moment, as this process sees it.

    Attributes:
        queue: what waits and runs, over all processes.
        providers: the model servers, with circuits, endpoints, calls under way and what is left of their rates.
        outages: simulated ones that go on.
        actors: what is left of the rates of those who asked last.
        trouble: the latest retries, fallbacks, stale answers and errors, newest first.
        shared: whether circuits and rates are meant to be those of all processes.
        sharing_trouble: why they are not, though they should be; empty where all is well.
        history_pool: connections to the history's database.
    """

    at: datetime
    queue: QueueSnapshot
    providers: tuple[ProviderInfo, ...]
    outages: tuple[Outage, ...]
    actors: tuple[Headroom, ...]
    trouble: tuple[Trouble, ...]
    shared: bool
    sharing_trouble: str
    machine: Machine
    history_pool: "Pool"

    def as_json(self) -> dict[str, Any]:
        """The same as JSON-compatible data: names as here, times in ISO 8601."""
        data: dict[str, Any] = to_jsonable_python({**asdict(self), "outages": self.outages})
        for provider in data["providers"]:
            provider.pop("headers")
        return data


class HealthService:
    """What goes on and how everything is. Reached as `client.health`."""

    def __init__(
        self, store: Store, providers: Providers, queue: QueueService, settings: Settings, actor: Actor
    ) -> None:
        self._store = store
        self._providers = providers
        self._queue = queue
        self._settings = settings
        self._actor = actor
        self._processors = Processors()

    def now(self) -> Health:
        """How everything is. Asks no model server.

        Raises:
            StoreError: the history cannot be read.
        """
        away = self._providers.sharing_trouble()
        return Health(
            at=utcnow(),
            queue=self._queue.snapshot(),
            providers=tuple(self._providers.list()),
            outages=tuple(self.outages()),
            actors=tuple(room for rates in self._providers.actors.known()[:_MOST_ACTORS] for room in rates.headroom()),
            trouble=tuple(self.trouble()),
            shared=bool(self._settings.redis_url),
            sharing_trouble="" if away is None else redactor.shapes(str(away)),
            machine=machine(self._settings.data_dir, self._processors),
            history_pool=self._store.pool(),
        )

    def trouble(self) -> list[Trouble]:
        """The latest retries, fallbacks, stale answers and errors of the newest 500 runs, newest first."""
        return troubles(self._store.trouble.latest(_TROUBLED_RUNS), _MOST_TROUBLES)

    def simulate_outage(self, provider: str, *, minutes: float, actor: Actor | None = None) -> Outage:
        """Take a provider for down for a while, in every process on this history; another of it is replaced.

        Its calls fail as at a server that refuses connections: circuits open, fallbacks answer, expired answers are
        given. Others know of it within a second.

        Args:
            minutes: above 0, at most a day.

        Raises:
            PermissionDeniedError: the actor is no admin.
            ConfigurationError: there is no such provider, or the time is none.
            StoreError: it cannot be recorded.
        """
        who = actor or self._actor
        check(who, "simulate_outage")
        self._require(provider)
        if not 0 < minutes <= LONGEST_OUTAGE_MINUTES:
            raise ConfigurationError(
                f"minutes: found {minutes:g}, allowed is a number above 0, at most {LONGEST_OUTAGE_MINUTES:g}.",
                field="minutes",
            )
        now = utcnow()
        outage = Outage(provider=provider, actor_id=who.id, since=now, until=now + timedelta(minutes=minutes))
        self._store.outages.put(outage)
        self._providers.outages.forget()
        logger.warning(
            "{} simulates an outage of {} for {:g} min, until {:%H:%M:%S} UTC.",
            who.name,
            provider,
            minutes,
            outage.until,
        )
        return outage

    def end_outage(self, provider: str, *, actor: Actor | None = None) -> bool:
        """End a simulated outage early; returns whether there was one. Raises as `simulate_outage` does."""
        who = actor or self._actor
        check(who, "simulate_outage")
        self._require(provider)
        ended = self._store.outages.end(provider)
        self._providers.outages.forget()
        if ended:
            logger.warning("{} ended the simulated outage of {}.", who.name, provider)
        return ended

    def outages(self) -> list[Outage]:
        """The simulated outages that go on now, by provider."""
        return self._store.outages.active()

    def _require(self, provider: str) -> None:
        names = [info.name for info in self._providers.list()]
        if provider not in names:
            raise ConfigurationError(
                f"There is no provider {provider!r}.",
                hint=f"Configured are: {', '.join(names) or 'none'}.",
                field="provider",
            )
