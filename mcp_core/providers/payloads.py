"""Reading the parts that the answers of all protocols have in common, without trusting any of them."""

import json
from collections.abc import Mapping
from typing import Any

from mcp_core.models import Usage
from mcp_core.providers.failures import AnswerError

__all__ = ["count_of", "event_payload", "listed_models", "stream_cut", "stream_failure", "usage_of"]

_PASSING = ("overloaded", "rate_limit", "server_error", "internal", "timeout", "unavailable", "api_error")


def count_of(value: object) -> int | None:
    """A number of tokens; None for whatever is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12 or value != int(value):
        return None
    return int(value)


def usage_of(found: object, input_field: str, output_field: str) -> Usage | None:
    """Usage from a server's own count; None where either number is missing or senseless."""
    if not isinstance(found, Mapping):
        return None
    given, made = count_of(found.get(input_field)), count_of(found.get(output_field))
    return None if given is None or made is None else Usage(input_tokens=given, output_tokens=made)


def event_payload(event: str) -> Mapping[str, Any]:
    """The JSON object of an event.

    Raises:
        AnswerError: it is none; transient, since a stream that was cut by a proxy looks like that.
    """
    try:
        payload = json.loads(event)
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, Mapping):
        raise AnswerError(
            f'sent an event that is not a JSON object: "{event[:100]}"',
            hint="Try again; if it stays so, check that the provider's `protocol` fits its server.",
            transient=True,
        )
    return payload


def stream_cut() -> AnswerError:
    """The stream ended before the answer did."""
    return AnswerError(
        "ended the stream in the middle of the answer",
        hint="Try again; if it stays so, a proxy in between may be cutting long answers.",
        transient=True,
    )


def stream_failure(error: object) -> AnswerError:
    """The failure a server reports inside a stream that began well."""
    fields = error if isinstance(error, Mapping) else {"message": error}
    said = fields.get("message") or json.dumps(error)
    kind, code = str(fields.get("type") or ""), fields.get("code")
    passing = any(word in kind for word in _PASSING) or (isinstance(code, int) and (code >= 500 or code == 429))
    return AnswerError(
        f'broke off with an error; it said: "{str(said)[:200]}"',
        hint="Try again later, or choose another model."
        if passing
        else "Change what the server names, then try again.",
        transient=passing,
    )


def listed_models(payload: Mapping[str, Any]) -> list[str]:
    """Model names in `{"data": [{"id": ...}]}`, in the server's order, without repeats."""
    data = payload.get("data")
    if not isinstance(data, list):
        raise AnswerError("sent no list of models", hint="Name the provider's `models` in its configuration.")
    names = [row["id"] for row in data if isinstance(row, Mapping) and isinstance(row.get("id"), str)]
    return list(dict.fromkeys(names))
