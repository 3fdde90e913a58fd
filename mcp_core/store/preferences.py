"""What people have chosen for themselves, such as the columns of a table: a JSON value under a key for each actor."""

from typing import Any

from sqlalchemy import bindparam, delete, select

from mcp_core.errors import ConfigurationError
from mcp_core.models import utcnow
from mcp_core.store.codec import dumps, loads, plain, to_micros
from mcp_core.store.engine import Database
from mcp_core.store.rollups import Rollups
from mcp_core.store.schema import preferences
from mcp_core.store.statements import Statement, Transaction, insert
from mcp_core.store.writer import Operation, Writer

__all__ = ["MOST_CHARACTERS", "Preferences"]

MOST_CHARACTERS = 20_000
"""Longest value, as JSON: it is a choice, not a place to keep things."""

_LONGEST_KEY = 100


class Preferences:
    """Choices by actor and key; the last one counts."""

    def __init__(self, database: Database, writer: Writer[Rollups]) -> None:
        self._database = database
        self._writer = writer
        put = insert(preferences, database.engine)
        self._put = Statement(
            put.on_conflict_do_update(
                index_elements=["actor_id", "key"],
                set_={"value": put.excluded.value, "changed_at": put.excluded.changed_at},
            ),
            database.engine,
        )
        one = (preferences.c.actor_id == bindparam("actor_id"), preferences.c.key == bindparam("key"))
        self._delete = Statement(delete(preferences).where(*one), database.engine)

    def put(self, actor_id: str, key: str, value: Any) -> None:
        """Keep `value`; None forgets what was kept."""
        if not key or len(key) > _LONGEST_KEY:
            raise ConfigurationError(
                f"key: found {len(key):,} characters, allowed are 1 to {_LONGEST_KEY}.", field="key"
            )
        row: dict[str, Any] = {"actor_id": plain(actor_id), "key": plain(key)}
        statement = self._delete
        if value is not None:
            written = dumps(value)
            if len(written) > MOST_CHARACTERS:
                raise ConfigurationError(
                    f"value: found {len(written):,} characters of JSON, allowed are {MOST_CHARACTERS:,}.", field="value"
                )
            row |= {"value": written, "changed_at": to_micros(utcnow())}
            statement = self._put

        def apply(transaction: Transaction, _: Rollups) -> None:
            transaction.execute(statement, row)

        self._writer.run(Operation(apply))

    def get(self, actor_id: str, key: str) -> Any:
        """What is kept; None where nothing is."""
        wanted = select(preferences.c.value).where(
            preferences.c.actor_id == plain(actor_id), preferences.c.key == plain(key)
        )
        with self._database.reading() as connection:
            return loads(connection.execute(wanted).scalar())
