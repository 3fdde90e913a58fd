"""What the processes of a team agree on about a provider: its circuits and what is left of its rates.

None of it has to be shared: where nothing is, or while what shares it is away, each process counts for itself.
"""

from typing import NamedTuple, Protocol

from mcp_core.errors import CacheError

__all__ = ["CircuitView", "SharedBucket", "SharedCircuit", "SharedState"]


class CircuitView(NamedTuple):
    """A circuit as it stands after a question.

    Attributes:
        effective: whether the question did something: the call is let through, the report was heard.
        state: `closed`, `open` or `half-open` (a probe is under way).
        failures: in a row.
        pause_seconds: length of the last pause; retry_in_seconds: what is left of it.
        term: number of the present state; a report is heard in the term its call began in.
    """

    effective: bool
    state: str
    failures: int
    pause_seconds: float
    retry_in_seconds: float
    term: int


class SharedCircuit(Protocol):
    """One circuit of all processes. Every method returns None while it cannot be reached."""

    def look(self) -> CircuitView | None:
        """How it stands; changes nothing."""
        ...

    def admit(self) -> CircuitView | None:
        """Ask to be let through: where its pause is over as the one probe."""
        ...

    def report(self, term: int, *, failed: bool) -> CircuitView | None:
        """Tell how a call of that term ended."""
        ...

    def release(self, term: int) -> CircuitView | None:
        """Tell that a call of that term ended without saying anything about the server."""
        ...


class SharedBucket(Protocol):
    """What is left of a rate, for all processes. Returns None while it cannot be reached."""

    def take(self, amount: float) -> tuple[float, float] | None:
        """Take an amount, less than 0 to give it back: seconds until it is there, and what is left then."""
        ...


class SharedState(Protocol):
    """Where circuits and rates of all processes are kept."""

    def circuit(self, name: str, *, failures: int, pause_seconds: float, longest_pause_seconds: float) -> SharedCircuit:
        """The circuit of that name; the figures are those of a `Breaker`."""
        ...

    def bucket(self, name: str, *, per_second: float, most: float) -> SharedBucket:
        """The bucket of that name, which fills by `per_second` and holds `most`."""
        ...

    def trouble(self) -> CacheError | None:
        """Why it cannot be reached, as of now or a few seconds ago; None where it can."""
        ...

    def close(self) -> None:
        """Close its connections."""
        ...
