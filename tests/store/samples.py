"""Runs and events for tests."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from mcp_core.models import (
    Artifact,
    Attempt,
    CacheOutcome,
    Run,
    RunError,
    RunEvent,
    RunOutput,
    RunStatus,
    Usage,
    new_id,
    utcnow,
)

__all__ = ["NOON", "events_of", "finished", "json_values", "running", "runs"]

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


# Text of a model may hold anything but lone surrogates, which pydantic refuses in typed text.
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_words = _text.filter(lambda text: "\0" not in text)
_times = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (zone follows)
_money = st.none() | st.decimals(0, 10_000, allow_nan=False, allow_infinity=False, places=12)
_seconds = st.floats(0, 1e6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)
_tables = st.dictionaries(_text, json_values, max_size=3)

runs = st.builds(
    Run,
    id=st.builds(new_id),
    type=_words,
    name=_words,
    status=st.sampled_from(RunStatus),
    actor_id=_words,
    team=_words,
    config=_tables,
    variables=_tables,
    tags=st.lists(_words, max_size=3).map(tuple),
    model=st.none() | _words,
    output=st.builds(
        RunOutput,
        text=_text,
        data=json_values,
        artifacts=st.lists(st.builds(Artifact, name=_text, media_type=_text, sha256=_text), max_size=2).map(tuple),
    ),
    usage=st.builds(Usage, input_tokens=st.integers(0, 2**40), output_tokens=st.integers(0, 2**40)),
    cost_usd=_money,
    cache=st.builds(
        CacheOutcome,
        outcome=st.sampled_from(["hit", "miss", "stale", "bypass"]),
        age_seconds=st.none() | _seconds,
        saved_usd=_money,
        saved_seconds=st.none() | _seconds,
        key=st.none() | _words,
        original_run_id=st.none() | _text,
        parts=st.dictionaries(_text, _text, max_size=2),
    ),
    attempts=st.lists(
        st.builds(
            Attempt,
            number=st.integers(1, 9),
            provider=_text,
            model=_text,
            status=st.none() | st.integers(100, 599),
            started_at=_times,
            duration_seconds=_seconds,
            error=st.none() | _text,
        ),
        max_size=2,
    ).map(tuple),
    error=st.none() | st.builds(RunError, type=_words, message=_text, hint=_text),
    created_at=_times,
    started_at=st.none() | _times,
    finished_at=st.none() | _times,
    owner=st.none() | _words,
)
"""Any run at all, without ties to others."""
