"""Who may do what: a table, checked in one place, by the client."""

from collections.abc import Mapping
from typing import Literal

from loguru import logger

from mcp_core.errors import PermissionDeniedError
from mcp_core.models import Actor

__all__ = ["PERMISSIONS", "Action", "check"]

Action = Literal["read", "run", "cancel", "delete", "clear_cache"]

ROLES = ("viewer", "operator", "editor", "admin")
PERMISSIONS: Mapping[Action, str] = {
    "read": "viewer",
    "run": "operator",
    "cancel": "operator",
    "delete": "editor",
    "clear_cache": "editor",
}
"""Action -> the least role that may do it. Each role may do what those before it may."""


def check(actor: Actor, action: Action) -> None:
    """Raise `PermissionDeniedError` unless `actor` may do `action`."""
    needed = PERMISSIONS[action]
    if ROLES.index(actor.role) < ROLES.index(needed):
        logger.warning("{} ({}) was refused: {} needs the role {}.", actor.id, actor.role, action, needed)
        raise PermissionDeniedError(
            f"{actor.name} is {actor.role} and may not {action.replace('_', ' the ')}.",
            hint=f"Ask an admin for the role {needed}.",
        )
