"""Outages of providers that an admin simulates: on record, so that every process on the history sees them."""

from sqlalchemy import bindparam, delete, select

from mcp_core.models import Outage, utcnow
from mcp_core.store.codec import from_micros, plain, to_micros
from mcp_core.store.engine import Database
from mcp_core.store.rollups import Rollups
from mcp_core.store.schema import outages
from mcp_core.store.statements import Statement, Transaction, insert
from mcp_core.store.writer import Operation, Writer

__all__ = ["Outages"]


class Outages:
    """Simulated outages, at most one a provider; those that are over are removed whenever one is put."""

    def __init__(self, database: Database, writer: Writer[Rollups]) -> None:
        self._database = database
        self._writer = writer
        put = insert(outages, database.engine)
        self._put = Statement(
            put.on_conflict_do_update(
                index_elements=[outages.c.provider],
                set_={name: put.excluded[name] for name in ("actor_id", "since", "until")},
            ),
            database.engine,
        )
        self._expire = Statement(delete(outages).where(outages.c.until <= bindparam("now")), database.engine)
        self._end = Statement(
            delete(outages).where(outages.c.provider == bindparam("name"), outages.c.until > bindparam("now")),
            database.engine,
        )

    def put(self, outage: Outage) -> None:
        """Begin one, in place of another of the same provider."""
        row = {
            "provider": plain(outage.provider),
            "actor_id": plain(outage.actor_id),
            "since": to_micros(outage.since),
            "until": to_micros(outage.until),
        }

        def apply(transaction: Transaction, _: Rollups) -> None:
            transaction.execute(self._expire, {"now": to_micros(utcnow())})
            transaction.execute(self._put, row)

        self._writer.run(Operation(apply))

    def end(self, provider: str) -> bool:
        """End one early; returns whether there was one."""
        values = {"name": plain(provider), "now": to_micros(utcnow())}

        def apply(transaction: Transaction, _: Rollups) -> bool:
            return transaction.execute(self._end, values) > 0

        return self._writer.run(Operation(apply))

    def active(self) -> list[Outage]:
        """Those that go on now, by provider."""
        wanted = select(outages).where(outages.c.until > to_micros(utcnow())).order_by(outages.c.provider)
        with self._database.reading() as connection:
            return [
                Outage(
                    provider=row["provider"],
                    actor_id=row["actor_id"],
                    since=from_micros(row["since"]),
                    until=from_micros(row["until"]),
                )
                for row in connection.execute(wanted).mappings()
            ]
