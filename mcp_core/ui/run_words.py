"""Sentences about a run's way through the cache."""

from collections.abc import Sequence

__all__ = ["miss_words"]

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
}


def miss_words(changed: Sequence[str] | None) -> str:
    """Why a run's answer was not in the cache, as a sentence.

    Args:
        changed: parts of the cache key that differ from the last like run; empty if none does, None if there is no
            such run.
    """
    if changed is None:
        return "The model was asked: this task has not been run like this before."
    if not changed:
        return (
            "The model was asked though nothing changed since the last such run: the answer had expired, been evicted "
            "or cleared, or the run was told to ask again."
        )
    named = [_PARTS.get(part, part.replace("_", " ")) for part in changed]
    listed = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    return f"The model was asked because this changed since the last such run: {listed}."
