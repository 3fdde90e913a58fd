"""The store: one object per process through which everything about the history goes."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from loguru import logger
from sqlalchemy import Connection, func, select, text

from mcp_core.errors import StoreError
from mcp_core.models import Artifact, Run, RunEvent, RunStatus
from mcp_core.store.artifacts import Artifacts
from mcp_core.store.budget_shapes import Settlement
from mcp_core.store.budgets import Budgets
from mcp_core.store.cache_counts import CacheCounting
from mcp_core.store.dashboards import Dashboards
from mcp_core.store.drafts import DRAFT_SECONDS, Drafts
from mcp_core.store.engine import Pool, connect
from mcp_core.store.filters import CacheUse, Group, LatencyGroup, Period, RunFilter, Totals, Typical
from mcp_core.store.leases import LAPSED_SECONDS, Leases
from mcp_core.store.migrate import migrate, schema_version
from mcp_core.store.open_runs import OpenRuns
from mcp_core.store.order import NEWEST_FIRST, RunSort
from mcp_core.store.outages import Outages
from mcp_core.store.preferences import Preferences
from mcp_core.store.queries import Queries
from mcp_core.store.rollups import Rollups, RollupStatements
from mcp_core.store.runs import RunStatements, SaveRun, add_events, create_run, delete_runs, spread_journal
from mcp_core.store.schema import runs
from mcp_core.store.standing import OpenRun, Process, ProcessLoad
from mcp_core.store.statements import Transaction
from mcp_core.store.tables import runs_frame, runs_page
from mcp_core.store.trouble import TroubleQueries
from mcp_core.store.writer import Operation, Writer

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Store"]

_EVERYTHING = RunFilter()
_NO_LOAD = ProcessLoad()


class Store:
    """The history. Thread-safe; several processes may have one open on the same database.

    `budgets` holds the budgets and their money, `outages` the simulated outages of providers; `trouble` finds runs that
    met some.

    Every method raises `StoreError` where the database fails. What a writing method returns is committed.

    Attributes:
        cache_counts: what the cache stored, pushed out and held.
        before_heartbeat: called before each heartbeat: what it leaves for later goes along in the same transaction.
    """

    def __init__(self, url: str, *, data_dir: Path) -> None:
        self._database = connect(url, data_dir=data_dir)
        try:
            migrate(self._database)
            self._database.reserve_writer()
            engine = self._database.engine
            self._statements = RunStatements(engine)
            rollups = RollupStatements(engine)
            self._writer = Writer(
                self._database,
                lambda: Rollups(rollups),
                prepare=lambda transaction, sums: spread_journal(self._statements, transaction, sums),
            )
            self._database.before_reading = self._before_reading
            self.budgets = Budgets(self._database, self._writer)
            self._leases = Leases(self._database, self._writer, self._statements, self.budgets.money)
            self._open_runs = OpenRuns(self._database, self._writer, self._statements)
            self._drafts = Drafts(self._database, self._writer)
            self._preferences = Preferences(self._database, self._writer)
            self.trouble = TroubleQueries(self._database)
            self.outages = Outages(self._database, self._writer)
            self._artifacts = Artifacts(self._database, self._writer)
            self._queries = Queries(self._database)
            self._dashboards = Dashboards(self._database)
            self.cache_counts = CacheCounting(self._database, self._writer)
            self.before_heartbeat: Callable[[], None] | None = None
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Write what is pending and close every connection; writing afterwards is a `StoreError`."""
        try:
            self._writer.close()
        finally:
            self._database.close()

    def flush(self) -> None:
        """Write what was left for later by `wait=False`, and put what was written in haste in its place."""
        self._writer.flush()
        if self._statements.journal.is_due():
            self._writer.run_alone(Operation(_nothing_more))

    def _before_reading(self, reader: Connection) -> None:
        if self._statements.journal.has_lines(reader):
            try:
                self._writer.run_alone(Operation(_nothing_more))
            except StoreError as error:
                # A disk without room can still be read: what is newest is then missing, and kept.
                logger.warning("The newest runs cannot be shown: {}", error)

    # Writing runs

    def create_run(self, run: Run) -> bool:
        """Store a new run; False where a run of that id exists, which then stays as it is."""
        return self._writer.run(create_run(self._statements, run))

    def save_run(
        self,
        run: Run,
        *,
        events: Sequence[RunEvent] = (),
        artifact_bytes: int = 0,
        wait: bool = True,
        settlement: Settlement | None = None,
    ) -> bool | None:
        """Store the run as it is now, with events that belong to it.

        A run that is final never changes again, and one that has an owner is changed by that owner alone (`run.owner`;
        None is not the owner of an owned run). What a run is (type, name, model, actor, team, parent, the run it
        repeats, time of creation) is kept from its first storing. With a final status its tokens are dropped from the
        events and the rollups count it, once.

        Args:
            artifact_bytes: size of the run's files, which count with a final status as kept for its actor.
            wait: False leaves the writing to the next writer or `flush`, and only the newest record of a run is
                written.
            settlement: of the budgets the run counts for, in the same transaction, where this record ends it.

        Returns:
            Whether it was stored; None where that is left for later.
        """
        settle = None
        if settlement is not None:
            settle = partial(self.budgets.money.settle, run_id=run.id, created_at=run.created_at, what=settlement)
        operation = SaveRun(self._statements, run, events, artifact_bytes, settle)
        if wait:
            return self._writer.run(operation)
        self._writer.defer(operation)
        return None

    def add_events(self, run_id: str, events: Sequence[RunEvent], *, wait: bool = True) -> None:
        """Store events of a run. A `seq` that is taken keeps what it has; a final run takes no `token` events.

        Raises:
            StoreError: there is no such run.
        """
        operation = add_events(self._statements, run_id, events)
        if wait:
            self._writer.run(operation)
        else:
            self._writer.defer(operation)

    def delete_runs(self, ids: Sequence[str]) -> int:
        """Delete runs that are final, with their events and artifacts; returns how many. Rollups keep counting them."""
        return self._writer.run(delete_runs(self._statements, ids))

    def put_artifact(self, run_id: str, name: str, media_type: str, content: bytes) -> Artifact:
        """Store a file with a run, replacing one of the same name; at most 256 MiB."""
        return self._artifacts.put(run_id, name, media_type, content)

    def get_artifact(self, run_id: str, name: str) -> bytes:
        """The bytes of a run's file; `StoreError` where there is none."""
        return self._artifacts.get(run_id, name)

    # Leases

    def heartbeat(self, owner: str, load: ProcessLoad = _NO_LOAD) -> None:
        """Take or renew the lease of this process. Due at least every 5 seconds while it runs anything."""
        if self.before_heartbeat is not None:
            self.before_heartbeat()
        self._leases.heartbeat(owner, load)

    def release(self, owner: str) -> None:
        """Give the lease up, when all runs of this process are over."""
        self._leases.release(owner)

    def give_away(self, owner: str, run_ids: Sequence[str]) -> None:
        """Leave queued runs of a process to others, at once, while what it runs goes on."""
        self._leases.give_away(owner, run_ids)

    def interrupt_lapsed(self, older_than_seconds: float = LAPSED_SECONDS) -> list[Run]:
        """End the running runs whose owner has no heartbeat younger than that; returns those this call ended.

        They become `interrupted`, with an error and a `finished` event. Of several processes one ends each.
        """
        return self._leases.interrupt_lapsed(older_than_seconds)

    def adopt_queued(
        self, owner: str, limit: int = 100, *, older_than_seconds: float = LAPSED_SECONDS, run_id: str = ""
    ) -> list[Run]:
        """Take over queued runs of processes without such a heartbeat, oldest first; returns them as `owner`'s.

        Queued runs that nobody owns are left alone. Of several processes one adopts each. `run_id` names a single one.
        """
        return self._leases.adopt_queued(owner, limit, older_than_seconds, run_id)

    # Open runs of all processes

    def open_runs(self, status: RunStatus, limit: int = 1000) -> list[OpenRun]:
        """The oldest runs that are `queued` or `running`, without their payload."""
        return self._open_runs.find(status, limit)

    def open_counts(self) -> dict[str, int]:
        """How many runs are `queued` and how many `running`."""
        return self._open_runs.counts()

    def processes(self, *, older_than_seconds: float = LAPSED_SECONDS) -> list[Process]:
        """Processes that have been heard of within that time."""
        return self._open_runs.processes(older_than_seconds)

    def ask_to_cancel(self, run_id: str, actor_id: str) -> bool:
        """Ask whichever process has the run to cancel it; returns whether the run is open."""
        return self._open_runs.ask_to_cancel(run_id, actor_id)

    def asked_to_cancel(self, owner: str) -> list[str]:
        """Ids of that process's open runs which somebody asked to be cancelled."""
        return self._open_runs.asked_to_cancel(owner)

    def stored_bytes(self) -> dict[str, int]:
        """Bytes of outputs and files kept of finished runs, by actor. Read from the rollups, not from the runs."""
        return self._open_runs.stored_bytes()

    # Reading runs

    def get_run(self, run_id: str) -> Run | None:
        """The run of that id; None where there is none."""
        return self._queries.get_run(run_id)

    def find_run(self, prefix: str) -> Run | None:
        """The one run whose id begins so; None where there is none, `ConfigurationError` where there are several."""
        return self._queries.find_run(prefix)

    def events(self, run_id: str, after_seq: int = 0, limit: int = 10_000) -> list[RunEvent]:
        """Stored events of a run with a `seq` above `after_seq`, in order."""
        return self._queries.events(run_id, after_seq, limit)

    def list_runs(
        self,
        wanted: RunFilter = _EVERYTHING,
        limit: int = 50,
        cursor: str | None = None,
        sort: RunSort = NEWEST_FIRST,
    ) -> tuple[list[Run], str | None]:
        """A page of runs in that order and the cursor of the next; None where this is the last. At most 10,000.

        Newest first is read from an index. Any other order looks at all runs that are meant, and keeps a page of them.
        """
        return self._queries.list_runs(wanted, limit, cursor, sort)

    def iter_runs(self, wanted: RunFilter = _EVERYTHING) -> Iterator[Run]:
        """All runs that are meant, newest first, read in chunks: for exports."""
        return self._queries.iter_runs(wanted)

    def children(self, run_id: str, limit: int = 1000) -> list[Run]:
        """Runs that this one started, oldest first; the newest `limit` of them."""
        return self._queries.list_runs(RunFilter(parent_id=run_id), limit, None)[0][::-1]

    def count(self, wanted: RunFilter = _EVERYTHING) -> int:
        """How many runs are meant."""
        return self._queries.count(wanted)

    def last_like(self, run: Run) -> Run | None:
        """The latest earlier finished run of the same type, name and model that has a cache key."""
        return self._queries.last_like(run)

    def expected_seconds(self, kind: str, task: str = "", model: str | None = None) -> float | None:
        """Median duration of the last 20 like runs that succeeded without the cache; None where there are none.

        Args:
            kind: name of the MCP type.
            task: name of the task.
            model: `provider/model`; None for any.
        """
        return self._queries.expected_seconds(kind, task, model)

    def typical(self, kind: str, task: str = "", model: str | None = None) -> Typical:
        """What the last 50 like runs that succeeded without the cache took; arguments as for `expected_seconds`."""
        return self._queries.typical(kind, task, model)

    def runs_frame(self, wanted: RunFilter = _EVERYTHING, limit: int = 10_000) -> "pd.DataFrame":
        """Runs as a typed frame, newest first, without their payload; at most 100,000."""
        return runs_frame(self._database, self._queries, wanted, limit)

    def runs_page(
        self,
        wanted: RunFilter = _EVERYTHING,
        limit: int = 100,
        cursor: str | None = None,
        sort: RunSort = NEWEST_FIRST,
    ) -> "tuple[pd.DataFrame, str | None]":
        """A page of that frame in that order, and the cursor of the next; None where this is the last."""
        return runs_page(self._queries, wanted, limit, cursor, sort)

    # Dashboards, from the rollups alone: spans are widened to whole hours in UTC, empty periods have no row

    def rollup_frame(
        self, since: datetime, until: datetime, by: Period = "hour", group: Group | None = None
    ) -> "pd.DataFrame":
        """Finished runs: `time`, the group, `runs`, `hits`, `misses`, `stale`, `bypass`, `errors`, `input_tokens`,
        `output_tokens`, `cost_usd`, `unknown_cost`, `saved_usd`, `saved_seconds`, `duration_seconds` (sums)."""
        return self._dashboards.rollup_frame(since, until, by, group)

    def latency_frame(
        self,
        since: datetime,
        until: datetime,
        by: Period = "hour",
        quantiles: Sequence[float] = (0.5, 0.95, 0.99),
        *,
        group: LatencyGroup | None = None,
        cached: bool | None = None,
    ) -> "pd.DataFrame":
        """Latency of runs that succeeded, failed or timed out: `time`, the group, `runs`, `p50`, `p95`, `p99` in
        seconds, exact to 1 %.

        Args:
            cached: only runs answered from the cache (True) or only the others (False); default all.
        """
        return self._dashboards.latency_frame(since, until, by, quantiles, group, cached)

    def error_frame(self, since: datetime, until: datetime, by: Period = "hour") -> "pd.DataFrame":
        """Failed, timed out and interrupted runs: `time`, `error_type`, `errors`."""
        return self._dashboards.error_frame(since, until, by)

    def cache_frame(
        self, since: datetime, until: datetime, by: Period = "hour", group: Group | None = None
    ) -> "pd.DataFrame":
        """What the cache did: `time`, the group, `hits`, `misses`, `stale`, `bypass`, `saved_usd`, `saved_seconds`,
        `hit_ratio` (NaN where it was not asked)."""
        return self._dashboards.cache_frame(since, until, by, group)

    def cache_by(self, group: Group, since: datetime, until: datetime) -> dict[str, CacheUse]:
        """What the cache did over the whole span, for each name of the group."""
        return self._dashboards.cache_by(group, since, until)

    def totals(self, since: datetime, until: datetime) -> Totals:
        """Figures of the whole span."""
        return self._dashboards.totals(since, until)

    # Drafts

    def put_draft(self, actor_id: str, payload: dict[str, Any], ttl_seconds: float = DRAFT_SECONDS) -> str:
        """Keep a form's state for a while; returns an id that cannot be guessed.

        Raises:
            ConfigurationError: it is larger than 5 million characters of JSON.
        """
        return self._drafts.put(actor_id, payload, ttl_seconds)

    def get_draft(self, draft_id: str) -> dict[str, Any] | None:
        """The form's state; None where there is none or it has expired."""
        return self._drafts.get(draft_id)

    # Preferences

    def put_preference(self, actor_id: str, key: str, value: Any) -> None:
        """Keep what somebody chose, JSON-compatible, instead of what they chose before; None forgets it.

        Raises:
            ConfigurationError: the key has more than 100 characters, or the value more than 20,000 as JSON.
        """
        self._preferences.put(actor_id, key, value)

    def get_preference(self, actor_id: str, key: str) -> Any:
        """What they chose; None where nothing is kept."""
        return self._preferences.get(actor_id, key)

    def pool(self) -> Pool:
        """The connections this process has to the database."""
        return self._database.pool()

    def info(self) -> dict[str, Any]:
        """What `doctor` tells: `dialect`, `place` (path, or host, port and database), `size_bytes`, `runs`,
        `schema_version`."""
        database = self._database
        size = (
            "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
            if database.is_sqlite
            else "SELECT pg_database_size(current_database())"
        )
        with database.reading() as connection:
            return {
                "dialect": database.engine.dialect.name,
                "place": database.place,
                "size_bytes": int(connection.execute(text(size)).scalar_one()),
                "runs": int(connection.execute(select(func.count()).select_from(runs)).scalar_one()),
                "schema_version": schema_version(connection),
            }


def _nothing_more(_transaction: Transaction, _rollups: Rollups) -> None:
    """All that is wanted is what the writer does before an operation."""
