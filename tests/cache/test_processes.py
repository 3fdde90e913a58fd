"""Processes that ask the same at once: one asks the model, and a dead one keeps nobody waiting."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mcp_core.cache.locks import KeyLocks
from mcp_core.cache.singleflight import take_turn
from mcp_core.control import CancelToken
from mcp_core.errors import RunCancelledError, RunTimeoutError
from tests.cache.helpers import key_of, said, valkey_url
from tests.faulty import Connection, FaultyServer, chat

__all__ = ["said", "valkey_url"]

pytestmark = [pytest.mark.integration, pytest.mark.cache]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0

ASK = """
import json, sys
from mcp_core import LLMPromptConfig, MCPClient
from mcp_core.cache import redis, sqlite_access, sqlite_file
# A busy machine is no reason to go on without the cache here.
redis._SOCKET_SECONDS = sqlite_access._LOCK_SECONDS = sqlite_file.BUSY_SECONDS = 60.0
with MCPClient() as client:
    print("ready", flush=True)
    sys.stdin.readline()
    run = client.execute(LLMPromptConfig(template="Say hi", model="acme/m", max_retries=0))
    print(json.dumps({"text": run.output.text, "cache": run.cache.outcome}), flush=True)
"""

HOLD = """
import sys
from pathlib import Path
from mcp_core.cache.locks import KeyLocks
with KeyLocks(Path(sys.argv[1])).lock(sys.argv[2]) as attempt:
    print(attempt(), flush=True)
    sys.stdin.readline()
"""


def _spawn(program: str, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environ},
    )


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("backend", ["sqlite", "filesystem", "redis", "tiered"])
def test_three_processes_ask_once(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    data = tmp_path / "data"
    data.mkdir()
    answered = threading.Event()

    def late(connection: Connection) -> None:
        assert answered.wait(PATIENCE)
        chat("Hello.")(connection)

    with FaultyServer() as server:
        server.default = late
        (data / "providers.toml").write_text(f'version = 1\n[providers.acme]\nbase_url = "{server.url}"\n')
        environ = {"MCP_DATA_DIR": str(data), "MCP_LOCAL_MODEL": "off", "MCP_CACHE_BACKEND": backend}
        if backend in ("redis", "tiered"):
            # A database of its own, since the cache's names are the same in every panel.
            url = request.getfixturevalue("valkey_url")
            environ["MCP_REDIS_URL"] = url.removesuffix("/0") + ("/1" if backend == "redis" else "/2")
        processes = [_spawn(ASK, **environ) for _ in range(3)]
        try:
            assert [_line(process) for process in processes] == ["ready"] * 3
            for process in processes:
                _go(process)
            _wait_for(lambda: server.calls > 0)
            answered.set()
            told = [json.loads(_line(process)) for process in processes]
            assert [one["text"] for one in told] == ["Hello."] * 3
            assert sorted(one["cache"] for one in told) == ["hit", "hit", "miss"]
            assert server.calls == 1
            assert [process.wait(PATIENCE) for process in processes] == [0, 0, 0]
        finally:
            answered.set()
            for process in processes:
                process.kill()
                process.communicate()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "below" / "lock"
    holder = _spawn(HOLD, str(path), key_of("a"))
    try:
        assert _line(holder) == "True"
        locks = KeyLocks(path)
        with locks.lock(key_of("a")) as attempt, locks.lock(key_of("b")) as other:
            assert attempt() is False
            assert other() is True
            holder.send_signal(signal.SIGKILL)
            holder.wait(PATIENCE)
            _wait_for(attempt)
    finally:
        holder.kill()
        holder.communicate()


def test_whoever_waits_can_be_stopped_and_runs_out_of_time() -> None:
    waits: list[str] = []
    token = CancelToken()

    def refused() -> bool:
        if len(waits) == 1:
            token.cancel()
        return False

    with pytest.raises(RunCancelledError):
        take_turn(refused, token, lambda: waits.append("told"))
    assert waits == ["told"]
    with pytest.raises(RunTimeoutError):
        take_turn(lambda: False, CancelToken(time.monotonic() - 1), lambda: None)
    granted = iter([False, False, True])
    take_turn(lambda: next(granted), CancelToken(), lambda: waits.append("again"))
    assert waits == ["told", "again"]
    take_turn(lambda: True, CancelToken(), lambda: waits.append("never"))
    assert waits == ["told", "again"]


def test_without_a_place_for_the_lock_it_is_granted(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with KeyLocks(blocked / "lock").lock(key_of("a")) as attempt:
        assert attempt() is True
    locks = KeyLocks(tmp_path / "lock")
    with locks.lock("no key of ours") as one, locks.lock("no key of ours") as two:
        assert (one(), two()) == (True, False)


def test_threads_have_their_locks_apart(tmp_path: Path) -> None:
    locks = KeyLocks(tmp_path / "lock")
    inside: list[int] = []
    worst: list[int] = []

    def work() -> None:
        for _ in range(20):
            with locks.lock(key_of("a")) as attempt:
                take_turn(attempt, CancelToken(), lambda: None)
                inside.append(1)
                worst.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(worst) == 1
