"""The ordered event log of a run that lives in this process."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mcp_core.models import CacheOutcome, RunEvent, utcnow

__all__ = ["EventLog"]


class EventLog:
    """Events of one run, in order from 1; readers wait for what comes next. Thread-safe.

    Tokens are kept as they came, so that a reader that starts late sees the whole answer.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self._events: list[RunEvent] = []
        self._changed = threading.Condition()
        self._closed = False
        self._stored = 0

    def append(self, kind: str, data: Mapping[str, Any] | None = None) -> None:
        """Add an event; after `close` it is dropped: a finished run says nothing more."""
        with self._changed:
            if self._closed:
                return
            self._events.append(RunEvent(self.run_id, len(self._events) + 1, kind, utcnow(), dict(data or {})))
            self._changed.notify_all()

    def close(self) -> None:
        """No more events will come; readers end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def after(self, seq: int) -> list[RunEvent]:
        """Events later than `seq` that are there now."""
        with self._changed:
            return self._events[seq:]

    def follow(self, seq: int = 0) -> Iterator[RunEvent]:
        """Events later than `seq`, as they come, until the run has finished."""
        while True:
            with self._changed:
                while len(self._events) <= seq and not self._closed:
                    self._changed.wait()
                batch = self._events[seq:]
            if not batch:
                return
            yield from batch
            seq += len(batch)

    def durable(self) -> list[RunEvent]:
        """Events that stay in the history: all but the tokens, whose text is the run's output."""
        with self._changed:
            return [event for event in self._events if event.kind != "token"]

    def cache_outcome(self) -> CacheOutcome:
        """What the run's last look into the cache found; `bypass` where it did not look."""
        with self._changed:
            data = next((event.data for event in reversed(self._events) if event.kind == "cache"), {})
        return CacheOutcome(outcome=data.get("outcome", "bypass"), key=data.get("key"))

    def text_so_far(self) -> str:
        """The tokens of the answer that was coming; a retry, or another model, begins it anew."""
        pieces: list[str] = []
        for event in self.after(0):
            if event.kind == "token":
                pieces.append(event.data.get("text", ""))
            elif event.kind in ("retry", "fallback"):
                pieces.clear()
        return "".join(pieces)

    def unstored(self) -> list[RunEvent]:
        """Events not handed out by this method before, with tokens in a row joined into one."""
        with self._changed:
            fresh = self._events[self._stored :]
            self._stored = len(self._events)
        joined: list[RunEvent] = []
        for event in fresh:
            last = joined[-1] if joined else None
            if last is not None and last.kind == event.kind == "token":
                text = last.data.get("text", "") + event.data.get("text", "")
                # The later number: a reader that continues after it has missed nothing.
                count = last.data.get("count", 1) + event.data.get("count", 1)
                joined[-1] = replace(event, data={"text": text, "count": count})
            else:
                joined.append(event)
        return joined
