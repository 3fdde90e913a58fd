"""Budgets, what was spent of them in each period, and what open runs hold."""

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0005"
down_revision = "0004"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the three tables."""
    op.create_table(
        "budgets",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("limit_nano_usd", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_budgets_subject", "budgets", ["scope", "name", "period"], unique=True)
    op.create_table(
        "budget_periods",
        sa.Column("budget_id", _ID, sa.ForeignKey("budgets.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("starts_at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("spent_nano_usd", sa.BigInteger, nullable=False),
        sa.Column("reserved_nano_usd", sa.BigInteger, nullable=False),
        sa.Column("unpriced_runs", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "budget_reservations",
        sa.Column("run_id", _ID, primary_key=True),
        sa.Column("budget_id", _ID, sa.ForeignKey("budgets.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("starts_at", sa.BigInteger, nullable=False),
        sa.Column("nano_usd", sa.BigInteger, nullable=False),
        sa.Column("owner", _ID, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_budget_reservations_budget", "budget_reservations", ["budget_id"])
