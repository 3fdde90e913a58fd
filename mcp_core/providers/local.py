"""The built-in model: a llama.cpp server in a process of its own, started when first asked and gone with the app."""

import contextlib
import copy
import threading
import time
from collections.abc import Iterator
from typing import Literal

from loguru import logger

from mcp_core.control import CancelToken
from mcp_core.errors import APIError, MCPError
from mcp_core.providers.config import LOCAL, local_alias
from mcp_core.providers.local_process import LocalProcess
from mcp_core.providers.model_file import ensure_model, is_intact, model_path
from mcp_core.providers.server import Progress
from mcp_core.settings import Settings

__all__ = ["LocalModel", "LocalState"]

LocalState = Literal["absent", "fetching", "ready", "loading", "running", "failed"]


class LocalModel:
    """The model server of this process. Thread-safe. It ends when nobody has asked it for a while, and starts again.

    Fetching and loading happen in a thread of their own, so that a run that is cancelled while it waits takes nothing
    from the others.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._server: LocalProcess | None = None
        self._start: _Start | None = None
        self._failure: MCPError | None = None
        self._closed = False
        self._idle_seconds = settings.local_model_idle_seconds
        self._users = 0
        self._used_at = time.monotonic()
        self._closing = threading.Event()

    @property
    def state(self) -> LocalState:
        """`absent` (not fetched yet), `fetching`, `ready` (to be loaded), `loading`, `running` or `failed`."""
        with self._lock:
            if self._start is not None:
                return self._start.phase
            if self._server is not None and self._server.alive:
                return "running"
            if self._failure is not None:
                return "failed"
        return "ready" if model_path(self._settings).is_file() else "absent"

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes fetched and in all; (0, 0) while nothing is being fetched."""
        start = self._start
        return start.progress if start is not None else (0, 0)

    @property
    def failure(self) -> MCPError | None:
        """Why it could not be fetched or started the last time; None where it could."""
        return self._failure

    @property
    def unloads_in_seconds(self) -> float | None:
        """Seconds until it ends for want of questions; None where it does not run, is being asked, or always stays."""
        with self._lock:
            if not self._idle_seconds or self._users or self._server is None or not self._server.alive:
                return None
            return self._idle_left()

    @contextlib.contextmanager
    def using(self) -> Iterator[None]:
        """Keep it running, once it does, inside the block."""
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                self._used_at = time.monotonic()

    @property
    def identity(self) -> str:
        """What its answers depend on beside the request: the model, and for a file of one's own its size and date."""
        alias = local_alias(self._settings)
        if not self._settings.local_model.strip():
            return alias
        with contextlib.suppress(OSError):
            found = model_path(self._settings).stat()
            return f"{alias} {found.st_size} {found.st_mtime_ns}"
        return alias

    def warm_up(self) -> None:
        """Begin to fetch and load the model where that has not happened yet; returns at once."""
        with self._lock:
            self._begin()

    def endpoint(self, cancel: CancelToken | None = None, progress: Progress | None = None) -> tuple[str, str]:
        """Base URL and key of the server, which is fetched, started or restarted first where needed.

        Args:
            cancel: ends the wait; the model goes on being fetched for others.
            progress: told of bytes done and in all while the model is being fetched.

        Raises:
            APIError: it could not be fetched or started.
            ConfigurationError: it is switched off, or `MCP_LOCAL_MODEL` names no model.
            RunCancelledError, RunTimeoutError, RunInterruptedError: the work should stop.
        """
        cancel = cancel or CancelToken()
        shown = (0, 0)
        while True:
            with self._lock:
                server = self._server
                if server is not None and server.alive and self._start is None:
                    self._used_at = time.monotonic()
                    return server.url, server.key
                start = self._begin()
            with cancel.on_cancel(start.news.set):
                while not start.done.is_set():
                    start.news.wait(0.25)
                    start.news.clear()
                    if cancel.remaining() == 0:
                        cancel.cancel("timed_out")
                    cancel.check()
                    if progress is not None and start.progress != shown:
                        shown = start.progress
                        progress(*shown)
            if start.failure is not None:
                raise copy.copy(start.failure) from None

    def died(self, within: float = 0.0) -> bool:
        """Whether the server was started and has ended since, or ends in the next `within` seconds."""
        with self._lock:
            server = self._server
        return server is not None and server.wait(within)

    def close(self) -> None:
        """Stop the server, and whatever is being fetched; it is not started again."""
        with self._lock:
            self._closed = True
            self._closing.set()
            server, self._server = self._server, None
            start = self._start
        if start is not None:
            start.cancel.cancel("shutdown")
        if server is not None:
            server.stop()

    def _begin(self) -> "_Start":
        """The start under way, or a new one. The lock is held."""
        if self._start is None:
            self._start = _Start()
            if self._closed:
                self._start.cancel.cancel("shutdown")
            threading.Thread(target=self._run, args=(self._start,), name="mcp-local-model", daemon=True).start()
        return self._start

    def _run(self, start: "_Start") -> None:
        server: LocalProcess | None = None
        try:
            server = self._load(start)
        except MCPError as error:
            start.failure = error
            if not start.cancel.cancelled:
                logger.error("The local model cannot be used: {}", error)
        except Exception as error:  # noqa: BLE001  (whoever waits has to hear of it)
            logger.opt(exception=True).error("The local model cannot be used")
            start.failure = APIError(
                f"The local model could not be started ({type(error).__name__}).",
                hint="Look at the log; set MCP_LOCAL_MODEL to another GGUF file, or use a provider with a key.",
                provider=LOCAL,
            )
        finally:
            with self._lock:
                self._failure = start.failure
                self._start = None
                before = self._server
                self._server, late = (None, server) if self._closed else (server, None)
                self._used_at = time.monotonic()
            for over in (before, late):
                if over is not None:
                    over.stop()
            if self._idle_seconds and server is not None and late is None:
                watch = threading.Thread(target=self._end_when_idle, args=(server,), name="mcp-local-idle", daemon=True)
                watch.start()
            start.done.set()
            start.news.set()

    def _idle_left(self) -> float:
        """Seconds until it has been idle for long enough. The lock is held."""
        used_at = time.monotonic() if self._users else self._used_at
        return max(0.0, used_at + self._idle_seconds - time.monotonic())

    def _end_when_idle(self, server: LocalProcess) -> None:
        while True:
            with self._lock:
                if self._server is not server or not server.alive:
                    return
                left = self._idle_left()
                if not left:
                    self._server = None
                    break
            if self._closing.wait(left):
                return
        server.stop()
        logger.info("The local model has not been asked for {:g} s and is out of memory.", self._idle_seconds)

    def _load(self, start: "_Start") -> "LocalProcess":
        def note(done: int, total: int) -> None:
            start.phase, start.progress = "fetching", (done, total)
            start.news.set()

        start.cancel.check()
        path = ensure_model(self._settings, note, start.cancel)
        start.phase = "loading"
        alias = local_alias(self._settings)
        try:
            return LocalProcess(path, alias, start.cancel)
        except APIError:
            if self._settings.local_model.strip() or is_intact(path):
                raise
            logger.warning("The local model's file is damaged and is fetched again")
            path.unlink()
            return LocalProcess(ensure_model(self._settings, note, start.cancel), alias, start.cancel)


class _Start:
    """One attempt to get the server running, and what those who wait for it see."""

    def __init__(self) -> None:
        self.phase: LocalState = "loading"
        self.progress = (0, 0)
        self.cancel = CancelToken()
        self.news = threading.Event()
        self.done = threading.Event()
        self.failure: MCPError | None = None
