"""Form states too large or too private for a link, kept under an id that cannot be guessed."""

import secrets
from typing import Any

from sqlalchemy import bindparam, delete, select

from mcp_core.errors import ConfigurationError
from mcp_core.models import utcnow
from mcp_core.store.codec import dumps, loads, plain, to_micros
from mcp_core.store.engine import Database
from mcp_core.store.rollups import Rollups
from mcp_core.store.schema import drafts
from mcp_core.store.statements import Statement, Transaction, insert
from mcp_core.store.writer import Operation, Writer

__all__ = ["DRAFT_SECONDS", "Drafts"]

DRAFT_SECONDS = 30 * 86_400.0
"""How long a draft is kept by default."""

_MOST_BYTES = 5_000_000
_ID_BYTES = 18


class Drafts:
    """Drafts by id; expired ones are removed whenever one is put."""

    def __init__(self, database: Database, writer: Writer[Rollups]) -> None:
        self._database = database
        self._writer = writer
        self._put = Statement(insert(drafts, database.engine), database.engine)
        self._expire = Statement(delete(drafts).where(drafts.c.expires_at <= bindparam("now")), database.engine)

    def put(self, actor_id: str, payload: dict[str, Any], ttl_seconds: float) -> str:
        """Keep `payload` for `ttl_seconds`; returns its id."""
        now = to_micros(utcnow())
        text = dumps(payload)
        if len(text) > _MOST_BYTES:
            raise ConfigurationError(
                f"The form holds {len(text):,} characters; a draft may have {_MOST_BYTES:,}.",
                hint="Put large inputs into a file and name it.",
            )
        row = {
            "id": secrets.token_urlsafe(_ID_BYTES),
            "actor_id": plain(actor_id),
            "created_at": now,
            "expires_at": now + round(ttl_seconds * 1e6),
            "payload": text,
        }

        def apply(transaction: Transaction, _: Rollups) -> str:
            transaction.execute(self._expire, {"now": now})
            transaction.execute(self._put, row)
            return str(row["id"])

        return self._writer.run(Operation(apply))

    def get(self, draft_id: str) -> dict[str, Any] | None:
        """The payload; None where there is none or it has expired."""
        wanted = select(drafts.c.payload).where(
            drafts.c.id == plain(draft_id), drafts.c.expires_at > to_micros(utcnow())
        )
        with self._database.reading() as connection:
            payload: dict[str, Any] | None = loads(connection.execute(wanted).scalar())
        return payload
