"""The real local model: answers, streams, is cancelled, dies and comes back, and never outlives its parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest

from mcp_core.control import CancelToken
from mcp_core.errors import APIError, ConfigurationError, RunCancelledError, RunInterruptedError, RunTimeoutError
from mcp_core.providers import model_file
from mcp_core.providers.base import ChatRequest, Message
from mcp_core.providers.local import LocalModel
from mcp_core.providers.model_file import model_path
from mcp_core.providers.registry import Providers
from mcp_core.settings import Settings, load_settings
from tests.providers.conftest import Ears, MakeProviders, scope

pytestmark = pytest.mark.integration

MODEL = "local/smollm2-135m-instruct"


def ask(prompt: str = "Say hello.", **fields: Any) -> ChatRequest:
    fields.setdefault("max_tokens", 8)
    return ChatRequest(model=MODEL, messages=(Message("user", prompt),), temperature=0.0, seed=1, **fields)


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def state_of(providers: Providers) -> str:
    return providers.local.state


def pid_of(local: LocalModel) -> int:
    assert local._server is not None
    return local._server.pid


def test_it_answers_whole_streamed_and_by_schema(local: Providers, ears: Ears) -> None:
    assert state_of(local) == "ready"
    whole = local.complete(ask(), scope(read_timeout=60))
    assert whole.text.strip()
    assert (str(whole.cache), whole.cost_usd) == ("miss", Decimal(0))
    assert whole.usage.input_tokens > 5
    assert 1 <= whole.usage.output_tokens <= 8
    assert state_of(local) == "running"
    assert 0 < whole.attempts[0].waited_seconds < whole.attempts[0].duration_seconds, "it was started first"

    streamed = local.complete(ask("Count to three."), scope(ears, stream=True, read_timeout=60))
    assert ears.text == streamed.text
    assert streamed.usage.output_tokens >= 1
    assert streamed.first_token_seconds is not None

    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    typed = local.complete(ask("Give a number.", output_schema=schema, max_tokens=60), scope(read_timeout=60))
    assert isinstance(typed.data["n"], int)

    again = local.complete(ask(), scope())
    assert (str(again.cache), again.text) == ("hit", whole.text)
    assert local.check("local").ok
    assert local.list()[0].state == "running"


def test_it_speaks_both_protocols(local: Providers, make: MakeProviders) -> None:
    url, key = local.local.endpoint()
    providers = make(
        f'[providers.claude]\nprotocol = "anthropic"\nbase_url = "{url}"\napi_key_env = "LLAMA_KEY"\n'
        f'[providers.gpt]\nbase_url = "{url}"\napi_key_env = "LLAMA_KEY"\n'
        f'[providers.nokey]\nbase_url = "{url}"\n',
        env={"LLAMA_KEY": key},
    )
    for provider in ("claude", "gpt"):
        for streamed in (False, True):
            ears = Ears()
            request = ChatRequest(f"{provider}/smollm2-135m-instruct", (Message("user", "Say hello."),), max_tokens=6)
            answer = providers.complete(request, scope(ears, mode="bypass", stream=streamed, read_timeout=60))
            assert answer.text.strip()
            assert answer.finish_reason in ("stop", "length")
            assert not streamed or ears.text == answer.text
    assert providers.models()[0].models == ("claude/smollm2-135m-instruct",)
    with pytest.raises(APIError, match="did not accept the API key"):
        providers.complete(ChatRequest("nokey/m", (Message("user", "hi"),)), scope())


def test_too_long_an_input_is_told(local: Providers) -> None:
    with pytest.raises(APIError, match="too long") as caught:
        local.complete(ask("word " * 6000), scope(read_timeout=60))
    assert "Shorten" in caught.value.hint


def test_cancelling_in_mid_stream(local: Providers) -> None:
    token = CancelToken()
    ears = Ears()

    def hear(kind: str, data: Any) -> None:
        ears(kind, data)
        if kind == "token":
            token.cancel()

    with pytest.raises(RunCancelledError):
        local.complete(
            ask("Tell a long story.", max_tokens=2000), scope(hear, stream=True, cancel=token, read_timeout=60)
        )
    assert ears.text
    assert local.complete(ask(), scope(read_timeout=60)).text


def test_it_comes_back_when_it_is_killed(local: Providers, ears: Ears) -> None:
    local.complete(ask(), scope(mode="bypass", read_timeout=60))
    before = pid_of(local.local)
    os.kill(before, signal.SIGKILL)
    until(local.local.died)
    assert local.local.state == "ready"
    answer = local.complete(ask(), scope(mode="bypass", read_timeout=60))
    assert answer.text
    assert len(answer.attempts) == 1, "a server known to be dead is not asked"

    def kill_it_once(kind: str, data: Any) -> None:
        ears(kind, data)
        if kind == "token" and not ears.of("retry"):
            os.kill(pid_of(local.local), signal.SIGKILL)

    again = local.complete(
        ask("Tell a story.", max_tokens=40), scope(kill_it_once, mode="bypass", stream=True, read_timeout=60)
    )
    assert again.text
    assert [a.error is not None for a in again.attempts] == [True, False], "once more without max_retries"
    assert pid_of(local.local) != before


def test_many_at_once_start_it_once(local: Providers) -> None:
    got: list[tuple[str, str]] = []
    threads = [threading.Thread(target=lambda: got.append(local.local.endpoint())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == 8
    assert len(set(got)) == 1
    assert got[0][0].startswith("http://127.0.0.1:")
    assert len(got[0][1]) > 30


def test_its_key_is_in_no_command_line_and_no_environment(local: Providers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-you")
    _, key = local.local.endpoint()
    process = psutil.Process(pid_of(local.local))
    environment = process.environ()
    assert key not in " ".join(process.cmdline())
    assert key not in repr(environment)
    assert "sk-not-for-you" not in repr(environment)
    assert {c.laddr.ip for c in process.net_connections() if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_it_ends_when_it_is_closed(local: Providers) -> None:
    local.local.endpoint()
    pid = pid_of(local.local)
    local.close()
    until(lambda: not psutil.pid_exists(pid))
    with pytest.raises(RunInterruptedError):
        local.local.endpoint()
    assert not psutil.pid_exists(pid)


PARENT = """
import sys, time
from pathlib import Path
from mcp_core.providers.local import LocalModel
from mcp_core.settings import load_settings
local = LocalModel(load_settings({"MCP_DATA_DIR": sys.argv[1]}, directory=Path(sys.argv[1])))
local.endpoint()
print(local._server.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_never_outlives_its_parent(local: Providers, tmp_path: Path, how: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "data")], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout as lines:
        pid = int(lines.readline())
        assert psutil.pid_exists(pid)
        parent.send_signal(how)
        parent.wait(10)
    until(lambda: not psutil.pid_exists(pid))


COPY = "import shutil, sys; from pathlib import Path; Path(sys.argv[2]).mkdir(); shutil.copy(sys.argv[1], sys.argv[2])"
SLOW = """
import shutil, sys, time
from pathlib import Path
model, target, go = map(Path, sys.argv[1:])
target.mkdir()
(target / "part").write_bytes(b"x" * 5000)
while not go.exists():
    time.sleep(0.01)
shutil.copy(model, target)
"""


def tool(program: str, *arguments: Path) -> tuple[str, list[str]]:
    return "a tool", [sys.executable, "-c", program, *map(str, arguments)]


def settings(tmp_path: Path, **values: str) -> Settings:
    return load_settings({"MCP_DATA_DIR": str(tmp_path / "data"), **values}, directory=tmp_path)


def test_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUF and nothing else")
    local = LocalModel(settings(tmp_path, MCP_LOCAL_MODEL=str(own)))
    assert local.identity.startswith("own 21 ")
    for _ in range(2):  # it tries again
        with pytest.raises(APIError, match="could not be started") as caught:
            local.endpoint()
        assert "MCP_LOCAL_MODEL" in caught.value.hint
        assert local.state == "failed"
        assert local.failure is not None
    local.close()


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    local = LocalModel(settings(tmp_path, MCP_LOCAL_MODEL=str(tmp_path / "gone.gguf")))
    assert (local.state, local.identity) == ("absent", "gone")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        local.endpoint()
    local.close()


def test_a_damaged_file_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_model_file: Path
) -> None:
    given = settings(tmp_path)
    path = model_path(given)
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:  # of the right size, so that only loading it tells
        file.write(b"GGUF")
        file.truncate(model_file.MODEL_BYTES)
    copy = (
        "import shutil, sys; from pathlib import Path; Path(sys.argv[2]).mkdir(); shutil.copy(sys.argv[1], sys.argv[2])"
    )
    monkeypatch.setattr(
        model_file,
        "_commands",
        lambda directory: [
            ("a tool", [sys.executable, "-c", copy, str(local_model_file), str(directory / "unpacked")])
        ],
    )
    local = LocalModel(given)
    assert local.endpoint()[0]
    assert model_file.is_intact(path)
    local.close()


def test_fetching_shows_and_outlives_who_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_model_file: Path
) -> None:
    go = tmp_path / "go"
    monkeypatch.setattr(
        model_file, "_commands", lambda directory: [tool(SLOW, local_model_file, directory / "unpacked", go)]
    )
    local = LocalModel(settings(tmp_path))
    assert (local.state, local.progress) == ("absent", (0, 0))
    local.warm_up()
    until(lambda: local.progress == (5000, model_file.MODEL_BYTES))
    assert local.state == "fetching"
    seen: list[tuple[int, int]] = []
    with pytest.raises(RunTimeoutError):
        local.endpoint(CancelToken(deadline=time.monotonic() + 0.3), lambda done, total: seen.append((done, total)))
    assert seen == [(5000, model_file.MODEL_BYTES)]
    token = CancelToken()
    threading.Timer(0.1, token.cancel).start()
    with pytest.raises(RunCancelledError):
        local.endpoint(token)
    assert local.state == "fetching", "for the others"
    go.touch()
    assert local.endpoint()[0]
    until(lambda: local.state == "running")
    local.close()


def test_closing_ends_a_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_file, "_commands", lambda _: [tool("import time; time.sleep(60)")])
    local = LocalModel(settings(tmp_path))
    local.warm_up()
    until(lambda: local.state == "fetching")
    local.close()
    until(lambda: not [t for t in threading.enumerate() if t.name == "mcp-local-model"])
    with pytest.raises(RunInterruptedError):
        local.endpoint()


def test_a_failed_fetch_is_told_in_the_run_and_in_its_health(
    make: MakeProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        model_file,
        "_commands",
        lambda directory: [("a tool", [sys.executable, "-c", "raise SystemExit('no network')"])],
    )
    providers = make(local="")
    with pytest.raises(APIError, match="could not be fetched") as caught:
        providers.complete(ask(), scope(max_retries=2))
    assert '"no network"' in caught.value.message
    health = providers.check("local")
    assert not health.ok
    assert health.message == caught.value.message
    assert providers.list()[0].state == "failed"


def test_a_server_that_does_not_listen_is_ended_all_the_same(local: Providers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_core.providers.local_process._STOP_SECONDS", 0.2)
    local.local.endpoint()
    pid = pid_of(local.local)
    os.kill(pid, signal.SIGSTOP)
    local.close()
    assert not psutil.pid_exists(pid)


def test_whoever_waits_hears_of_a_mistake_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: Any) -> Path:
        raise KeyError("oops")

    monkeypatch.setattr("mcp_core.providers.local.ensure_model", mistaken)
    local = LocalModel(settings(tmp_path))
    with pytest.raises(APIError, match=r"could not be started \(KeyError\)"):
        local.endpoint()
    assert local.state == "failed"
    local.close()


def test_the_default_model_stands_for_the_one_served_in_its_place(
    make: MakeProviders, tmp_path: Path, local_model_file: Path
) -> None:
    own = tmp_path / "Own Model.gguf"
    own.symlink_to(local_model_file)
    providers = make(local=str(own))
    default = providers.complete(ask(), scope(read_timeout=60))
    assert default.text.strip()
    named = ChatRequest(model="local/own-model", messages=ask().messages, temperature=0.0, seed=1, max_tokens=8)
    assert providers.complete(named, scope(read_timeout=60)).text == default.text
    with pytest.raises(ConfigurationError, match="has no model"):
        providers.complete(ChatRequest(model="local/other", messages=ask().messages), scope())


def idle(make: MakeProviders, seconds: str) -> Providers:
    return make(local="", env={"MCP_LOCAL_MODEL_IDLE_SECONDS": seconds})


def test_it_leaves_memory_when_nobody_asks_and_comes_back(local: Providers, make: MakeProviders) -> None:
    providers = idle(make, "0.2")
    before = providers.complete(ask(), scope(mode="bypass", read_timeout=60))
    until(lambda: state_of(providers) == "ready", 60)
    assert providers.local.unloads_in_seconds is None
    again = providers.complete(ask(), scope(mode="bypass", read_timeout=60))
    assert again.text == before.text
    assert [attempt.error for attempt in again.attempts] == [None], "nobody notices"
    until(lambda: state_of(providers) == "ready", 60)
    assert providers.check("local").ok


def test_it_stays_while_it_is_used(local: Providers, make: MakeProviders, monkeypatch: pytest.MonkeyPatch) -> None:
    providers = idle(make, "0.05")
    looks = 0
    idle_left = LocalModel._idle_left

    def counted(self: LocalModel) -> float:
        nonlocal looks
        looks += 1
        return idle_left(self)

    monkeypatch.setattr(LocalModel, "_idle_left", counted)
    with providers.local.using():
        providers.local.endpoint()
        process = pid_of(providers.local)
        until(lambda: looks > 5, 60)
        assert state_of(providers) == "running"
        assert pid_of(providers.local) == process
        assert providers.local.unloads_in_seconds is None
    until(lambda: state_of(providers) == "ready", 60)
    until(lambda: not psutil.pid_exists(process), 60)


def test_it_may_stay_for_ever(local: Providers, make: MakeProviders) -> None:
    providers = idle(make, "0")
    providers.local.endpoint()
    assert providers.local.unloads_in_seconds is None
    assert not [thread for thread in threading.enumerate() if thread.name == "mcp-local-idle"]
    usual = idle(make, "")
    usual.local.endpoint()
    left = usual.local.unloads_in_seconds
    assert left is not None
    assert 0 < left <= 900
