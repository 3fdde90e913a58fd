"""The engine: queues runs, executes them on worker threads, and records how they end."""

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Coroutine, Mapping
from typing import Any

from loguru import logger

from mcp_core.api.live import LiveRun
from mcp_core.api.pulse import Pulse
from mcp_core.api.workers import WorkerPool
from mcp_core.control import CancelReason, CancelToken
from mcp_core.errors import (
    APIError,
    ExecutionError,
    MCPError,
    OutputMismatchError,
    RunCancelledError,
    RunInterruptedError,
    RunTimeoutError,
    StoreError,
)
from mcp_core.models import Actor, Run, RunError, RunOutput, RunStatus, new_id, utcnow
from mcp_core.providers.base import CallScope
from mcp_core.providers.llm import RunLLM
from mcp_core.providers.registry import Providers
from mcp_core.security.redaction import redactor
from mcp_core.store import Store
from mcp_core.types.base import RunContext
from mcp_core.types.registry import Registry

__all__ = ["Engine"]

_STATUS_OF_REASON: Mapping[CancelReason, RunStatus] = {
    "cancelled": RunStatus.CANCELLED,
    "timed_out": RunStatus.TIMED_OUT,
    "shutdown": RunStatus.INTERRUPTED,
}


class Engine:
    """Executes runs in this process. It starts its threads with the first run.

    Args:
        workers: runs at the same time.
        queue_size: runs that may wait.
        adopt: whether runs queued by a process that died go on here; for processes that live long.
    """

    def __init__(
        self, store: Store, providers: Providers, registry: Registry, *, workers: int, queue_size: int, adopt: bool
    ) -> None:
        self.owner = new_id()
        self._store = store
        self._providers = providers
        self._registry = registry
        self._lock = threading.Lock()
        self._live: dict[str, LiveRun] = {}
        self._started = False
        self._pool: WorkerPool[LiveRun] = WorkerPool(self._work, size=workers, limit=queue_size, name="mcp-run")
        self._pulse = Pulse(
            store,
            self.owner,
            live=self.live,
            abandon=self._abandon,
            adopt=self._adopt if adopt else None,
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
        with self._lock:
            if self._live.setdefault(live.run.id, live) is not live:
                return False
        live.events.append("queued")
        try:
            if self._store.save_run(live.run, wait=durable) is False:
                self._forget(live)
                return False
            if not (waits and live.definition.interruptible and self._pool.do(live)):
                self._pool.put(live)
        except MCPError as error:
            self._fail(live, error)
            raise
        return True

    def get(self, run_id: str) -> LiveRun | None:
        """The run, if this process has it."""
        return self._live.get(run_id)

    def live(self) -> list[LiveRun]:
        """All runs queued or running in this process, oldest first."""
        with self._lock:
            return list(self._live.values())

    def waiting(self) -> list[str]:
        """Ids of the queued runs, next first."""
        return [live.run.id for live in self._pool.waiting()]

    def cancel(self, run_id: str, reason: CancelReason = "cancelled") -> bool:
        """Stop a run of this process; returns whether it was open."""
        live = self.get(run_id)
        if live is None:
            return False
        live.token.cancel(reason)
        if self._pool.remove(live):
            self._finish_stopped(live)
        return True

    def close(self, *, drain_seconds: float = 10.0) -> None:
        """Let running runs finish for `drain_seconds`, then stop them; queued ones stay queued for another process."""
        left = self._pool.close()
        for live in left:
            if live.claim_finish():
                live.events.close()
                self._forget(live)
                live.future.set_exception(
                    RunInterruptedError("The app stopped before the run began.", hint="It goes on when the app starts.")
                )
        deadline = time.monotonic() + drain_seconds
        while self.live() and time.monotonic() < deadline:
            time.sleep(0.02)
        for live in self.live():
            live.token.cancel("shutdown")
        deadline = time.monotonic() + 2
        while self.live() and time.monotonic() < deadline:
            time.sleep(0.02)
        for live in self.live():
            self._finish_stopped(live)
        if self._started:
            self._pulse.stop()

    # One run, on a worker thread

    def _work(self, live: LiveRun) -> None:
        with logger.contextualize(run_id=live.run.id, actor=live.run.actor_id, task=live.run.name):
            try:
                if live.token.cancelled:
                    self._finish_stopped(live)
                else:
                    self._execute(live)
            except StoreError as error:
                self._fail(live, error)
            except BaseException:
                # Ctrl+C on a caller's own thread: the run ends with the wait for it.
                live.token.cancel()
                self._finish_stopped(live)
                raise

    def _execute(self, live: LiveRun) -> None:
        live.token.deadline = time.monotonic() + live.config.timeout
        live.run = live.run.model_copy(update={"status": RunStatus.RUNNING, "started_at": utcnow()})
        self._store.save_run(live.run, wait=False)
        live.events.append("started")
        logger.debug("Run {} of type {} started.", live.run.id, live.run.type)
        try:
            result: RunOutput | Awaitable[RunOutput] = live.definition.execute(live.config, self._context(live))
            output = _await(result, live.token) if inspect.isawaitable(result) else result
            live.token.check()
        except (RunCancelledError, RunTimeoutError, RunInterruptedError):
            self._finish_stopped(live)
        except MCPError as error:
            if isinstance(error, APIError | OutputMismatchError):
                live.tally.add_failed(error)
            self._fail(live, error)
        except Exception as error:  # noqa: BLE001  # an executor is foreign code: whatever it raises ends its run, and no other
            logger.opt(exception=True).error("Run {} failed with an unexpected error.", live.run.id)
            self._fail(
                live,
                ExecutionError(
                    f"The task failed: {type(error).__name__}: {redactor.shapes(str(error))[:500]}.",
                    hint=f"The log has the details under run {live.run.id}.",
                ),
            )
        else:
            self._finish(live, RunStatus.SUCCEEDED, output=output)

    def _context(self, live: LiveRun) -> RunContext:
        scope = CallScope(
            run_id=live.run.id,
            run_type=live.run.type,
            task=live.run.name,
            tenant=live.run.team,
            cancel=live.token,
            policy=live.config.cache.policy(),
            max_retries=live.config.max_retries,
            stream=live.stream,
            read_timeout=live.config.timeout,
            emit=live.events.append,
            # The record is on disk before money is spent.
            before_wire=self._store.flush,
        )
        return RunContext(
            run_id=live.run.id,
            actor=Actor(id=live.run.actor_id, team=live.run.team),
            variables=live.variables,
            llm=RunLLM(self._providers, scope, live.tally.add),
            cancel=live.token,
            emit=live.events.append,
            save_artifact=lambda name, content, media_type: self._store.put_artifact(
                live.run.id, name, media_type, content
            ),
        )

    # How a run ends, once

    def _finish_stopped(self, live: LiveRun) -> None:
        try:
            live.token.check()
        except ExecutionError as error:
            self._finish(live, _STATUS_OF_REASON[live.token.reason or "cancelled"], error=error)

    def _fail(self, live: LiveRun, error: MCPError) -> None:
        self._finish(live, RunStatus.FAILED, error=error)

    def _abandon(self, live: LiveRun) -> None:
        if live.run.status is RunStatus.RUNNING:
            logger.warning("Run {} does not stop by itself and is ended over its head.", live.run.id)
            self._pool.replace(live)
        self._finish_stopped(live)

    def _finish(
        self, live: LiveRun, status: RunStatus, *, output: RunOutput | None = None, error: MCPError | None = None
    ) -> None:
        if not live.claim_finish():
            return
        update: dict[str, Any] = {
            "status": status,
            "finished_at": utcnow(),
            "usage": live.tally.usage(),
            "cost_usd": live.tally.cost_usd(),
            "cache": live.tally.cache() or live.events.cache_outcome(),
            "attempts": live.tally.attempts(),
        }
        # What had come of an answer when its run was stopped is worth reading.
        output = output or RunOutput(text=live.events.text_so_far())
        update["output"] = redactor.output(output)
        if error is not None:
            update["error"] = RunError(
                type=type(error).__name__,
                message=redactor.shapes(error.message),
                hint=redactor.shapes(error.hint),
            )
        live.run = live.run.model_copy(update=update)
        data: dict[str, Any] = {"status": status.value}
        if error is not None:
            data["error"] = redactor.shapes(str(error))
        live.events.append("finished", data)
        try:
            self._store.save_run(live.run, events=live.events.durable(), wait=True)
        except StoreError as store_error:
            logger.error("Run {} ended as {} but could not be recorded: {}", live.run.id, status, store_error)
        finally:
            self._tell(live.run, data.get("error"))
            live.events.close()
            self._forget(live)
            live.future.set_result(live.run)

    def _tell(self, run: Run, error: str | None) -> None:
        if run.status is RunStatus.SUCCEEDED:
            logger.info("Run {} succeeded, cache {}.", run.id, run.cache)
        elif run.status is RunStatus.FAILED:
            logger.warning("Run {} failed: {}", run.id, error)
        else:
            logger.info("Run {} ended as {}.", run.id, run.status)

    def _forget(self, live: LiveRun) -> None:
        with self._lock:
            self._live.pop(live.run.id, None)

    def _adopt(self, run: Run) -> None:
        try:
            config = self._registry.parse(run.config, source=f"run {run.id}")
            mine = run.model_copy(update={"owner": self.owner})
            live = LiveRun(mine, config, run.variables, self._registry.get(run.type), stream=True)
            self.submit(live, durable=True)
        except MCPError as error:
            logger.warning("Run {} could not go on: {}", run.id, error)
            failed = run.model_copy(
                update={
                    "status": RunStatus.FAILED,
                    "finished_at": utcnow(),
                    "owner": self.owner,
                    "error": RunError(type=type(error).__name__, message=error.message, hint=error.hint),
                }
            )
            self._store.save_run(failed)


def _await(awaitable: Awaitable[RunOutput], token: CancelToken) -> RunOutput:
    """Run an executor's coroutine to its end on a loop of its own; cancelling the token cancels it."""

    async def bridge() -> RunOutput:
        task = asyncio.ensure_future(awaitable)
        loop = asyncio.get_running_loop()
        with token.on_cancel(lambda: loop.call_soon_threadsafe(task.cancel)):
            return await task

    coroutine: Coroutine[Any, Any, RunOutput] = bridge()
    try:
        return asyncio.run(coroutine)
    except asyncio.CancelledError:
        token.check()
        raise ExecutionError("The task cancelled itself.") from None
