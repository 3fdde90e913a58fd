"""Runs as callers see them: read, followed, cancelled, repeated, deleted, exported."""

import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from loguru import logger

from mcp_core.api.arguments import checked_limit
from mcp_core.api.endings import refuse_masked
from mcp_core.api.execution import Engine
from mcp_core.api.handle import RunHandle, still_going_on
from mcp_core.api.queue import QueueService
from mcp_core.cache.keys import changed_parts
from mcp_core.errors import ConfigurationError
from mcp_core.models import Actor, Run, RunEvent, RunStatus
from mcp_core.security.permissions import check
from mcp_core.store import RunFilter, RunSort, Store

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RunService"]

POLL_SECONDS = 0.25
"""How often the store is asked for the events of a run that another process has."""
ADOPT_SECONDS = 2.0
"""How often it is asked whether that process is gone."""

Start = Callable[..., RunHandle]


class RunService:
    """The history, and what can be done with a run in it. Reached as `client.runs`."""

    def __init__(self, store: Store, engine: Engine, queue: QueueService, start: Start, actor: Actor) -> None:
        self._store = store
        self._engine = engine
        self._queue = queue
        self._start = start
        self._actor = actor

    def get(self, run_id: str) -> Run:
        """The run with this id, or the only one whose id begins so.

        Raises:
            ConfigurationError: there is none.
        """
        run_id = str(run_id)
        live = self._engine.get(run_id)
        run = live.run if live else self._store.get_run(run_id) or self._store.find_run(run_id)
        if run is None:
            raise ConfigurationError(
                f"There is no run {run_id[:80]!r}.",
                hint="It may have been deleted. The history has those there are.",
            )
        return run

    def list(
        self,
        where: RunFilter | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
        sort: RunSort | str = "created",
    ) -> tuple[list[Run], str | None]:
        """Runs, newest first, at most `limit`, and the cursor of the next page (None at the end).

        Args:
            sort: another order of all runs that match, such as `cost` or `duration:asc`; those without a value come
                last. A cursor belongs to one order.

        Raises:
            ConfigurationError: there is no such order, or `cursor` is no place in it.
        """
        return self._store.list_runs(where or RunFilter(), limit=checked_limit(limit), cursor=cursor, sort=_order(sort))

    def iterate(self, where: RunFilter | None = None) -> Iterator[Run]:
        """All runs that match, newest first, read in pieces: for exports."""
        return self._store.iter_runs(where or RunFilter())

    def frame(self, where: RunFilter | None = None, *, limit: int = 1000) -> "pd.DataFrame":
        """Runs as a typed table, newest first, without outputs."""
        return self._store.runs_frame(where or RunFilter(), limit=limit)

    def page(
        self,
        where: RunFilter | None = None,
        *,
        limit: int = 100,
        cursor: str | None = None,
        sort: RunSort | str = "created",
    ) -> "tuple[pd.DataFrame, str | None]":
        """A page of the typed table, newest first or as `sort` says, and the cursor of the next page (None at the end).

        Raises:
            As `list`.
        """
        return self._store.runs_page(where or RunFilter(), limit=limit, cursor=cursor, sort=_order(sort))

    def count(self, where: RunFilter | None = None) -> int:
        """How many runs match."""
        return self._store.count(where or RunFilter())

    def live(self) -> "list_[Run]":
        """Runs queued or running in this process, oldest first."""
        return [live.run for live in self._engine.live()]

    def position(self, run_id: str) -> int | None:
        """Place of a run in the queue of its process, 1 for the next one; None where it does not wait."""
        return self._queue.position(run_id)

    def children(self, run_id: str) -> "list_[Run]":
        """Runs that this one started."""
        return self._store.children(run_id)

    def events(self, run_id: str, after_seq: int = 0) -> "list_[RunEvent]":
        """Events later than `after_seq` that are known now."""
        live = self._engine.get(run_id)
        return live.events.after(after_seq) if live else self._store.events(run_id, after_seq=after_seq)

    def follow(self, run_id: str, after_seq: int = 0, *, timeout: float | None = None) -> Iterator[RunEvent]:
        """Events later than `after_seq`, as they come, until the run has finished, whichever process runs it.

        A run that a dead process left queued is taken over and goes on here.

        Args:
            timeout: longest wait in seconds for a run of another process; None for as long as it takes.

        Raises:
            RunTimeoutError: the wait is over and the run is not.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        look = 0.0
        while True:
            live = self._engine.get(run_id)
            if live is not None:
                yield from live.events.follow(after_seq)
                return
            run = self.get(run_id)
            run_id = run.id
            for event in self._store.events(run_id, after_seq=after_seq):
                after_seq = event.seq
                yield event
            if run.status.is_final:
                return
            now = time.monotonic()
            if deadline is not None and now > deadline:
                raise still_going_on(run_id, timeout)
            if now >= look:
                look = now + ADOPT_SECONDS
                self._engine.adopt(run_id)
            time.sleep(POLL_SECONDS)

    def artifact(self, run_id: str, name: str) -> bytes:
        """The bytes of a file that the run produced."""
        return self._store.get_artifact(run_id, name)

    def cancel(self, run_id: str, *, actor: Actor | None = None) -> bool:
        """Stop a run, whichever process has it; returns whether it was still open.

        A run of this process has been told when this returns; one of another is told within a second. Either ends
        within five.

        Raises:
            ConfigurationError: there is no such run.
        """
        who = actor or self._actor
        check(who, "cancel")
        if self._engine.cancel(run_id):
            return True
        run = self.get(run_id)
        if run.status.is_final:
            return False
        logger.info("{} asked for run {} to be cancelled.", who.id, run.id)
        # Asked before one that a dead process left queued is taken over to be cancelled here: so it never begins.
        asked = self._store.ask_to_cancel(run.id, who.id)
        self._engine.adopt(run.id)
        return self._engine.cancel(run.id) or asked

    def repeat(self, run_id: str, *, actor: Actor | None = None, cache: str | None = None) -> RunHandle:
        """Run the same config with the same variables again, as a run linked to the first.

        Args:
            cache: another cache mode for this time, such as `refresh`.
        """
        run = self.get(run_id)
        refuse_masked(run)
        config: dict[str, Any] = dict(run.config)
        if cache is not None:
            config["cache"] = {**config.get("cache", {}), "mode": cache}
        return self._start(
            config, run.variables, actor=actor or self._actor, retry_of=run.id, priority=run.priority, stream=True
        )

    def resume(self, run_id: str, *, actor: Actor | None = None) -> RunHandle:
        """Begin an interrupted run anew, as a run linked to it.

        However often, and in whichever process, that is asked: there is one. Where that one was interrupted too, it
        is resumed in its turn. What models have answered before comes from the cache.

        Raises:
            ConfigurationError: the run was not interrupted, or was given a secret.
        """
        run = self.get(run_id)
        while run.status is RunStatus.INTERRUPTED:
            refuse_masked(run)
            successor = sha256(f"resume {run.id}".encode()).hexdigest()[:26]
            known = self._store.get_run(successor)
            if known is None or known.status is not RunStatus.INTERRUPTED:
                return self._start(
                    dict(run.config),
                    run.variables,
                    actor=actor or self._actor,
                    run_id=successor,
                    retry_of=run.id,
                    priority=run.priority,
                    stream=True,
                )
            run = known
        raise ConfigurationError(
            f"Run {run.id} is {run.status.value}; only an interrupted one can be resumed.",
            hint="Run it again instead.",
        )

    def delete(self, run_ids: Sequence[str], *, actor: Actor | None = None) -> int:
        """Delete finished runs with their events and artifacts; returns how many that were."""
        check(actor or self._actor, "delete")
        return self._store.delete_runs(run_ids)

    def changed_since_last(self, run_id: str) -> "list_[str] | None":
        """Which parts of the cache key differ from the last run of the same task; None where there is none to compare.

        An empty list after a miss means that the answer was remembered once and is gone: expired, evicted or cleared.
        """
        run = self.get(run_id)
        last = self._store.last_like(run)
        if last is None or not run.cache.parts:
            return None
        return changed_parts(last.cache.parts, run.cache.parts)

    def expected_seconds(self, kind: str, name: str, model: str | None) -> float | None:
        """How long such a run took lately, in seconds; None where there was none."""
        return self._store.expected_seconds(kind, name, model)


def _order(sort: RunSort | str) -> RunSort:
    return sort if isinstance(sort, RunSort) else RunSort.parse(str(sort))


list_ = list
"""`list` inside the class is the method."""
