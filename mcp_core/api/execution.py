"""The engine: queues runs, executes them on worker threads, and records how they end."""

import inspect
import threading
import time
from collections.abc import Awaitable, Mapping
from typing import Any

from loguru import logger

from mcp_core.api.awaiting import awaited
from mcp_core.api.endings import Endings, as_json_data, checked_output, stopped
from mcp_core.api.guard import BudgetGuard
from mcp_core.api.line import Ticket
from mcp_core.api.live import LiveRun
from mcp_core.api.pulse import Pulse
from mcp_core.api.remembering import remembering
from mcp_core.api.revival import revived
from mcp_core.api.workers import PoolState, WorkerPool
from mcp_core.cache.results import Results
from mcp_core.control import CancelReason
from mcp_core.errors import (
    ExecutionError,
    MCPError,
    ResourceLimitError,
    RunCancelledError,
    RunInterruptedError,
    RunTimeoutError,
)
from mcp_core.models import Artifact, Run, RunOutput, RunStatus, new_id, utcnow
from mcp_core.providers.base import CallScope, ChatRequest
from mcp_core.providers.llm import RunLLM
from mcp_core.providers.registry import Providers
from mcp_core.security.redaction import redactor
from mcp_core.settings import Settings
from mcp_core.store import ProcessLoad, Store
from mcp_core.types.base import RunContext
from mcp_core.types.registry import Registry

__all__ = ["Engine"]

_BESIDE = 4
"""Runs of a full provider that may begin nonetheless: the cache may answer them, and those it does not step aside."""


class Engine:
    """Executes runs in this process. It starts its threads with the first run.

    Args:
        settings: how many runs at the same time and in the queue, in all and for one actor.
        adopt: whether runs queued by a process that died go on here; for processes that live long.
        guard: keeps runs within their budgets.
    """

    def __init__(
        self,
        store: Store,
        providers: Providers,
        results: Results,
        registry: Registry,
        settings: Settings,
        *,
        adopt: bool,
        guard: BudgetGuard,
    ) -> None:
        self.owner = new_id()
        self._store = store
        self._providers = providers
        self._results = results
        self._registry = registry
        self._lock = threading.Lock()
        self._live: dict[str, LiveRun] = {}
        self._started = False
        self._pool: WorkerPool[LiveRun] = WorkerPool(
            self._work,
            size=settings.workers,
            limit=settings.queue_size,
            name="mcp-run",
            actor_running=settings.actor_running,
            actor_queued=settings.actor_queued,
        )
        self._guard = guard
        self._endings = Endings(store, self._forget, guard)
        self._pulse = Pulse(
            store,
            self.owner,
            live=self.live,
            abandon=self._abandon,
            endings=self._endings,
            cancel=self.cancel,
            load=self._load,
            adopt=self._adopt_queued if adopt else None,
        )

    def start(self) -> None:
        """Take a lease in the store and begin to look after runs; does nothing the second time."""
        with self._lock:
            if not self._started:
                self._pulse.start()
                self._started = True

    def submit(self, live: LiveRun, *, durable: bool, waits: bool = False) -> bool:
        """Record the run as queued and queue it; returns False, with nothing done, if its id has been started before.

        Args:
            durable: whether the record is on disk when this returns; otherwise it is before anything is sent.
            waits: whether the caller waits for the run anyway: it may then be over when this returns.

        Raises:
            ResourceLimitError: the queue is full.
            StoreError: the record cannot be written.
        """
        self.start()
        if not self._take_in(live):
            return False
        try:
            if self._store.save_run(live.run, wait=durable) is False:
                self._forget(live)
                return False
            ticket = self._ticket(live)
            if not (waits and live.definition.interruptible and self._pool.do(live, ticket)):
                self._pool.put(live, ticket)
        except MCPError as error:
            self._fail(live, error)
            raise
        return True

    def refuse(self, run: Run, error: MCPError) -> None:
        """Leave a trace of a run that could not begin: what was asked is not lost with the error."""
        self._endings.refuse(run, error)

    def get(self, run_id: str) -> LiveRun | None:
        """The run, if this process has it."""
        return self._live.get(run_id)

    def live(self) -> list[LiveRun]:
        """All runs queued or running in this process, oldest first."""
        with self._lock:
            return [live for live in self._live.values() if not live.ended]

    def waiting(self) -> list[str]:
        """Ids of the queued runs, next first."""
        return [live.run.id for live in self._pool.waiting()]

    def state(self) -> PoolState:
        """What its workers do at the moment."""
        return self._pool.state()

    def cancel(self, run_id: str, reason: CancelReason = "cancelled") -> bool:
        """Stop a run of this process; returns whether it was open."""
        live = self.get(run_id)
        if live is None or live.ended:
            return False
        live.token.cancel(reason)
        if self._pool.remove(live):
            self._finish_stopped(live)
        return True

    def adopt(self, run_id: str) -> None:
        """Run a queued run here if the process that queued it is gone; does nothing otherwise."""
        self.start()
        self._adopt(self._store.adopt_queued(self.owner, 1, run_id=run_id))

    def close(self, *, drain_seconds: float = 10.0) -> None:
        """Let running runs finish for `drain_seconds`, then stop them; queued ones stay queued for another process."""
        left = self._pool.close()
        self._endings.give_away(left)
        for live in left:
            self._leave(live)
        self._wait_for_the_end(drain_seconds)
        for live in self.live():
            live.token.cancel("shutdown")
        self._wait_for_the_end(2.0)
        for live in self.live():
            self._finish_stopped(live)
        self._endings.retry()
        if self._started:
            self._pulse.stop()

    def _wait_for_the_end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._unfinished() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _unfinished(self) -> bool:
        # A run that has ended is not over before its end is recorded.
        with self._lock:
            return any(not live.future.done() for live in self._live.values())

    # One run, on a worker or on the thread of a caller that waits

    def _work(self, live: LiveRun) -> None:
        with logger.contextualize(run_id=live.run.id, actor=live.run.actor_id, task=live.run.name):
            try:
                if live.token.cancelled:
                    self._finish_stopped(live)
                elif self._claim(live):
                    self._endings.finish(live, RunStatus.SUCCEEDED, output=self._execute(live))
            except (RunCancelledError, RunTimeoutError, RunInterruptedError):
                self._finish_stopped(live)
            except MCPError as error:
                self._fail(live, error)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                    live.token.cancel()
                    self._finish_stopped(live)
                    raise
                # An executor is foreign code: what it raises, `SystemExit` included, ends its run and no more.
                self._fail_unforeseen(live, error)

    def _fail_unforeseen(self, live: LiveRun, error: BaseException) -> None:
        logger.opt(exception=error).error("Run {} failed with an unexpected error.", live.run.id)
        what = f"{type(error).__name__}: {redactor.shapes(str(error)[:500])}".rstrip(": ")
        hint = f"The log has the details under run {live.run.id}."
        self._fail(live, ExecutionError(f"The task failed: {what}.", hint=hint))

    def _claim(self, live: LiveRun) -> bool:
        """Mark the run as running; False if it was taken from this process while it waited."""
        live.began = time.monotonic()
        live.token.deadline = live.began + live.config.timeout
        started = max(live.run.created_at, utcnow())
        live.run = live.run.model_copy(update={"status": RunStatus.RUNNING, "started_at": started})
        waited = live.began - live.submitted > 1.0
        if self._store.save_run(live.run, wait=waited) is False:
            self._leave(live)
            return False
        live.events.append("started")
        logger.debug("Run {} of type {} started.", live.run.id, live.run.type)
        return True

    def _execute(self, live: LiveRun) -> RunOutput:
        result: RunOutput | Awaitable[RunOutput] = live.definition.execute(live.config, self._context(live))
        output = awaited(result, live.token) if inspect.isawaitable(result) else result
        live.token.check()
        return checked_output(output, live.run.type)

    def _context(self, live: LiveRun) -> RunContext:
        def emit(kind: str, data: Mapping[str, Any]) -> None:
            live.events.append(kind, redactor.data(dict(data)))

        def emit_checked(kind: str, data: Mapping[str, Any]) -> None:
            emit(kind, as_json_data(dict(data), f"The data of the event {kind!r}"))

        def before_wire(request: ChatRequest) -> None:
            # The record is on disk, and the run still this process's, before money is spent.
            if not live.sent and self._store.save_run(live.run) is False:
                raise RunInterruptedError("Another process has taken the run over.", hint="Follow it there.")
            self._guard.cover(live, request)
            live.sent = True

        scope = CallScope(
            run_id=live.run.id,
            run_type=live.run.type,
            task=live.run.name,
            tenant=live.run.team,
            actor=live.run.actor_id,
            cancel=live.token,
            policy=live.config.cache.policy(),
            max_retries=live.config.max_retries,
            stream=live.stream,
            read_timeout=live.config.timeout,
            emit=emit,
            before_wire=before_wire,
            on_broken=lambda request, text: self._guard.count_broken(live, request, text),
            aside=lambda: self._pool.aside(live),
        )
        return RunContext(
            run_id=live.run.id,
            actor=live.actor,
            variables=live.variables,
            llm=RunLLM(self._providers, scope, live.tally.add, live.tally.add_failed),
            cancel=live.token,
            emit=emit_checked,
            save_artifact=lambda name, content, media_type: self._save_artifact(live, name, content, media_type),
            remember=remembering(live, self._results, emit),
        )

    def _save_artifact(self, live: LiveRun, name: str, content: bytes, media_type: str) -> Artifact:
        live.token.check()  # a run that was stopped keeps nothing more
        artifact = self._store.put_artifact(live.run.id, name, media_type, content)
        live.artifact_sizes[artifact.name] = artifact.size_bytes
        return artifact

    def _fail(self, live: LiveRun, error: MCPError) -> None:
        self._endings.finish(live, RunStatus.FAILED, error=error)

    def _finish_stopped(self, live: LiveRun) -> None:
        status, error = stopped(live)
        self._endings.finish(live, status, error=error)

    def _abandon(self, live: LiveRun) -> None:
        if live.run.status is RunStatus.RUNNING:
            logger.warning("Run {} does not stop by itself and is ended over its head.", live.run.id)
            self._pool.replace(live)
        self._finish_stopped(live)

    def _leave(self, live: LiveRun) -> None:
        """Let go of a run that goes on elsewhere, now or later."""
        if live.claim_finish():
            live.events.close()
            self._forget(live)
            live.future.set_exception(
                RunInterruptedError("The app stopped before the run began.", hint="It goes on when the app starts.")
            )

    def _ticket(self, live: LiveRun) -> Ticket:
        run = live.run
        provider, slash, _ = (run.model or "").partition("/")
        limit = self._providers.concurrency(provider) if slash else 0
        if not limit:
            return Ticket(run.priority, run.actor_id)
        return Ticket(run.priority, run.actor_id, provider, limit + _BESIDE)

    def _load(self) -> ProcessLoad:
        state = self._pool.state()
        return ProcessLoad(workers=state.size, given_up=state.given_up, queue_size=state.limit)

    def _take_in(self, live: LiveRun) -> bool:
        with self._lock:
            if self._live.setdefault(live.run.id, live) is not live:
                return False
        live.events.append("queued")
        return True

    def _forget(self, live: LiveRun) -> None:
        with self._lock:
            self._live.pop(live.run.id, None)

    # Runs that a process which is gone left queued

    def _adopt_queued(self, lease_seconds: float) -> None:
        if free := self._pool.free():
            self._adopt(self._store.adopt_queued(self.owner, free, older_than_seconds=lease_seconds))

    def _adopt(self, runs: list[Run]) -> None:
        # Somebody may have asked the process that is gone to cancel them.
        unwanted = self._store.asked_to_cancel(self.owner) if runs else []
        for run in runs:
            self._adopt_one(run, wanted=run.id not in unwanted)

    def _adopt_one(self, run: Run, *, wanted: bool) -> None:
        logger.info("Run {} was queued by a process that is gone; it goes on here.", run.id)
        try:
            live = revived(run, self._registry)
        except MCPError as error:
            self._endings.refuse(run, error)
            return
        live.may_hold = True  # by the process that queued it
        if not self._take_in(live):
            return
        if not wanted:
            self.cancel(run.id)
            self._finish_stopped(live)
            return
        try:
            self._pool.put(live, self._ticket(live), beyond_limit=True)
        except ResourceLimitError:
            self._leave(live)  # shutting down: with its lease gone another process takes it
