"""Server-sent events, decoded from bytes as they come, however the network has cut them."""

import re
from collections.abc import Iterable, Iterator

from mcp_core.providers.failures import AnswerError

__all__ = ["MAX_EVENT_BYTES", "EventDecoder", "decode_events"]

MAX_EVENT_BYTES = 4_000_000
"""Longest single event. Real ones have some hundred bytes; a limit keeps a broken server from filling the memory."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class EventDecoder:
    """Turns chunks of bytes into the `data:` payloads of the events they complete.

    Comments, keep-alives, `event:`, `id:` and `retry:` lines are passed over; lines may end in LF, CRLF or CR; several
    `data:` lines of one event are joined by line feeds; bad UTF-8 becomes U+FFFD.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._limit = max_event_bytes
        self._buffer = bytearray()
        self._scanned = 0
        self._data: list[bytes] = []
        self._size = 0
        self._at_start = True
        self._drop_line_feed = False

    def feed(self, chunk: bytes) -> list[str]:
        """Payloads of the events that `chunk` completes.

        Raises:
            AnswerError: an event is longer than the limit.
        """
        buffer = self._buffer
        buffer += chunk
        if self._at_start:
            if len(buffer) < len(_BOM) and _BOM.startswith(bytes(buffer)):
                return []
            if buffer.startswith(_BOM):
                del buffer[: len(_BOM)]
            self._at_start = False
        if self._drop_line_feed and buffer:
            if buffer[0] == 0x0A:
                del buffer[0]
            self._drop_line_feed = False
        events: list[str] = []
        start = 0
        for end in _LINE_END.finditer(buffer, self._scanned):
            self._line(bytes(buffer[start : end.start()]), events)
            start = end.end()
            # A CR that ends the chunk may be the first half of a CRLF whose LF is yet to come.
            self._drop_line_feed = start == len(buffer) and end[0] == b"\r"
        del buffer[:start]
        self._scanned = len(buffer)
        if self._size + len(buffer) > self._limit:
            raise AnswerError(
                f"sent an event of more than {self._limit / 1e6:.3g} MB",
                hint="Check that `base_url` names a chat model server.",
            )
        return events

    def close(self) -> list[str]:
        """The payload of an event whose lines are whole but whose closing empty line never came."""
        events: list[str] = []
        self._line(b"", events)
        return events

    def _line(self, line: bytes, events: list[str]) -> None:
        if not line:
            if self._data:
                events.append(b"\n".join(self._data).decode("utf-8", "replace"))
                self._data.clear()
                self._size = 0
        elif line.startswith(b"data:"):
            value = line[6:] if line[5:6] == b" " else line[5:]
            self._data.append(value)
            self._size += len(value) + 1
        elif line == b"data":
            self._data.append(b"")
            self._size += 1


def decode_events(chunks: Iterable[bytes], max_event_bytes: int = MAX_EVENT_BYTES) -> Iterator[str]:
    """The `data:` payloads in a stream of bytes, each as soon as it is complete."""
    decoder = EventDecoder(max_event_bytes)
    for chunk in chunks:
        yield from decoder.feed(chunk)
    yield from decoder.close()
