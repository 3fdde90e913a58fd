"""The addresses a provider answers at: the least busy one that works is asked, and those that fail are probed."""

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from mcp_core.errors import CircuitOpenError
from mcp_core.providers.breaker import Breaker, CircuitState, Term

__all__ = ["Endpoint", "Endpoints"]


class Endpoint:
    """One address.

    Attributes:
        weight: its share of the calls, against that of the others.
        in_use: calls under way there.
    """

    def __init__(self, base_url: str, weight: float, breaker: Breaker) -> None:
        self.base_url = base_url
        self.weight = weight
        self.breaker = breaker
        self.in_use = 0
        self.turn = 0


class Endpoints:
    """All addresses of one provider; thread-safe. To whoever asks for one they are alike.

    Args:
        endpoints: at least one, the first being the one that stands for all.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._all = tuple(endpoints)
        self._lock = threading.Lock()
        self._turns = 0

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def state(self) -> CircuitState:
        """That of the best of them."""
        states = {endpoint.breaker.state for endpoint in self._all}
        return "closed" if "closed" in states else "half-open" if "half-open" in states else "open"

    @property
    def retry_in_seconds(self) -> float | None:
        """Seconds until one of them is asked again; None unless all are left alone."""
        waits = [endpoint.breaker.retry_in_seconds for endpoint in self._all]
        known = [wait for wait in waits if wait is not None]
        return min(known) if len(known) == len(waits) else None

    def refusal(self) -> CircuitOpenError:
        """What a call is told while all of them are left alone: when the first is asked again."""
        return min((e.breaker.refusal() for e in self._all), key=lambda refusal: refusal.retry_after or 0.0)

    def check(self) -> None:
        """Raise `CircuitOpenError` where `enter` would; takes nothing and lets nobody through."""
        if self.state == "closed":
            return
        for endpoint in self._all:
            try:
                endpoint.breaker.check()
            except CircuitOpenError:
                continue
            return
        raise self.refusal()

    def best(self, avoid: Collection[Endpoint] = ()) -> Endpoint:
        """The one that would be asked now."""
        with self._lock:
            return self._ranked(avoid)[0]

    def others(self, avoid: Collection[Endpoint]) -> bool:
        """Whether one works that is not to be avoided."""
        return any(endpoint not in avoid and endpoint.breaker.state == "closed" for endpoint in self._all)

    @contextmanager
    def enter(self, avoid: Collection[Endpoint] = ()) -> Iterator[Endpoint]:
        """Be let through to one of them for one call, whose end is counted there.

        Args:
            avoid: those to take only if there is no other.

        Raises:
            CircuitOpenError: all of them are left alone for now.
        """
        endpoint, term = self._take(avoid)
        try:
            with endpoint.breaker.settle(term):
                yield endpoint
        finally:
            with self._lock:
                endpoint.in_use -= 1

    def _take(self, avoid: Collection[Endpoint]) -> tuple[Endpoint, Term]:
        refused: set[Endpoint] = set()
        while (endpoint := self._next(avoid, refused)) is not None:
            # Without the lock: a shared circuit is asked over the network.
            try:
                return endpoint, endpoint.breaker.admit()
            except BaseException as error:
                with self._lock:
                    endpoint.in_use -= 1
                if not isinstance(error, CircuitOpenError):
                    raise
                refused.add(endpoint)
        raise self.refusal()

    def _next(self, avoid: Collection[Endpoint], refused: Collection[Endpoint]) -> Endpoint | None:
        """The best of those that have not refused yet, taken; None where all have."""
        with self._lock:
            endpoint = next((one for one in self._ranked(avoid) if one not in refused), None)
            if endpoint is not None:
                endpoint.in_use += 1
                self._turns += 1
                endpoint.turn = self._turns
        return endpoint

    def _ranked(self, avoid: Collection[Endpoint]) -> list[Endpoint]:
        # One that failed and may be probed comes first: nobody else will find out that it is back. Of those equally
        # busy the one that has waited longest is next.
        if len(self._all) == 1:
            return list(self._all)
        state_first = {"half-open": 0, "closed": 1, "open": 2}
        return sorted(
            self._all,
            key=lambda e: (e in avoid, state_first[e.breaker.state], (e.in_use + 1) / e.weight, e.turn),
        )
