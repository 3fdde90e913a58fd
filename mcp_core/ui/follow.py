"""What a run's events add up to while it goes on. Knows nothing of pages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mcp_core.models import RunEvent

__all__ = ["Following"]


@dataclass(slots=True)
class Following:
    """A reader's place in the events of one run, and what it has read so far.

    Attributes:
        seq: the last event read.
        tokens: pieces of text that came, which is about the number of tokens; an event may join several.
        retries: `retry` {attempt, wait_seconds, error} and `fallback` {from, to, error} events, in order.
        progress: the last `progress` event: {done, total, unit}; None where there was none.
        cache: the last `cache` event: {outcome, age_seconds}; None before the cache was asked.
        cancelling: whether the reader has asked for its end.
        note: the last `log` or `wait` line meant for people; empty where there was none.
    """

    seq: int = 0
    tokens: int = 0
    first_token_at: datetime | None = None
    last_token_at: datetime | None = None
    retries: list[Mapping[str, Any]] = field(default_factory=list)
    progress: Mapping[str, Any] | None = None
    cache: Mapping[str, Any] | None = None
    cancelling: bool = False
    note: str = ""
    _pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The answer so far."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    @property
    def token_seconds(self) -> float | None:
        """Time from the first to the last piece of text; None before the second."""
        if self.first_token_at is None or self.last_token_at is None or self.tokens < 2:
            return None
        return (self.last_token_at - self.first_token_at).total_seconds()

    def take(self, events: Iterable[RunEvent]) -> None:
        """Read on. Events that were read before are left out, so that an overlap does no harm."""
        for event in events:
            if event.seq <= self.seq:
                continue
            self.seq = event.seq
            if event.kind == "token":
                self._token(event)
            elif event.kind in ("retry", "fallback"):
                self.retries.append(event.data)
                self._start_again()
            elif event.kind == "progress":
                # A new step, such as the next sample, has an answer of its own.
                if self.progress is not None and event.data.get("done") != self.progress.get("done"):
                    self._start_again()
                self.progress = event.data
            elif event.kind == "cache":
                self.cache = event.data
            elif event.kind in ("log", "wait"):
                self.note = str(event.data.get("message", ""))

    def _token(self, event: RunEvent) -> None:
        text = event.data.get("text")
        if not isinstance(text, str) or not text:
            return
        self._pieces.append(text)
        count = event.data.get("count", 1)
        self.tokens += count if isinstance(count, int) and count > 0 else 1
        self.first_token_at = self.first_token_at or event.at
        self.last_token_at = event.at

    def _start_again(self) -> None:
        self._pieces = []
        self.tokens = 0
        self.first_token_at = self.last_token_at = None
