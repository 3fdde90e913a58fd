"""What callers hand to the client, checked at the door: a wrong kind of thing is a `ConfigurationError`."""

import re
from collections.abc import Mapping
from typing import Any

from mcp_core.errors import ConfigurationError
from mcp_core.models import PRIORITIES, Actor, Priority

__all__ = ["checked_actor", "checked_limit", "checked_priority", "checked_run_id", "checked_variables"]

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def _refuse(what: str, value: object, allowed: str) -> ConfigurationError:
    return ConfigurationError(f"{what}: found {type(value).__name__}, allowed is {allowed}.", field=what)


def checked_actor(actor: object, default: Actor) -> Actor:
    """The actor, or the default where none is given."""
    if actor is None:
        return default
    if not isinstance(actor, Actor):
        raise _refuse("actor", actor, "an Actor")
    return actor


def checked_variables(variables: object) -> dict[str, Any]:
    """Values by name."""
    if variables is None:
        return {}
    if not isinstance(variables, Mapping) or not all(isinstance(name, str) for name in variables):
        raise _refuse("variables", variables, "a mapping of names to values")
    return dict(variables)


def checked_run_id(run_id: object) -> str:
    """An id as it may stand in a link, a log and a file's name."""
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
        raise ConfigurationError(
            f"run_id: found {str(run_id)[:80]!r}, allowed are 1 to 64 letters, digits, dots, hyphens and underscores.",
            field="run_id",
        )
    return run_id


def checked_priority(priority: object) -> Priority:
    """How soon a run is taken from the queue."""
    for known in PRIORITIES:
        if priority == known:
            return known
    raise ConfigurationError(
        f"priority: found {str(priority)[:80]!r}, allowed are {', '.join(PRIORITIES)}.", field="priority"
    )


def checked_limit(limit: object) -> int:
    """How many of something are asked for."""
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise ConfigurationError(f"limit: found {limit!r}, allowed is a whole number from 1.", field="limit")
    return limit
