"""What went wrong lately, one line each: retries, fallbacks, stale answers, errors."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mcp_core.models import Run

__all__ = ["Trouble", "TroubleKind", "troubles"]

TroubleKind = Literal["retry", "fallback", "stale", "error"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """One of them.

    Attributes:
        kind: `retry` (the same model was asked again), `fallback` (another was), `stale` (an expired answer was given),
            `error` (the run failed).
        provider: whose server it was; empty where no server had to do with it.
        text: what happened, one sentence.
    """

    run_id: str
    run_name: str
    at: datetime
    kind: TroubleKind
    provider: str
    text: str


def troubles(runs: Iterable[Run], limit: int) -> list[Trouble]:
    """What happened in these runs, the latest first, at most `limit`."""
    found = [trouble for run in runs for trouble in _of(run)]
    return sorted(found, key=lambda trouble: trouble.at, reverse=True)[:limit]


def _of(run: Run) -> Iterator[Trouble]:
    def made(at: datetime | None, kind: TroubleKind, provider: str, text: str) -> Trouble:
        return Trouble(run.id, run.name or run.type, at or run.created_at, kind, provider, text)

    for attempt, following in zip(run.attempts, run.attempts[1:], strict=False):
        # Several answered calls, such as samples, are no trouble.
        if attempt.error is not None:
            same = (attempt.provider, attempt.model) == (following.provider, following.model)
            text = attempt.error if same else f"{attempt.error} {following.provider}/{following.model} was asked next."
            yield made(attempt.started_at, "retry" if same else "fallback", attempt.provider, text)
    provider = run.attempts[-1].provider if run.attempts else (run.model or "").partition("/")[0]
    if run.cache == "stale":
        last = run.attempts[-1].error if run.attempts else None
        yield made(run.finished_at, "stale", provider, f"An expired answer was given. {last or ''}".rstrip())
    if run.error is not None:
        yield made(run.finished_at, "error", provider if run.attempts else "", run.error.message)
