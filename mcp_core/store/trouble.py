"""The latest runs that met trouble: retries, fallbacks, stale answers, errors. Bounded, and read along an index."""

from sqlalchemy import or_, select

from mcp_core.models import Run
from mcp_core.store.codec import read_run
from mcp_core.store.engine import Database
from mcp_core.store.schema import runs

__all__ = ["LOOKED_AT", "TroubleQueries"]

LOOKED_AT = 500
"""How many of the newest runs are looked at, however many there are."""


class TroubleQueries:
    """Finds them in the history."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def latest(self, limit: int = 20) -> list[Run]:
        """Of the newest 500 runs those that were asked twice, failed or got a stale answer; newest first."""
        newest = (
            select(runs.c.id, runs.c.attempt_count, runs.c.error_type, runs.c.cache_outcome)
            .order_by(runs.c.created_at.desc(), runs.c.id.desc())
            .limit(LOOKED_AT)
            .subquery()
        )
        troubled = select(newest.c.id).where(
            or_(newest.c.attempt_count > 1, newest.c.error_type.is_not(None), newest.c.cache_outcome == "stale")
        )
        wanted = (
            select(runs)
            .where(runs.c.id.in_(troubled))
            .order_by(runs.c.created_at.desc(), runs.c.id.desc())
            .limit(max(0, limit))
        )
        with self._database.reading() as connection:
            return [read_run(row) for row in connection.execute(wanted).mappings()]
