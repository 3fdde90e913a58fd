"""What the cache stored, pushed out and held, by the hour."""

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "rollup_cache",
        sa.Column("hour", sa.Integer, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("type", "provider", "model", "task")),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("stored", "stored_bytes", "evictions", "evicted_bytes")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "cache_sizes",
        sa.Column("hour", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("entries", sa.BigInteger, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
