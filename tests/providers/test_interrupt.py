"""A cancelled call ends at once, wherever it waits, and takes nobody else's connection with it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mcp_core.control import CancelToken
from mcp_core.errors import APIError, RunCancelledError, RunInterruptedError, RunTimeoutError
from mcp_core.providers.limits import Gate
from mcp_core.providers.registry import Providers
from tests.faulty import FaultyServer, chat, hang, sse, status, stream, stream_pieces, trickle
from tests.providers.conftest import Ears, MakeProviders, ask, scope

pytestmark = pytest.mark.integration


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does; fails after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


class Caller(threading.Thread):
    """Makes a call in the background and keeps how it ended."""

    def __init__(self, providers: Providers, token: CancelToken, **fields: Any) -> None:
        super().__init__(daemon=True)
        self.ears = Ears()
        self.ended: Any = None
        self._providers = providers
        self._scope = scope(self.ears, cancel=token, read_timeout=60.0, **fields)
        self.start()

    def run(self) -> None:
        try:
            self.ended = self._providers.complete(ask(), self._scope)
        except Exception as error:  # noqa: BLE001  (what it was is what the tests ask)
            self.ended = error

    def end(self) -> Any:
        self.join(60)
        assert not self.is_alive(), "the call hangs"
        return self.ended


STAGES = [
    ("before the headers", hang(), False),
    ("in the headers", hang(b"HTTP/1.1 200 OK\r\n"), False),
    ("in the body", hang(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), False),
    ("in a body without length", hang(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"), False),
    ("one byte at a time", trickle(b"x" * 1000, 0.05), False),
    ("before a stream", hang(), True),
    ("in a stream", sse(stream_pieces(["a"])[0], seconds=60), True),
    ("in a stream without length", hang(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"), True),
    ("in a trickling stream", sse(*[b":\n"] * 1000, seconds=0.05), True),
]


@pytest.mark.parametrize(("answer", "streamed"), [s[1:] for s in STAGES], ids=[s[0] for s in STAGES])
@pytest.mark.parametrize(
    ("reason", "error"),
    [("cancelled", RunCancelledError), ("timed_out", RunTimeoutError), ("shutdown", RunInterruptedError)],
)
def test_a_call_is_cut_at_every_stage(
    acme: Providers, server: FaultyServer, answer: Any, streamed: bool, reason: Any, error: type[Exception]
) -> None:
    server.default = answer
    token = CancelToken()
    caller = Caller(acme, token, stream=streamed)
    until(lambda: server.calls == 1)
    token.cancel(reason)
    assert isinstance(caller.end(), error)
    assert not caller.ears.of("retry")
    until(lambda: server.connections == 0)


# A whole body that trickles is read in pieces of 64 kB: there only the owner of the deadline can cut.
WATCHED = [stage for stage in STAGES if stage[0] != "one byte at a time"]


@pytest.mark.parametrize(("answer", "streamed"), [s[1:] for s in WATCHED], ids=[s[0] for s in WATCHED])
def test_a_deadline_cuts_without_help(acme: Providers, server: FaultyServer, answer: Any, streamed: bool) -> None:
    server.default = answer
    token = CancelToken(deadline=time.monotonic() + 0.3)
    assert isinstance(Caller(acme, token, stream=streamed).end(), RunTimeoutError)
    assert token.reason == "timed_out"


@pytest.fixture
def deaf() -> Iterator[str]:
    """An address whose queue of connections is full, so that connecting to it waits."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
            waiting.append(sock)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for sock in waiting:
            sock.close()


def test_connecting_is_cut(make: MakeProviders, deaf: str) -> None:
    providers = make(f'[providers.acme]\nbase_url = "{deaf}"\n')
    token = CancelToken()
    caller = Caller(providers, token)
    until(lambda: any(thread.name == "mcp-connect" for thread in threading.enumerate()))
    token.cancel()
    assert isinstance(caller.end(), RunCancelledError)


def test_connecting_takes_no_longer_than_allowed(
    make: MakeProviders, deaf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_core.providers.wire.CONNECT_TIMEOUT", 0.2)
    providers = make(f'[providers.acme]\nbase_url = "{deaf}"\n')
    ended = Caller(providers, CancelToken()).end()
    assert isinstance(ended, APIError)
    assert "did not accept a connection" in ended.message
    assert ended.transient


def test_a_tls_handshake_is_cut(make: MakeProviders, server: FaultyServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts, and never says a word
        providers = make(f'[providers.acme]\nbase_url = "https://127.0.0.1:{listener.getsockname()[1]}"\n')
        token = CancelToken()
        caller = Caller(providers, token)
        connected, _ = listener.accept()
        with connected:
            assert connected.recv(1) == b"\x16"  # the client's hello
            token.cancel()
            assert isinstance(caller.end(), RunCancelledError)


def test_waiting_for_a_retry_is_cut(acme: Providers, server: FaultyServer) -> None:
    server.default = status(429, headers={"Retry-After": "60"})
    token = CancelToken()
    caller = Caller(acme, token, max_retries=3)
    until(lambda: bool(caller.ears.of("retry")))
    token.cancel()
    assert isinstance(caller.end(), RunCancelledError)
    assert server.calls == 1


def test_a_wait_beyond_the_deadline_is_not_begun(acme: Providers, server: FaultyServer) -> None:
    server.default = status(429, headers={"Retry-After": "60"})
    ended = Caller(acme, CancelToken(deadline=time.monotonic() + 30), max_retries=3).end()
    assert isinstance(ended, APIError)
    assert ended.status == 429


def test_what_was_cancelled_before_is_not_begun(acme: Providers, server: FaultyServer) -> None:
    token = CancelToken()
    token.cancel()
    assert isinstance(Caller(acme, token).end(), RunCancelledError)
    assert server.calls == 0


def test_others_keep_their_connections(acme: Providers, server: FaultyServer) -> None:
    answer_now = threading.Event()

    def late(connection: Any) -> None:
        answer_now.wait(60)
        chat()(connection)

    server.script(hang())
    token = CancelToken()
    cancelled = Caller(acme, token, mode="bypass")
    until(lambda: server.calls == 1)
    server.script(late)
    other = Caller(acme, CancelToken(), mode="bypass")
    until(lambda: server.calls == 2)
    token.cancel()
    assert isinstance(cancelled.end(), RunCancelledError)
    answer_now.set()
    assert other.end().text == "hello"


def test_cancelling_after_the_end_harms_nobody(acme: Providers, server: FaultyServer) -> None:
    token = CancelToken()
    acme.complete(ask("a"), scope(cancel=token))
    token.cancel()
    assert acme.complete(ask("b"), scope()).text == "hello"
    assert server.connections == 1


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_connections_are_used_again(acme: Providers, server: FaultyServer, streamed: bool) -> None:
    server.default = stream("a", "b") if streamed else chat()
    for number in range(5):
        acme.complete(ask(str(number)), scope(stream=streamed))
    assert (server.calls, server.connections) == (5, 1)


def test_a_stream_that_stays_open_after_its_end_is_not_waited_for(acme: Providers, server: FaultyServer) -> None:
    server.default = sse(*stream_pieces(["a"]), b": bye\n\n", seconds=0.05, end=False, reset_after=False)
    server.script(sse(*stream_pieces(["a"])[:-1], b"data: [DONE]\n\n" + b": still here\n\n", end=True))
    assert acme.complete(ask("a"), scope(stream=True)).text == "a"
    assert acme.complete(ask("b"), scope(stream=True)).text == "a"


def test_a_gate_lets_so_many_in_and_the_next_when_one_leaves() -> None:
    gate = Gate(2)
    inside: list[int] = []
    leave = threading.Event()

    def visit(number: int) -> None:
        with gate.enter(CancelToken()):
            inside.append(number)
            leave.wait(60)

    visitors = [threading.Thread(target=visit, args=(number,)) for number in range(6)]
    for visitor in visitors:
        visitor.start()
    until(lambda: len(inside) == 2)
    assert gate.in_use == 2
    leave.set()
    for visitor in visitors:
        visitor.join(60)
    assert sorted(inside) == list(range(6))
    assert gate.in_use == 0


def test_waiting_at_a_gate_is_cut() -> None:
    gate = Gate(1)
    with gate.enter(CancelToken()):
        late = CancelToken(deadline=time.monotonic() + 0.05)
        with pytest.raises(RunTimeoutError), gate.enter(late):
            pytest.fail("it is full")
        token = CancelToken()
        threading.Timer(0.05, token.cancel).start()
        with pytest.raises(RunCancelledError), gate.enter(token):
            pytest.fail("it is full")
        assert gate.in_use == 1
    with gate.enter(CancelToken()):
        assert gate.in_use == 1
    assert gate.in_use == 0


def test_no_more_calls_at_once_than_allowed(make: MakeProviders, server: FaultyServer) -> None:
    providers = make(f'[providers.acme]\nbase_url = "{server.url}"\nmax_concurrency = 2\n')
    leave = threading.Event()
    busy, most = [0], [0]
    lock = threading.Lock()

    def slow(connection: Any) -> None:
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        leave.wait(0.05)
        with lock:
            busy[0] -= 1
        chat()(connection)

    server.default = slow
    callers = [Caller(providers, CancelToken(), mode="bypass") for _ in range(8)]
    assert [caller.end().text for caller in callers] == ["hello"] * 8
    assert most[0] == 2
