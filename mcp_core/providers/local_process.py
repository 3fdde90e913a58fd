"""The process that serves the local model: how it is started, leashed to this one, and ended."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import IO, cast

from loguru import logger

from mcp_core.control import CancelToken
from mcp_core.errors import APIError
from mcp_core.providers.config import LOCAL
from mcp_core.providers.redact import quote
from mcp_core.security.redaction import redactor

__all__ = ["LOCAL_PARALLEL", "LocalProcess"]

LOCAL_PARALLEL = 2
"""Requests the local model answers at the same time; each has a context of its own."""

_CONTEXT_TOKENS = 4096
_MOST_THREADS = 4
_STOP_SECONDS = 2.0
_PASSED_ON = (
    *("PATH", "HOME", "USERPROFILE", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "VIRTUAL_ENV"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
)

_OPENMP = {"OMP_WAIT_POLICY": "passive"}
"""Threads that wait for one another sleep. Spinning, two threads on two busy cores take up to twenty times as long."""


class LocalProcess:
    """The server's process, from its start to its end.

    Raises:
        APIError: it ended before it served.
    """

    def __init__(self, model: Path, alias: str, cancel: CancelToken) -> None:
        self.key = secrets.token_urlsafe(32)
        redactor.learn([self.key])
        self._said: deque[str] = deque(maxlen=20)
        root = str(Path(__file__).resolve().parents[2])
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mcp_core.providers.local_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # It needs neither the keys of the environment nor what the terminal sends to its group.
            env={**environment, **_OPENMP, "PYTHONPATH": os.pathsep.join([root, *filter(None, sys.path)])},
            start_new_session=True,
            text=True,
            errors="replace",
        )
        self._stdin = cast("IO[str]", self._process.stdin)
        self._stdout = cast("IO[str]", self._process.stdout)
        threading.Thread(target=self._listen, name="mcp-local-model-log", daemon=True).start()
        try:
            with cancel.on_cancel(self._process.kill):
                self.url = self._hand_over(model, alias)
        except BaseException:
            self.stop()
            cancel.check()  # then that is why it ended
            raise
        cancel.check()
        logger.info("The local model {} is served by process {}", alias, self._process.pid)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def wait(self, seconds: float) -> bool:
        """Wait for its end; returns whether it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return not self.alive

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def stop(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):  # it has ended already
            self._stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stdout.close()

    def _hand_over(self, model: Path, alias: str) -> str:
        asked = {
            "model": str(model),
            "alias": alias,
            "key": self.key,
            "n_ctx": _CONTEXT_TOKENS,
            "n_parallel": LOCAL_PARALLEL,
            # One processor is left to the app: with a thread on each, a busy machine is twenty times slower.
            "n_threads": max(1, min(_MOST_THREADS, _processors() - 1)),
        }
        try:
            self._stdin.write(json.dumps(asked) + "\n")
            self._stdin.flush()
            answer = self._stdout.readline()
            return f"{json.loads(answer)['url']}/v1"
        except (OSError, ValueError, KeyError):
            self._process.wait()
            last = next((line for line in reversed(self._said) if line.strip()), f"exit {self._process.returncode}")
            hint = "See `doctor`; set MCP_LOCAL_MODEL to another GGUF file, or use a provider with a key."
            if "libgomp" in last:
                hint = "Install the system package libgomp1 (Debian: apt-get install libgomp1), then run it again."
            raise APIError(
                f'The local model could not be started; it said: "{quote(last)}".',
                hint=hint,
                provider=LOCAL,
            ) from None

    def _listen(self) -> None:
        with cast("IO[str]", self._process.stderr) as lines:
            for line in lines:
                self._said.append(line.rstrip())
                logger.debug("local model: {}", line.rstrip())


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
