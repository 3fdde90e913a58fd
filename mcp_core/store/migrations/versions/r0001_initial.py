"""The first schema: leases, runs, events, artifacts, drafts and the hourly rollups."""

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0001"
down_revision = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_SUMS = (
    "runs",
    "hits",
    "misses",
    "stale",
    "bypass",
    "errors",
    "input_tokens",
    "output_tokens",
    "cost_nano_usd",
    "unknown_cost",
    "saved_nano_usd",
    "saved_us",
    "duration_us",
)


def upgrade() -> None:
    """Create every table and index."""
    _create_runs()
    _create_belongings()
    _create_rollups()


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("actor_id", sa.Text, nullable=False),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("provider", sa.Text),
        sa.Column("parent_id", _ID, sa.ForeignKey("runs.id", ondelete="SET NULL")),
        sa.Column("retry_of", _ID, sa.ForeignKey("runs.id", ondelete="SET NULL")),
        sa.Column("owner", _ID),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("duration_seconds", sa.Float),
        sa.Column("cache_outcome", sa.Text, nullable=False),
        sa.Column("cache_key", sa.Text),
        sa.Column("saved_usd", sa.Text),
        sa.Column("saved_seconds", sa.Float),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost_usd", sa.Text),
        sa.Column("error_type", sa.Text),
        sa.Column("attempt_count", sa.Integer, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("search", sa.Text, nullable=False),
        sa.Column("cache", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("attempts", sa.Text),
        sa.Column("variables", sa.Text),
        sa.Column("config", sa.Text),
        sa.Column("output", sa.Text),
    )
    for name, column in (
        ("type", "type"),
        ("status", "status"),
        ("model", "model"),
        ("actor", "actor_id"),
        ("name", "name"),
        ("outcome", "cache_outcome"),
    ):
        op.create_index(f"ix_runs_{name}", "runs", [column, "created_at", "id"])
    op.create_index("ix_runs_created", "runs", ["created_at", "id"])
    for name, columns, condition in (
        ("parent", ["parent_id", "created_at", "id"], "parent_id IS NOT NULL"),
        ("retry", ["retry_of"], "retry_of IS NOT NULL"),
        ("like", ["type", "name", "model", "created_at"], "cache_key IS NOT NULL"),
    ):
        where = sa.text(condition)
        op.create_index(f"ix_runs_{name}", "runs", columns, sqlite_where=where, postgresql_where=where)


def _create_belongings() -> None:
    op.create_table(
        "leases",
        sa.Column("owner", _ID, primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("heartbeat_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "run_events",
        sa.Column("run_id", _ID, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "artifacts",
        sa.Column("run_id", _ID, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "drafts",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("actor_id", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
        sa.Column("payload", sa.Text, nullable=False),
    )


def _create_rollups() -> None:
    op.create_table(
        "rollup_runs",
        sa.Column("hour", sa.Integer, primary_key=True, autoincrement=False),
        *(
            sa.Column(name, sa.Text, primary_key=True)
            for name in ("type", "provider", "model", "task", "actor", "status")
        ),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _SUMS),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rollup_latency",
        sa.Column("hour", sa.Integer, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("type", "provider", "model")),
        sa.Column("cached", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("bucket", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("runs", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rollup_errors",
        sa.Column("hour", sa.Integer, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("error_type", "type", "provider", "model")),
        sa.Column("errors", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
