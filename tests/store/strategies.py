"""Any run at all, for properties. Apart from the samples, which other processes import without hypothesis."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from mcp_core.models import Artifact, Attempt, CacheOutcome, Run, RunError, RunOutput, RunStatus, Usage, new_id

__all__ = ["runs"]

# Text of a model may hold anything but lone surrogates, which pydantic refuses in typed text.
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_words = _text.filter(lambda text: "\0" not in text)
_times = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (zone follows)
_money = st.none() | st.decimals(0, 10_000, allow_nan=False, allow_infinity=False, places=12)
_seconds = st.floats(0, 1e6)
_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)
_tables = st.dictionaries(_text, _json_values, max_size=3)

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
        data=_json_values,
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
