"""Reading a whole answer: status, media type, JSON, protocol, and the schema that was asked for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from mcp_core.errors import APIError, ExecutionError, OutputMismatchError
from mcp_core.models import Usage
from mcp_core.providers.base import ChatRequest, WireProtocol
from mcp_core.providers.failures import AnswerError, Target, http_failure, located
from mcp_core.providers.payloads import stream_failure
from mcp_core.providers.redact import quote

__all__ = ["Answer", "clean_text", "parse_json", "read_answer", "read_json", "remembered_answer", "structured"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said: `data` is the parsed answer where a schema was asked for, `usage` None where unknown."""

    text: str
    data: Any
    finish_reason: str | None
    usage: Usage | None
    cost_usd: Decimal | None = None
    first_token_seconds: float | None = None


def read_answer(protocol: WireProtocol, target: Target, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """The answer in a reply of the model server, not yet priced nor held against a schema.

    Raises:
        APIError: the reply is an error, or no answer.
    """
    payload = read_json(target, status, headers, body)
    try:
        if payload.get("error") and not ("choices" in payload or "content" in payload):
            raise stream_failure(payload["error"])
        text, reason, usage = protocol.parse(payload)
    except AnswerError as error:
        raise located(error, target) from None
    return Answer(clean_text(text), None, reason, usage)


def remembered_answer(protocol: WireProtocol, request: ChatRequest, body: bytes) -> Answer:
    """The answer in a cache entry, which was checked before it was stored.

    Raises:
        ValueError: the entry is damaged.
    """
    payload = json.loads(body)
    if not isinstance(payload, Mapping):
        raise ValueError("it is not an object")
    try:
        text, reason, usage = protocol.parse(payload)
    except AnswerError as error:
        raise ValueError(f"it holds no answer: {error.what}") from None
    data = None if request.output_schema is None else parse_json(text)
    return Answer(clean_text(text), data, reason, usage)


def read_json(target: Target, status: int, headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
    """The JSON object in a reply.

    Raises:
        APIError: the status is not 200, or the body is empty, of another media type, or no JSON object.
    """
    if status != 200:
        raise http_failure(target, status, headers, body)
    what, hint = "", "Check that the provider's `base_url` and `protocol` are those of a chat model server."
    if not body.strip():
        what, hint = "sent an empty answer", "Try again; if it stays so, look at the server's log."
    else:
        media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        try:
            payload = json.loads(body)
        except (ValueError, RecursionError):
            kind = f"{quote(media_type, limit=60)} that is not JSON" if media_type else "something that is not JSON"
            what = f'sent {kind}: "{quote(body[:4000].decode("utf-8", "replace"), target.secrets, limit=100)}"'
        else:
            if media_type.startswith(("text/html", "image/", "audio/", "video/")):
                what = f"sent {quote(media_type, limit=60)} instead of JSON"
            elif isinstance(payload, Mapping):
                return payload
            else:
                what = "sent JSON that is not an object"
    raise APIError(f"{target.name} at {target.host} {what}.", hint=hint, provider=target.provider, status=status)


def clean_text(text: str) -> str:
    """`text` without what no database keeps: NUL characters and lone halves of surrogate pairs."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def structured(text: str, reason: str | None, request: ChatRequest, target: Target) -> Any:
    """The answer as data, checked against the schema that was asked for; None where none was.

    Raises:
        OutputMismatchError: the answer is a refusal, no JSON, or does not match; says where.
        ExecutionError: the schema itself cannot be used.
    """
    schema = request.output_schema
    if schema is None:
        return None
    cut = " It was cut at the limit of tokens." if reason == "length" else ""
    if reason == "refusal":
        raise OutputMismatchError(
            f'{target.name} refused to answer: "{quote(text)}".', hint="Change the prompt, or choose another model."
        )
    try:
        data = parse_json(text)
    except (ValueError, RecursionError):
        raise OutputMismatchError(
            f'The answer of {target.name} is not the JSON that was asked for: "{quote(text, limit=100)}".{cut}',
            hint="Raise `max_tokens`."
            if cut
            else "Say in the prompt that only JSON is wanted, or choose another model.",
        ) from None
    from jsonschema.exceptions import SchemaError, best_match
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        # The empty registry keeps references in a schema from being fetched from the network.
        problem = best_match(validator_for(schema)(schema, registry=Registry()).iter_errors(data))
    except (SchemaError, Unresolvable) as error:
        raise ExecutionError(
            f"The output schema cannot be used: {quote(str(error))}.", hint="Correct the task's `output_schema`."
        ) from None
    if problem is not None:
        raise OutputMismatchError(
            f"The answer of {target.name} does not match the output schema at {problem.json_path}: "
            f"{quote(problem.message)}.",
            hint="Run it again, simplify the schema, or choose another model.",
        )
    return data


def parse_json(text: str) -> Any:
    """The JSON of an answer, out of the code fence that models without constrained output like to put around it.

    Raises:
        ValueError, RecursionError: it is no JSON.
    """
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and len(text) > 6:
        text = text[3:-3].removeprefix("json")
    return json.loads(text)
