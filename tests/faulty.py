"""A model server that misbehaves on demand: real HTTP on a loopback port, scripted answer by answer.

::

    with FaultyServer() as server:
        server.script(status(429, headers={"Retry-After": "1"}), chat("hello"))
        ...                                   # the first call is turned away, the second answered
        assert server.calls == 2

An answer is a function that is given the `Connection` and writes whatever it likes to it, or nothing. What is not
scripted is answered with `default`, a good chat answer.
"""

import contextlib
import json
import select
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

__all__ = [
    "CERTIFICATE",
    "Answer",
    "Connection",
    "FaultyServer",
    "Received",
    "chat",
    "chat_body",
    "hang",
    "http",
    "huge",
    "messages",
    "models",
    "raw",
    "redirect",
    "reset",
    "sse",
    "status",
    "stream",
    "stream_pieces",
    "trickle",
]

_TLS = Path(__file__).parent / "providers" / "tls"
CERTIFICATE = _TLS / "certificate.pem"
"""Of the TLS server: signed by itself for `localhost` and 127.0.0.1, so nobody trusts it without being told to."""


@dataclass(frozen=True)
class Received:
    """A request as it came; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class Connection:
    """The client's connection, for an answer to write to."""

    def __init__(self, sock: socket.socket, received: Received, closing: threading.Event) -> None:
        self.sock = sock
        self.received = received
        self.closing = closing
        self.keep = False

    def send(self, data: bytes) -> None:
        """Write bytes."""
        self.sock.sendall(data)

    def wait(self, seconds: float) -> bool:
        """Do nothing for a while; returns, at once, whether the server is being closed or the client has gone."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.closing.wait(min(left, 0.02)):
                return True
            readable, _, _ = select.select([self.sock], [], [], 0)
            if readable and not self.sock.recv(1):
                return True
        return False

    def reset(self) -> None:
        """Break the connection off with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


Answer = Callable[[Connection], None]


def chat_body(text: str = "hello", *, usage: Any = ..., finish_reason: str = "stop") -> dict[str, Any]:
    """A whole answer of an OpenAI-compatible server; `usage=None` leaves the usage out."""
    body: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}],
    }
    if usage is ...:
        body["usage"] = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    elif usage is not None:
        body["usage"] = usage
    return body


def http(code: int, body: bytes, headers: dict[str, str] | None = None, *, keep: bool = True) -> Answer:
    """Any answer with a body of known length. A header given as an empty string is left out."""

    def answer(connection: Connection) -> None:
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
        if not keep:
            fields["Connection"] = "close"
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
        connection.send(f"HTTP/1.1 {code} Whatever\r\n{head}\r\n".encode() + body)
        connection.keep = keep

    return answer


def chat(text: str = "hello", **options: Any) -> Answer:
    """A good answer of an OpenAI-compatible server."""
    return http(200, json.dumps(chat_body(text, **options)).encode())


def messages(text: str = "hello", **fields: Any) -> Answer:
    """A good answer of an Anthropic-compatible server."""
    body = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 11, "output_tokens": 7},
    }
    return http(200, json.dumps({**body, **fields}).encode())


def models(*names: str) -> Answer:
    """A list of models."""
    return http(200, json.dumps({"object": "list", "data": [{"id": name} for name in names]}).encode())


def status(code: int, message: str = "no", *, headers: dict[str, str] | None = None) -> Answer:
    """An error as model servers send it."""
    return http(code, json.dumps({"error": {"message": message, "type": "some_error"}}).encode(), headers)


def redirect(location: str, code: int = 302) -> Answer:
    """A redirect."""
    return http(code, b"", {"Location": location})


def raw(data: bytes) -> Answer:
    """Bytes as they are, then the end."""
    return lambda connection: connection.send(data)


def reset(after: bytes = b"") -> Answer:
    """A TCP reset, at once or after some bytes."""

    def answer(connection: Connection) -> None:
        if after:
            connection.send(after)
            connection.wait(0.1)  # a reset overtakes what has not been read yet
        connection.reset()

    return answer


def hang(after: bytes = b"") -> Answer:
    """Silence until the client goes, at once or after some bytes."""

    def answer(connection: Connection) -> None:
        if after:
            connection.send(after)
        connection.wait(3600)

    return answer


def trickle(data: bytes, seconds: float) -> Answer:
    """One byte at a time."""

    def answer(connection: Connection) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.send(head.encode())
        for byte in data:
            connection.send(bytes([byte]))
            if connection.wait(seconds):
                return

    return answer


def huge(size: int, *, announced: bool = True) -> Answer:
    """A body of `size` bytes, with or without saying so first."""

    def answer(connection: Connection) -> None:
        length = f"Content-Length: {size}\r\n" if announced else "Connection: close\r\n"
        connection.send(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{length}\r\n".encode())
        block = b" " * 1_000_000
        for _ in range(size // len(block)):
            connection.send(block)

    return answer


def sse(*pieces: bytes, seconds: float = 0.0, end: bool = True, reset_after: bool = False) -> Answer:
    """A chunked event stream, one HTTP chunk for each piece.

    Args:
        seconds: pause after each piece.
        end: whether the stream is ended as HTTP wants it; otherwise the connection is just closed.
        reset_after: whether it is broken off with a TCP reset.
    """

    def answer(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pieces:
            connection.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            if seconds and connection.wait(seconds):
                return
        if reset_after:
            connection.wait(0.1)
            connection.reset()
        elif end:
            connection.send(b"0\r\n\r\n")
            connection.keep = True

    return answer


def stream(*texts: str, finish_reason: str | None = "stop", done: bool = True, **options: Any) -> Answer:
    """A streamed answer of an OpenAI-compatible server, one event for each text."""
    return sse(*stream_pieces(texts, finish_reason=finish_reason, done=done), **options)


def stream_pieces(texts: Iterable[str], *, finish_reason: str | None = "stop", done: bool = True) -> list[bytes]:
    """The events of `stream`, one by one."""
    pieces = [_event({"choices": [{"index": 0, "delta": {"content": text}}]}) for text in texts]
    if finish_reason:
        pieces.append(_event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]}))
        pieces.append(_event({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}}))
    if done:
        pieces.append(b"data: [DONE]\n\n")
    return pieces


def _event(payload: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"


class FaultyServer:
    """Listens on a free loopback port from its construction to `close`.

    Args:
        tls: whether to speak TLS, with `CERTIFICATE`.
    """

    def __init__(self, *, tls: bool = False) -> None:
        self.default: Answer = chat()
        self._scripts: dict[str | None, deque[Answer]] = {}
        self._received: list[Received] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._context: ssl.SSLContext | None = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(CERTIFICATE, _TLS / "key.pem")
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/v1"
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def received(self) -> list[Received]:
        """All requests so far, oldest first."""
        with self._lock:
            return list(self._received)

    @property
    def calls(self) -> int:
        """How many requests have come so far."""
        return len(self.received)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        with self._lock:
            return len(self._open)

    def script(self, *answers: Answer, path: str | None = None) -> None:
        """Give these answers to the next requests, in this order; to those of `path` alone where it is given."""
        with self._lock:
            self._scripts.setdefault(path, deque()).extend(answers)

    def close(self) -> None:
        """Stop listening and break off every connection."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        with self._lock:
            still_open = list(self._open)
        for sock in still_open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
        except OSError:
            sock.close()
            return
        with self._lock:
            self._open.add(sock)
        try:
            with sock.makefile("rb") as reader:
                while not self._closing.is_set() and (received := _read(reader)) is not None:
                    connection = Connection(sock, received, self._closing)
                    self._answer_for(received)(connection)
                    if not connection.keep:
                        return
        except OSError:
            pass  # the client has gone, which some tests want
        finally:
            with self._lock:
                self._open.discard(sock)
            with contextlib.suppress(OSError):
                sock.close()

    def _answer_for(self, received: Received) -> Answer:
        with self._lock:
            self._received.append(received)
            for path in (received.path, None):
                if scripted := self._scripts.get(path):
                    return scripted.popleft()
        return self.default


def _read(reader: Any) -> Received | None:
    if reader.peek(1)[:1] == b"\x16":  # TLS, where none is spoken
        return None
    words = reader.readline().decode("latin-1").split(" ")
    if len(words) != 3:  # the end, or something that is no HTTP
        return None
    method, path, _ = words
    headers: dict[str, str] = {}
    while (line := reader.readline().decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Received(method, path, headers, reader.read(int(headers.get("content-length", 0))))
