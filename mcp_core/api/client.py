"""`MCPClient`: the one door to the panel, for pages, the command line, the web API and people's own code."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic_core import to_jsonable_python

from mcp_core.api.arguments import checked_actor, checked_priority, checked_run_id, checked_variables
from mcp_core.api.budgets import BudgetService
from mcp_core.api.caching import CacheService, cache_cipher
from mcp_core.api.dashboard import DashboardService
from mcp_core.api.execution import Engine
from mcp_core.api.guard import BudgetGuard
from mcp_core.api.handle import RunHandle
from mcp_core.api.health import HealthService
from mcp_core.api.live import LiveRun
from mcp_core.api.logs import LogService
from mcp_core.api.notes import Note, notes
from mcp_core.api.preferences import PreferenceService
from mcp_core.api.preflight import Preflight, PreflightService
from mcp_core.api.queue import QueueService
from mcp_core.api.runs import RunService
from mcp_core.api.tasks import EXAMPLES, TaskService
from mcp_core.api.unreadable import for_the_record, run_of
from mcp_core.cache.factory import open_cache
from mcp_core.cache.results import Results
from mcp_core.errors import ConfigurationError, PermissionDeniedError
from mcp_core.models import Actor, Priority, Run, new_id
from mcp_core.providers.outages import SimulatedOutages
from mcp_core.providers.registry import Providers
from mcp_core.security.permissions import check
from mcp_core.security.redaction import redactor
from mcp_core.settings import Settings, load_settings
from mcp_core.store import Store, open_store
from mcp_core.types.base import BaseMCPConfig
from mcp_core.types.registry import Registry, default_registry
from mcp_core.types.variables import validate_variables

__all__ = ["MCPClient"]


class MCPClient:
    """Defines, runs, follows and finds model-based tasks.

    One client holds one engine, one cache and one history; a process needs one. Use it as a context manager, or call
    `close`.

    Args:
        settings: default: from the environment, `.env` and Streamlit secrets.
        registry: the types that can be run; default: built-in ones and installed plugins.
        actor: who asks, where a call names nobody.
        adopt: whether runs that a dead process left queued go on here; for processes that live long.

    Raises:
        ConfigurationError: a setting or the providers file is wrong; nothing is left half started.
        StoreError: the history cannot be opened.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        registry: Registry | None = None,
        actor: Actor | None = None,
        adopt: bool = False,
    ) -> None:
        if settings is not None and not isinstance(settings, Settings):
            raise ConfigurationError(
                f"settings: found {type(settings).__name__}, allowed is Settings.", field="settings"
            )
        self.settings = settings or load_settings()
        self.registry = registry or default_registry()
        self.actor = checked_actor(actor, Actor())
        redactor.learn(self.settings.secret_values())
        with suppress(OSError):  # whatever needs the directory says what is wrong with it
            self.settings.make_data_dir()
        with ExitStack() as opened:
            self._cache = open_cache(self.settings, cache_cipher(self.settings))
            opened.callback(self._cache.close)
            self.store: Store = open_store(self.settings.database_url, data_dir=self.settings.data_dir)
            opened.callback(self.store.close)
            self.providers = Providers(self.settings, self._cache, outages=SimulatedOutages(self.store.outages.active))
            opened.callback(self.providers.close)
            self._guard = BudgetGuard(self.store, self.providers)
            results = Results(self._cache, ttl_seconds=self.settings.cache_ttl)
            self._engine = Engine(
                self.store,
                self.providers,
                results,
                self.registry,
                self.settings,
                adopt=adopt,
                guard=self._guard,
            )
            if adopt:
                self._engine.start()
            self._opened = opened.pop_all()
        self.queue = QueueService(self.store, self._engine, self.settings)
        self.runs = RunService(self.store, self._engine, self.queue, self.submit, self.actor)
        self.tasks = TaskService(self.registry, (self.settings.data_dir / "tasks", EXAMPLES))
        self.cache = CacheService(self._cache, results, self.store, self.settings, self.actor, self.runs.repeat)
        self.budgets = BudgetService(self.store, self._guard, self.actor)
        self._preflight = PreflightService(self.store, self.providers, self.budgets, self._guard)
        self.dashboard = DashboardService(self.store)
        self.preferences = PreferenceService(self.store, self.actor)
        self.health = HealthService(self.store, self.providers, self.queue, self.settings, self.actor)
        self.logs = LogService(self.settings.data_dir)
        self._closed = False

    def execute(
        self,
        config: BaseMCPConfig | Mapping[str, Any] | str | Path,
        variables: Mapping[str, Any] | None = None,
        *,
        actor: Actor | None = None,
        run_id: str | None = None,
        priority: Priority = "normal",
    ) -> Run:
        """Run a task and wait for it.

        Args:
            config: a config, its fields with `type`, or the name or file of a task.
            variables: values by name; those with a default may be left out.
            run_id: an id of your own; a run with that id is started once, and found again afterwards.
            priority: how soon it is taken from the queue: `high`, `normal` or `low`.

        Returns:
            The finished run, whatever its status: a task that failed is a run with an `error`.

        Raises:
            ConfigurationError: the config or a variable is wrong.
            PermissionDeniedError: the actor may not run tasks, or a budget has too little left.
            ResourceLimitError: the queue is full, or the actor has or keeps as much as one may.
        """
        return self._begin(
            config,
            variables,
            actor=actor,
            run_id=run_id,
            priority=priority,
            stream=False,
            durable=False,
            waits=True,
        ).result()

    def submit(
        self,
        config: BaseMCPConfig | Mapping[str, Any] | str | Path,
        variables: Mapping[str, Any] | None = None,
        *,
        actor: Actor | None = None,
        run_id: str | None = None,
        parent_id: str | None = None,
        retry_of: str | None = None,
        priority: Priority = "normal",
        stream: bool = True,
    ) -> RunHandle:
        """Start a run and return at once; the run is recorded by then and goes on by itself.

        Args:
            parent_id: the run on whose behalf this one is started; retry_of: the run this one repeats.
            stream: whether the answer's tokens come as events.

        Raises:
            As `execute`.
        """
        return self._begin(
            config,
            variables,
            actor=actor,
            run_id=run_id,
            parent_id=parent_id,
            retry_of=retry_of,
            priority=priority,
            stream=stream,
            durable=True,
        )

    async def aexecute(
        self,
        config: BaseMCPConfig | Mapping[str, Any] | str | Path,
        variables: Mapping[str, Any] | None = None,
        *,
        actor: Actor | None = None,
        run_id: str | None = None,
        priority: Priority = "normal",
    ) -> Run:
        """As `execute`, for `async` callers; cancelling the awaiting task cancels the run it started."""
        begun = asyncio.ensure_future(
            asyncio.to_thread(
                self.submit, config, variables, actor=actor, run_id=run_id, priority=priority, stream=False
            )
        )
        try:
            handle = await asyncio.shield(begun)
            if handle.future is None:
                return await asyncio.to_thread(handle.result)
            return await asyncio.shield(asyncio.wrap_future(handle.future))
        except asyncio.CancelledError:
            handle = await begun
            if handle.started:
                self._engine.cancel(handle.id)
            raise

    def parse(self, raw: Mapping[str, Any], *, source: str = "config") -> BaseMCPConfig:
        """Turn fields with `type` into a config.

        Raises:
            ConfigurationError: it names source, field, what was found and what is allowed.
        """
        return self.registry.parse(raw, source=source)

    def preflight(
        self,
        config: BaseMCPConfig | Mapping[str, Any] | str | Path,
        variables: Mapping[str, Any] | None = None,
        *,
        actor: Actor | None = None,
    ) -> Preflight:
        """What a run would take: tokens, cost, time, cache and budget, without asking anybody or starting anything.

        Raises:
            ConfigurationError: the config or a variable is wrong.
        """
        config = self._config_of(config, self.tasks.load)
        checked = validate_variables(config.variable_specs(), checked_variables(variables))
        return self._preflight.look(config, checked, checked_actor(actor, self.actor))

    def load(self, task: str | Path, *, actor: Actor | None = None, run_id: str | None = None) -> BaseMCPConfig:
        """As `tasks.load`, for a task that is to be run.

        Where its file is wrong, the run that was meant is recorded as failed, without what the file says; its type is
        `unknown` where the file names none that there is.

        Raises:
            ConfigurationError: there is no such task, its file is wrong, or `run_id` is none.
        """
        if run_id is not None:
            checked_run_id(run_id)
        try:
            return self.tasks.load(task)
        except ConfigurationError as error:
            path = self.tasks.path_of(task)
            actor = checked_actor(actor, self.actor)
            meant = None if path is None else run_of(path, self.registry, actor, run_id)
            if path is not None and meant is not None and (run_id is None or self._known(run_id) is None):
                self._engine.refuse(meant, for_the_record(error, path))
            raise

    def notes(self) -> list[Note]:
        """What to know about this machine's disk and memory before it bites; empty where all is well."""
        return notes(self.settings, model_running=self.providers.local.state == "running")

    def save_draft(self, payload: Mapping[str, Any], *, actor: Actor | None = None) -> str:
        """Keep a form's state that is too large for a URL, known secrets masked; returns an unguessable id."""
        return self.store.put_draft((actor or self.actor).id, redactor.data(dict(payload)))

    def load_draft(self, draft_id: str) -> dict[str, Any] | None:
        """The form state kept under `draft_id`; None where there is none (any more)."""
        return self.store.get_draft(draft_id)

    def close(self, *, drain_seconds: float | None = None) -> None:
        """Let running runs finish for a while, stop the rest, and release everything. Once is enough.

        Args:
            drain_seconds: how long they may go on; default the setting `MCP_DRAIN_SECONDS`.
        """
        if self._closed:
            return
        self._closed = True
        self._engine.close(drain_seconds=self.settings.drain_seconds if drain_seconds is None else drain_seconds)
        self.cache.flush()
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A program that is told to end leaves by `SystemExit`, which is no failure of it.
        self.close(drain_seconds=None if error is None or isinstance(error, SystemExit) else 0.0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, traceback)

    def _begin(
        self,
        config: BaseMCPConfig | Mapping[str, Any] | str | Path,
        variables: Mapping[str, Any] | None,
        *,
        actor: Actor | None,
        run_id: str | None,
        priority: Priority,
        stream: bool,
        durable: bool,
        waits: bool = False,
        parent_id: str | None = None,
        retry_of: str | None = None,
    ) -> RunHandle:
        actor = checked_actor(actor, self.actor)
        check(actor, "run")
        config = self._config_of(config, partial(self.load, actor=actor, run_id=run_id))
        definition = self.registry.get(config.type)
        if self.settings.actor_bytes:
            self.queue.check_kept(actor.id)
        given = checked_variables(variables)
        priority = checked_priority(priority)
        for other in (parent_id, retry_of):
            if other is not None:
                self.runs.get(other)
        if run_id is not None:
            self._engine.start()
            if (known := self._known(checked_run_id(run_id))) is not None:
                return known

        def build(variables: dict[str, Any]) -> Run:
            return Run(
                id=run_id or new_id(),
                type=config.type,
                name=config.name,
                actor_id=actor.id,
                team=actor.team,
                config=redactor.data(config.model_dump(mode="json")),
                variables=redactor.data(variables),
                tags=config.tags,
                model=config.asked_model(),
                priority=priority,
                parent_id=parent_id,
                retry_of=retry_of,
                owner=self._engine.owner,
            )

        try:
            checked = validate_variables(config.variable_specs(), given)
        except ConfigurationError as error:
            self._engine.refuse(build(to_jsonable_python(given, fallback=str)), error)
            raise
        live = LiveRun(build(checked), actor, config, checked, definition, stream=stream)
        # What a process without a lease holds of a budget looks like that of one that is dead, and is given back.
        self._engine.start()
        try:
            live.reserved_nano = self._guard.admit(live.run, config, checked)
        except PermissionDeniedError as error:
            self._engine.refuse(live.run, error)
            raise
        live.may_hold = live.reserved_nano > 0
        # An id of the caller's own may be in use by another process; only a durable record tells.
        if not self._engine.submit(live, durable=durable or run_id is not None, waits=waits):
            if self._engine.get(live.run.id) is None:  # what is held is held for the run of that id, whoever began it
                self._guard.give_back(live)
            return self._known(live.run.id) or RunHandle(live.run.id, self.runs, None)
        return RunHandle(live.run.id, self.runs, live.future, started=True)

    def _config_of(self, config: object, load: Callable[[str | Path], BaseMCPConfig]) -> BaseMCPConfig:
        if isinstance(config, BaseMCPConfig):
            return config
        if isinstance(config, Mapping):
            return self.parse(config)
        if isinstance(config, str | Path):
            return load(config)
        found = config.__name__ if isinstance(config, type) else type(config).__name__
        raise ConfigurationError(
            f"config: found {found}, allowed is a config, its fields with `type`, or a task's name or file.",
            field="config",
        )

    def _known(self, run_id: str) -> RunHandle | None:
        live = self._engine.get(run_id)
        if live is not None:
            return RunHandle(run_id, self.runs, live.future)
        run = self.store.get_run(run_id)
        if run is None:
            return None
        future: Future[Run] | None = None
        if run.status.is_final:
            future = Future()
            future.set_result(run)
        return RunHandle(run_id, self.runs, future)
