"""Runs and events for tests."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from mcp_core.models import (
    CacheOutcome,
    Run,
    RunEvent,
    RunOutput,
    RunStatus,
    Usage,
    new_id,
    utcnow,
)

__all__ = ["NOON", "events_of", "finished", "running"]

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def running(**changes: Any) -> Run:
    """A run that `me` runs."""
    values = {"id": new_id(), "type": "llm_prompt", "name": "summarise", "owner": "me", "status": RunStatus.RUNNING}
    return Run(**{**values, "started_at": utcnow(), **changes})


def finished(**changes: Any) -> Run:
    """A run that succeeded after two seconds."""
    at = changes.pop("at", None) or utcnow()
    values = {
        "status": RunStatus.SUCCEEDED,
        "created_at": at - timedelta(seconds=3),
        "started_at": at - timedelta(seconds=2),
        "finished_at": at,
        "model": "local/small",
        "output": RunOutput(text="A short answer."),
        "usage": Usage(input_tokens=10, output_tokens=5),
        "cost_usd": Decimal("0.25"),
        "cache": CacheOutcome(outcome="miss", key="k1"),
    }
    return running(**{**values, **changes})


def events_of(run: Run, *kinds: str, first: int = 1) -> list[RunEvent]:
    """Events of these kinds, numbered from `first`."""
    return [
        RunEvent(run_id=run.id, seq=seq, kind=kind, at=utcnow(), data={"text": f"{kind} {seq}"})
        for seq, kind in enumerate(kinds, first)
    ]
