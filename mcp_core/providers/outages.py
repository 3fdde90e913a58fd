"""Simulated outages, as the calls of this process see them: cheap to ask, and never older than a second."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from loguru import logger

from mcp_core.errors import StoreError
from mcp_core.models import Outage, utcnow

__all__ = ["LOOK_SECONDS", "SimulatedOutages"]

LOOK_SECONDS = 1.0
"""How old what is known may be: one query a second at most, however many calls ask."""


def _none() -> Sequence[Outage]:
    return ()


class SimulatedOutages:
    """Which providers are to be taken for down. Thread-safe.

    Args:
        read: finds those that go on now; where it fails, what was known stays.
    """

    def __init__(
        self, read: Callable[[], Sequence[Outage]] = _none, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._known: Mapping[str, Outage] = {}
        self._due = float("-inf")

    def of(self, provider: str) -> Outage | None:
        """The outage of that provider that goes on now; None where there is none."""
        if self._clock() >= self._due:
            self._look()
        outage = self._known.get(provider)
        return outage if outage is not None and outage.until > utcnow() else None

    def forget(self) -> None:
        """Look again with the next question: something was changed here."""
        self._due = float("-inf")

    def _look(self) -> None:
        # One looks; the others go on with what is known, however long a database in trouble lets it wait.
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._due = self._clock() + LOOK_SECONDS
            self._known = {outage.provider: outage for outage in self._read()}
        except StoreError as error:
            logger.debug("Simulated outages cannot be looked up: {}", error)
        finally:
            self._lock.release()
