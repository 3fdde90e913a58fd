"""A model server on loopback that answers what it is told to: real HTTP, no model."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["ModelServer", "serving"]


class ModelServer(ThreadingHTTPServer):
    """Speaks the OpenAI protocol, streamed and not.

    Attributes:
        answer: the words it answers with.
        status: the HTTP status; anything but 200 comes with an error document.
        hold: a completion waits until this is set.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = ["A ", "short ", "answer."]
        self.status = 200
        self.hold = threading.Event()
        self.hold.set()
        self.asked = threading.Event()
        self.requests: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        self._send(self.server.status, "application/json", {"object": "list", "data": [{"id": "small"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        self.server.asked.set()
        self.server.hold.wait(300)
        if self.server.status != 200:
            self._send(self.server.status, "application/json", {"error": {"message": "It is out of order."}})
            return
        usage = {"prompt_tokens": 7, "completion_tokens": len(self.server.answer)}
        if not body.get("stream"):
            message = {"role": "assistant", "content": "".join(self.server.answer)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._send(200, "application/json", {"choices": [choice], "usage": usage})
            return
        chunks: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}
            for word in self.server.answer
        ]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage})
        text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        self._send(200, "text/event-stream", text)

    def _send(self, status: int, content_type: str, content: Any) -> None:
        data = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving() -> Iterator[ModelServer]:
    """A server, until the end of the block."""
    with ModelServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.hold.set()
            server.shutdown()
            thread.join()
