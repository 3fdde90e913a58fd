"""One clear sentence, and what to do, for everything a model server can do wrong."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from mcp_core.errors import APIError
from mcp_core.models import utcnow
from mcp_core.providers.redact import mask_bytes, quote

__all__ = [
    "MAX_RETRY_AFTER",
    "TRANSIENT",
    "AnswerError",
    "Target",
    "http_failure",
    "is_the_servers_fault",
    "located",
    "retry_after_seconds",
]

TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""HTTP statuses after which the same request may succeed."""

MAX_RETRY_AFTER = 60.0
"""Longest wait a server may ask for, seconds."""


class AnswerError(APIError):
    """An answer that cannot be read. Raised by protocols and decoders, which know neither provider nor model.

    Args:
        what: what the server did, to follow its name: "sent an answer that is not JSON".
    """

    def __init__(self, what: str, *, hint: str = "", transient: bool = False) -> None:
        super().__init__(f"The model server {what}.", hint=hint, transient=transient)
        self.what = what


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a call is for, as far as a sentence about its failure needs it.

    Attributes:
        model: the model's name at the provider; empty for a request that is about none, such as the list of models.
        api_key_env: name of the setting that holds the key; empty where the provider takes none.
        api_key: the key, to be masked wherever the server repeats it.
    """

    provider: str
    model: str
    base_url: str
    api_key_env: str = ""
    api_key: str | None = None
    known_models: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`provider/model`, or the provider alone."""
        return f"{self.provider}/{self.model}" if self.model else self.provider

    @property
    def host(self) -> str:
        """Host and port of the server."""
        return urlsplit(self.base_url).netloc.rpartition("@")[2]

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no text may show."""
        return (self.api_key,) if self.api_key else ()


def is_the_servers_fault(error: APIError) -> bool:
    """Whether the same request may succeed at another time or at another server."""
    return error.transient or error.status is None or error.status in (200, *range(500, 600))


def located(error: AnswerError, target: Target, *, status: int | None = 200) -> APIError:
    """The same failure, naming provider and model."""
    return APIError(
        f"{target.name} at {target.host} {quote(error.what, target.secrets, limit=400)}.",
        hint=error.hint,
        provider=target.provider,
        status=status,
        transient=error.transient,
    )


def http_failure(target: Target, status: int, headers: Mapping[str, str], body: bytes) -> APIError:
    """What an answer with an HTTP status other than 200 means."""
    said = _server_message(body, target)
    what, hint = _explain(target, status, headers, said)
    return APIError(
        f'{what} (HTTP {status}); it said: "{said}".' if said else f"{what} (HTTP {status}).",
        hint=hint,
        provider=target.provider,
        status=status,
        retry_after=retry_after_seconds(headers.get("Retry-After")),
        transient=status in TRANSIENT,
    )


def retry_after_seconds(value: str | None) -> float | None:
    """Seconds a `Retry-After` header asks to wait, from a number or a date, between 0 and 60; None where senseless."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - utcnow()).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    # `not >=` also turns away NaN, which float() accepts.
    if not seconds >= 0:
        return 0.0 if seconds < 0 else None
    return min(seconds, MAX_RETRY_AFTER)


def _server_message(body: bytes, target: Target) -> str:
    body = mask_bytes(body, target.api_key)  # before anything is cut: half a key is one, too
    try:
        found = json.loads(body[:100_000])
    except (ValueError, RecursionError):
        return quote(body[:8000].decode("utf-8", "replace"), target.secrets)
    for name in ("error", "message", "detail", "msg"):
        while isinstance(found, Mapping) and name in found:
            found = found[name]
    return quote(found if isinstance(found, str) else json.dumps(found, ensure_ascii=False), target.secrets)


def _explain(target: Target, status: int, headers: Mapping[str, str], said: str) -> tuple[str, str]:
    name, host = target.name, target.host
    if 300 <= status < 400:
        place = urlsplit(headers.get("Location", ""))
        to = f"{place.scheme}://{place.hostname or ''}{place.path}" if place.scheme else place.path
        to = quote(to, target.secrets)
        return (
            f"{name} at {host} answered with a redirect to {to or 'nowhere'}, which is not followed",
            "Set the provider's `base_url` to the server's final address.",
        )
    key = target.api_key_env
    match status:
        case 400 | 422 if "context" in said.lower() and ("exceed" in said.lower() or "length" in said.lower()):
            return f"The request is too long for {name}", "Shorten the input, or choose a model with a larger context."
        case 400 | 422:
            return f"{name} at {host} refused the request", "Change the setting the server names, then run it again."
        case 401:
            return f"{name} at {host} did not accept the API key", (
                f"Set {key} to a valid key of this provider." if key else "Name the key's variable as `api_key_env`."
            )
        case 402:
            return f"{name} at {host} wants to be paid first", "Check the account's balance at the provider."
        case 403:
            return f"{name} at {host} does not allow this key to use the model", (
                f"Ask the provider for access, or set {key or 'the key'} to one that has it."
            )
        case 404 | 405:
            known = f" Configured are: {', '.join(target.known_models[:8])}." if target.known_models else ""
            return f"{name} is not known at {host}", (f"Check the model's name and the provider's `base_url`.{known}")
        case 408 | 504:
            return f"{name} at {host} did not answer in time", "Try again later, or ask for a shorter answer."
        case 413:
            return f"The request is too large for {name} at {host}", "Shorten the input."
        case 429:
            return f"{name} at {host} is asked too often, or its quota is used up", (
                "Wait a moment, lower the provider's `max_concurrency`, or check the plan at the provider."
            )
        case 503 | 529:
            return f"{name} at {host} is overloaded or down", "Try again later, or choose another model."
        case _ if status >= 500:
            return f"{name} at {host} failed", "Try again later; if it stays so, tell whoever runs the server."
        case _:
            return f"{name} at {host} refused the request", "Check the provider's `base_url` and the task's settings."
