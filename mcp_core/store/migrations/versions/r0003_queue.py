"""The queue over all processes: priorities, what a process says of itself, requests to cancel, bytes kept."""

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0003"
down_revision = "0002"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add columns and a table, and count what is kept already."""
    op.add_column("runs", sa.Column("priority", sa.Text, nullable=False, server_default="normal"))
    op.add_column("runs", sa.Column("stored_bytes", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("rollup_runs", sa.Column("stored_bytes", sa.BigInteger, nullable=False, server_default="0"))
    for name in ("workers", "given_up", "queue_size"):
        op.add_column("leases", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "cancellations",
        sa.Column("run_id", _ID, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("actor_id", sa.Text, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
    )
    _count_bytes()


def _count_bytes() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    octets = "length(CAST(output AS BLOB))" if is_sqlite else "octet_length(output)"
    op.execute(_COUNT.replace("OCTETS", octets))
    op.execute(_SUM)


_COUNT = """
UPDATE runs SET stored_bytes =
    coalesce(OCTETS, 0) + coalesce((SELECT sum(size) FROM artifacts WHERE artifacts.run_id = runs.id), 0)
WHERE status NOT IN ('queued', 'running')
"""

_SUM = """
INSERT INTO rollup_runs (
    hour, type, provider, model, task, actor, status, runs, hits, misses, stale, bypass, errors, input_tokens,
    output_tokens, cost_nano_usd, unknown_cost, saved_nano_usd, saved_us, duration_us, stored_bytes)
SELECT
    coalesce(finished_at, created_at) / 3600000000, type, coalesce(provider, ''), coalesce(model, ''), name, actor_id,
    status, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, sum(stored_bytes)
FROM runs WHERE stored_bytes > 0 GROUP BY 1, 2, 3, 4, 5, 6, 7
ON CONFLICT (hour, type, provider, model, task, actor, status) DO UPDATE SET stored_bytes = excluded.stored_bytes
"""
