"""Tables of the history.

Times are microseconds since 1970 in UTC. JSON is text on every database: it keeps the order of keys and characters such
as NUL, which JSONB does not. A run's cost is kept to its last digit as text; rollups add up whole nano-dollars.

Delete behaviour: a run takes its events and artifacts along; runs it started or that repeat it stay, without the link.
Rollups outlive the runs they counted, and so does what was spent of a budget; a budget takes its periods and
reservations along. In `runs` the short columns come first, so that a scan need not read the payload.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

__all__ = [
    "SCHEMA_VERSION",
    "artifacts",
    "budget_periods",
    "budget_reservations",
    "budgets",
    "cache_sizes",
    "cancellations",
    "drafts",
    "journal",
    "leases",
    "metadata",
    "outages",
    "preferences",
    "rollup_cache",
    "rollup_errors",
    "rollup_latency",
    "rollup_runs",
    "run_events",
    "runs",
]

SCHEMA_VERSION = "0007"
"""Newest migration this code knows."""

metadata = MetaData()

# Ids are ordered and searched by prefix, so PostgreSQL has to compare them by byte as SQLite does.
Id = Text().with_variant(Text(collation="C"), "postgresql")

leases = Table(
    "leases",
    metadata,
    Column("owner", Id, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("heartbeat_at", BigInteger, nullable=False),
    Column("workers", Integer, nullable=False, server_default="0"),
    Column("given_up", Integer, nullable=False, server_default="0"),
    Column("queue_size", Integer, nullable=False, server_default="0"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("model", Text),
    Column("provider", Text),
    Column("parent_id", Id, ForeignKey("runs.id", ondelete="SET NULL")),
    Column("retry_of", Id, ForeignKey("runs.id", ondelete="SET NULL")),
    Column("owner", Id),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("duration_seconds", Float),
    Column("cache_outcome", Text, nullable=False),
    Column("cache_key", Text),
    Column("saved_usd", Text),
    Column("saved_seconds", Float),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_usd", Text),
    Column("error_type", Text),
    Column("attempt_count", Integer, nullable=False),
    Column("tags", Text, nullable=False),
    Column("search", Text, nullable=False),
    Column("cache", Text),
    Column("error", Text),
    Column("attempts", Text),
    Column("variables", Text),
    Column("config", Text),
    Column("output", Text),
    Column("priority", Text, nullable=False, server_default="normal"),
    Column("stored_bytes", BigInteger, nullable=False, server_default="0"),
    Index("ix_runs_created", "created_at", "id"),
    Index("ix_runs_type", "type", "created_at", "id"),
    Index("ix_runs_status", "status", "created_at", "id"),
    Index("ix_runs_model", "model", "created_at", "id"),
    Index("ix_runs_actor", "actor_id", "created_at", "id"),
    Index("ix_runs_name", "name", "created_at", "id"),
    Index("ix_runs_outcome", "cache_outcome", "created_at", "id"),
)

Index(
    "ix_runs_parent",
    runs.c.parent_id,
    runs.c.created_at,
    runs.c.id,
    sqlite_where=text("parent_id IS NOT NULL"),
    postgresql_where=text("parent_id IS NOT NULL"),
)
Index(
    "ix_runs_retry",
    runs.c.retry_of,
    sqlite_where=text("retry_of IS NOT NULL"),
    postgresql_where=text("retry_of IS NOT NULL"),
)
Index(
    "ix_runs_like",
    runs.c.type,
    runs.c.name,
    runs.c.model,
    runs.c.created_at,
    sqlite_where=text("cache_key IS NOT NULL"),
    postgresql_where=text("cache_key IS NOT NULL"),
)

# Written on SQLite alone; see `mcp_core.store.journal`.
journal = Table(
    "journal",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("run_id", Id, nullable=False, index=True),
    Column("owner", Id),
    Column("final", Boolean, nullable=False),
    Column("record", Text, nullable=False),
    Column("events", Text),
)

run_events = Table(
    "run_events",
    metadata,
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    sqlite_with_rowid=False,
)

# Requests to cancel a run of another process; its owner looks here.
cancellations = Table(
    "cancellations",
    metadata,
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("actor_id", Text, nullable=False),
    Column("asked_at", BigInteger, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("media_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("content", LargeBinary, nullable=False),
)

drafts = Table(
    "drafts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("actor_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("payload", Text, nullable=False),
)

preferences = Table(
    "preferences",
    metadata,
    Column("actor_id", Id, primary_key=True),
    Column("key", Id, primary_key=True),
    Column("value", Text, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

outages = Table(
    "outages",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("actor_id", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
)

# Hours are counted since 1970 in UTC. Empty text stands for "none", since a primary key holds no NULL.
rollup_runs = Table(
    "rollup_runs",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("type", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("task", Text, primary_key=True),
    Column("actor", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    *(
        Column(name, BigInteger, nullable=False)
        for name in (
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
    ),
    Column("stored_bytes", BigInteger, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)

rollup_latency = Table(
    "rollup_latency",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("type", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("cached", SmallInteger, primary_key=True, autoincrement=False),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("runs", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

rollup_errors = Table(
    "rollup_errors",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("error_type", Text, primary_key=True),
    Column("type", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("errors", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# A run that holds money need not be on record yet, so reservations name it without a foreign key.
budgets = Table(
    "budgets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("scope", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("limit_nano_usd", BigInteger, nullable=False),
    Index("ix_budgets_subject", "scope", "name", "period", unique=True),
)

budget_periods = Table(
    "budget_periods",
    metadata,
    Column("budget_id", Id, ForeignKey("budgets.id", ondelete="CASCADE"), primary_key=True),
    Column("starts_at", BigInteger, primary_key=True, autoincrement=False),
    Column("spent_nano_usd", BigInteger, nullable=False),
    Column("reserved_nano_usd", BigInteger, nullable=False),
    Column("unpriced_runs", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

budget_reservations = Table(
    "budget_reservations",
    metadata,
    Column("run_id", Id, primary_key=True),
    Column("budget_id", Id, ForeignKey("budgets.id", ondelete="CASCADE"), primary_key=True),
    Column("starts_at", BigInteger, nullable=False),
    Column("nano_usd", BigInteger, nullable=False),
    Column("owner", Id, nullable=False),
    Index("ix_budget_reservations_budget", "budget_id"),
    sqlite_with_rowid=False,
)

# What the cache stored and pushed out. What it answered is in `rollup_runs`.
rollup_cache = Table(
    "rollup_cache",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("type", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("task", Text, primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in ("stored", "stored_bytes", "evictions", "evicted_bytes")),
    sqlite_with_rowid=False,
)

# How much the cache held when that was last seen within the hour.
cache_sizes = Table(
    "cache_sizes",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("entries", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
