"""The orders a list of runs can have, by name; no database is needed to speak of one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from mcp_core.errors import ConfigurationError

__all__ = ["NEWEST_FIRST", "SORTS", "RunSort"]

SORTS: Final[Mapping[str, bool]] = {
    "created": True,
    "finished": True,
    "duration": True,
    "waited": True,
    "cost": True,
    "saved": True,
    "time_saved": True,
    "tokens_in": True,
    "tokens_out": True,
    "attempts": True,
    "task": False,
    "status": False,
    "model": False,
    "cache": False,
    "type": False,
    "error": False,
    "actor": False,
}
"""What runs can be sorted by -> whether it falls where nobody says: figures and times do, words rise."""

_DIRECTIONS = {"asc": False, "desc": True}


@dataclass(frozen=True, slots=True)
class RunSort:
    """An order of runs: by the whole history, not by the page that is read. Runs without a value come last either way.

    Attributes:
        by: one of `SORTS`.
        descending: the largest, latest or last in the alphabet first.
    """

    by: str = "created"
    descending: bool = True

    @classmethod
    def parse(cls, text: str) -> Self:
        """The order that `text` names: `cost`, `cost:asc` or `task:desc`.

        Raises:
            ConfigurationError: it names none.
        """
        by, colon, direction = text.partition(":")
        if by not in SORTS or (colon and direction not in _DIRECTIONS):
            raise ConfigurationError(
                f"sort: found {text!r}, allowed are {', '.join(SORTS)}, each also with :asc or :desc.", field="sort"
            )
        return cls(by, _DIRECTIONS[direction] if colon else SORTS[by])

    def __str__(self) -> str:
        """As `parse` reads it, as short as can be."""
        if self.descending == SORTS[self.by]:
            return self.by
        return f"{self.by}:{'desc' if self.descending else 'asc'}"

    @property
    def reversed(self) -> "RunSort":
        """The other way round."""
        return RunSort(self.by, not self.descending)


NEWEST_FIRST: Final = RunSort()
