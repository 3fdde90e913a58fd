"""Sentences about a run's way through the cache."""

from collections.abc import Sequence
from decimal import Decimal

from mcp_core.formats import money, seconds
from mcp_core.models import CacheOutcome
from mcp_core.ui.text import escape

__all__ = ["hit_words", "miss_words", "part_words"]

_PARTS = {
    "messages": "the text that was sent",
    "system": "the system prompt",
    "model": "the model",
    "temperature": "the temperature",
    "max_tokens": "the most tokens allowed",
    "response_format": "the shape of the answer",
    "credential": "the key of the model server",
    "tenant": "the team",
    "server": "the address of the model server",
    "provider": "the provider",
    "protocol": "the protocol",
    "sample": "the number of the sample",
    "headers": "the extra headers",
    "query": "the extra query parameters",
    "(type)": "the type of the task",
    "(version)": "the version of the task's type",
    "(tenant)": "the team",
}


def miss_words(changed: Sequence[str] | None, *, model_asked: bool = True) -> str:
    """Why what a run needed was not in the cache, as a sentence.

    Args:
        changed: parts of the cache key that differ from the last like run; empty if none does, None if there is no
            such run.
        model_asked: whether it was a model's answer; else it was a result the task worked out by itself.
    """
    done, what = ("The model was asked", "answer") if model_asked else ("The work was done anew", "result")
    if changed is None:
        return f"{done}: this task has not been run like this before."
    if not changed:
        return (
            f"{done} though nothing changed since the last such run: the {what} had expired, been evicted or cleared, "
            "or the run was told not to use it."
        )
    named = [part_words(part) for part in changed]
    listed = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    return f"{done} because this changed since the last such run: {listed}."


def part_words(name: str) -> str:
    """A part of the cache key as people call it, for Markdown: executors name parts of their own."""
    return _PARTS.get(name) or escape(name.strip("()").replace("_", " "))


def hit_words(outcome: CacheOutcome) -> str:
    """Where an answer came from, how old it was and what it spared, as sentences."""
    age = outcome.age_seconds
    if outcome.outcome == "hit" and age == 0:
        words = "An equal call was under way, and its answer served here too."
    else:
        old = "" if age is None else f", {seconds(age)} old"
        words = f"The answer came from the cache{old}."
        if outcome.outcome == "stale":
            words += " It was out of date, but nobody had a newer one."
    saved = [] if outcome.saved_seconds is None else [seconds(outcome.saved_seconds)]
    if outcome.saved_usd is not None and outcome.saved_usd > Decimal(0):
        saved.append(money(outcome.saved_usd))
    return f"{words} That saved {' and '.join(saved)}." if saved else words
