"""Who may do what: a table, checked in one place, by the client."""

from collections.abc import Mapping
from typing import Literal

from loguru import logger

from mcp_core.errors import PermissionDeniedError
from mcp_core.models import Actor

__all__ = ["PERMISSIONS", "Action", "check", "may"]

Action = Literal["read", "run", "cancel", "delete", "clear_cache", "set_budgets", "simulate_outage"]

ROLES = ("viewer", "operator", "editor", "admin")
PERMISSIONS: Mapping[Action, str] = {
    "read": "viewer",
    "run": "operator",
    "cancel": "operator",
    "delete": "editor",
    "clear_cache": "editor",
    "set_budgets": "admin",
    "simulate_outage": "admin",
}
"""Action -> the least role that may do it. Each role may do what those before it may."""


_WORDS: Mapping[Action, str] = {
    "clear_cache": "clear the cache",
    "set_budgets": "set budgets",
    "simulate_outage": "simulate an outage",
}


def may(actor: Actor, action: Action) -> bool:
    """Whether `actor` may do `action`: for what need not be offered otherwise."""
    return ROLES.index(actor.role) >= ROLES.index(PERMISSIONS[action])


def check(actor: Actor, action: Action) -> None:
    """Raise `PermissionDeniedError` unless `actor` may do `action`."""
    if not may(actor, action):
        needed = PERMISSIONS[action]
        logger.warning("{} ({}) was refused: {} needs the role {}.", actor.id, actor.role, action, needed)
        raise PermissionDeniedError(
            f"{actor.name} is {actor.role} and may not {_WORDS.get(action, action)}.",
            hint=f"Ask an admin for the role {needed}.",
        )
