"""How a run looks: its state, its answer, its error and its figures, alike wherever it is shown."""

import json
from typing import Any

import streamlit as st

from mcp_core.models import Artifact, CacheOutcome, Run, RunError
from mcp_core.ui import text
from mcp_core.ui.palette import BADGES, ICONS, label

__all__ = ["answer", "answering_seconds", "badges", "cache_words", "draw_markdown", "failure", "figures"]

LONGEST_SHOWN = 200_000
"""Characters of an answer that a page draws; the rest is in the download."""


def badges(run: Run) -> None:
    """State, cache outcome and model in one line."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        _badge(run.status.value)
        if run.status == "succeeded":
            st.badge(
                cache_words(run.cache), icon=ICONS[run.cache.outcome], color=_colour(run.cache.outcome), width="content"
            )
        if run.stand_ins:
            st.badge("Answered by a fallback", icon=":material/alt_route:", color="orange", width="content")
        if run.model:
            st.caption(text.escape(text.in_place_of(run.stand_ins, run.model)), width="content")
    if run.stand_ins and (reason := _why_not(run)):
        st.caption(f":material/alt_route: {text.sentences(reason)}")


def _why_not(run: Run) -> str | None:
    """What the model asked for last had to say for itself; None where it was not asked."""
    errors = [a.error for a in run.attempts if f"{a.provider}/{a.model}" == run.model and a.error is not None]
    return errors[-1] if errors else None


def _badge(state: str) -> None:
    st.badge(label(state), icon=ICONS[state], color=_colour(state), width="content")


def _colour(state: str) -> Any:
    return BADGES[state]


def cache_words(cache: CacheOutcome) -> str:
    """What the cache did, in a few words."""
    match cache.outcome:
        case "hit":
            return f"From the cache, {text.seconds(cache.age_seconds)} old" if cache.age_seconds else "From the cache"
        case "stale":
            return f"From the cache, outdated ({text.seconds(cache.age_seconds)} old)"
        case "miss":
            return "Asked the model"
    return "Cache not asked"


def failure(error: RunError) -> None:
    """Why a run did not succeed, and what to do."""
    if error.type == "RunCancelledError":
        st.info(text.sentences(error.hint or error.message), title=_error_title(error.type), icon=":material/cancel:")
        return
    st.error(text.sentences(error.message), title=_error_title(error.type), icon=":material/error:")
    if error.hint:
        st.markdown(f":material/lightbulb: {text.sentences(error.hint)}")


def _error_title(kind: str) -> str:
    titles = {
        "ConfigurationError": "Something in the task needs mending",
        "PermissionDeniedError": "This is not allowed",
        "RunTimeoutError": "The run took too long",
        "RunCancelledError": "The run was cancelled",
        "RunInterruptedError": "The run was interrupted",
        "ResourceLimitError": "The run needed more than it may have",
        "APIError": "The model server did not answer as it should",
        "CircuitOpenError": "The model server is left alone for a while",
        "CacheError": "The cache failed",
        "StoreError": "The history failed",
    }
    return titles.get(kind, "The run failed")


def answer(run: Run) -> None:
    """What the run answered: each sample by itself, Markdown made harmless, data as JSON, files by name."""
    samples = _samples(run.output.data)
    if samples:
        for number, sample in enumerate(samples, start=1):
            st.caption(f"Answer {number} of {len(samples)}")
            _one_answer(str(sample.get("text", "")), sample.get("data"))
    else:
        _one_answer(run.output.text, run.output.data)
    for artifact in run.output.artifacts:
        _artifact(artifact)


def _samples(data: Any) -> list[dict[str, Any]]:
    found = data.get("samples") if isinstance(data, dict) else None
    fits = isinstance(found, list) and all(isinstance(item, dict) and "text" in item for item in found)
    return found if fits and isinstance(found, list) else []


def _one_answer(words: str, data: Any) -> None:
    with st.container(border=True):
        if data is not None:
            st.json(data)
            if not words or _same(words, data):
                return
        if words.strip():
            draw_markdown(words)
        elif data is None:
            st.caption("The answer is empty.")


def _same(words: str, data: Any) -> bool:
    try:
        return bool(json.loads(words) == data)
    except ValueError:
        return False


def draw_markdown(words: str) -> None:
    """Foreign Markdown, without what could load or hide an address; code with its own copy button."""
    for part in text.markdown_parts(words[:LONGEST_SHOWN]):
        if part.is_code:
            st.code(part.text, language=part.language, wrap_lines=True)
        else:
            st.markdown(part.text)
    if len(words) > LONGEST_SHOWN:
        st.caption(f"The first {LONGEST_SHOWN:,} of {len(words):,} characters; the download has them all.")


def _artifact(artifact: Artifact) -> None:
    st.markdown(f":material/attach_file: {text.escape(artifact.name)} ({text.file_size(artifact.size_bytes)})")


def figures(run: Run) -> None:
    """Time, tokens, speed, cost and savings, with their units."""
    duration = run.duration_seconds
    hit = run.cache.outcome in ("hit", "stale")
    with st.grid(4, min_column_width=130, gap="small"):
        st.metric("Time", text.seconds(duration), help=_time_help(run))
        st.metric(
            "Tokens",
            f"{run.usage.output_tokens:,}",
            help=f"{text.count(run.usage.input_tokens, 'tokens')} in the prompt, "
            f"{text.count(run.usage.output_tokens, 'tokens')} in the answer, as the model server counted them.",
        )
        if hit:
            st.metric("Saved", text.seconds(run.cache.saved_seconds), help=_saved_help(run.cache))
        else:
            st.metric(
                "Speed",
                text.rate(run.usage.output_tokens, answering_seconds(run)),
                help="Tokens of the answer over the time the model took for it. The start of the local model, waits "
                "for a limit and attempts that failed are left out.",
            )
        st.metric("Cost", text.money(run.cost_usd), help=_cost_help(run))


def answering_seconds(run: Run) -> float | None:
    """Seconds model servers took for what they answered; the run's own time where none was asked, None before that."""
    answered = [attempt for attempt in run.attempts if attempt.error is None] or run.attempts
    if not answered:
        return run.duration_seconds
    return sum(attempt.duration_seconds - attempt.waited_seconds for attempt in answered)


def _time_help(run: Run) -> str:
    tries = f" It took {text.count(len(run.attempts), 'attempts')}." if len(run.attempts) > 1 else ""
    return f"From start to finish. Waited {text.seconds(run.queued_seconds)} in the queue.{tries}"


def _saved_help(cache: CacheOutcome) -> str:
    usd = text.money(cache.saved_usd)
    return f"Time the cache spared, against the original call. Money spared: {usd}.".replace("$", "\\$")


def _cost_help(run: Run) -> str:
    if run.cost_usd is None:
        return "Nobody knows the price of this model. Prices can be set in `providers.toml`."
    if run.cache.outcome == "hit":
        return "An answer from the cache costs nothing."
    return "By the provider's price for these tokens; the built-in model is free."
