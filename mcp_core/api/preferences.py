"""What a person has chosen for themselves, kept from one browser session to the next."""

from typing import Any

from mcp_core.api.arguments import checked_actor
from mcp_core.models import Actor
from mcp_core.security.permissions import check
from mcp_core.security.redaction import redactor
from mcp_core.store import Store

__all__ = ["PreferenceService"]


class PreferenceService:
    """Choices such as the columns of a table, each person's own. Reached as `client.preferences`."""

    def __init__(self, store: Store, actor: Actor) -> None:
        self._store = store
        self._actor = actor

    def get(self, key: str, *, actor: Actor | None = None) -> Any:
        """What this person chose under `key`, JSON-compatible; None where nothing was."""
        actor = checked_actor(actor, self._actor)
        check(actor, "read")
        return self._store.get_preference(actor.id, str(key))

    def set(self, key: str, value: Any, *, actor: Actor | None = None) -> None:
        """Keep `value` (JSON-compatible, known secrets masked) for this person; None forgets it.

        Raises:
            ConfigurationError: `key` has more than 100 characters, or `value` more than 20,000 as JSON.
        """
        actor = checked_actor(actor, self._actor)
        check(actor, "read")
        self._store.put_preference(actor.id, str(key), redactor.data(value))
