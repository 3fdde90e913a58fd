"""Anthropic messages: Anthropic itself and the servers that speak its protocol."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mcp_core.models import Usage
from mcp_core.providers.base import ChatRequest, Chunk
from mcp_core.providers.failures import AnswerError
from mcp_core.providers.payloads import count_of, event_payload, listed_models, stream_cut, stream_failure

__all__ = ["AnthropicProtocol"]

_DEFAULT_MAX_TOKENS = 4096  # the protocol demands a number where others have a default
_ANSWER, _WRAPPED = "answer", "wrapped_answer"
_REASONS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "stop"}
_SENT_REASONS = {"stop": "end_turn", "length": "max_tokens"}


@dataclass(frozen=True, slots=True)
class AnthropicProtocol:
    """`POST /v1/messages`.

    An output schema is asked for as a tool the model is forced to call: its input is the answer. The protocol has no
    penalties and no seed; those settings are not sent.
    """

    version: str = "2023-06-01"
    name: str = "anthropic"
    path: str = "/v1/messages"
    models_path: str = "/v1/models"

    def headers(self, api_key: str | None) -> dict[str, str]:
        """The protocol's version, and the key where there is one."""
        headers = {"anthropic-version": self.version}
        if api_key:
            headers["x-api-key"] = api_key
        return headers

    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Any]:
        """The JSON body to send; system messages are joined into one."""
        system = "\n\n".join(m.content for m in request.messages if m.role == "system")
        body: dict[str, Any] = {
            "model": request.model_name,
            "max_tokens": request.max_tokens or _DEFAULT_MAX_TOKENS,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages if m.role != "system"],
        }
        if system:
            body["system"] = system
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.top_p is not None:
            body["top_p"] = request.top_p
        if request.stop:
            body["stop_sequences"] = list(request.stop)
        if request.output_schema is not None:
            tool = _answer_tool(request.output_schema)
            body["tools"] = [tool]
            body["tool_choice"] = {"type": "tool", "name": tool["name"]}
        if stream:
            body["stream"] = True
        return body

    def parse(self, payload: Mapping[str, Any]) -> tuple[str, str | None, Usage | None]:
        """Text, finish reason and usage of a whole answer; a forced tool's input becomes the text, as JSON."""
        content = payload.get("content")
        if not isinstance(content, list):
            raise AnswerError(
                "sent an answer without content",
                hint="Check that the provider's `base_url` and `protocol` fit each other.",
            )
        blocks = [block for block in content if isinstance(block, Mapping)]
        for block in blocks:
            if block.get("type") == "tool_use" and block.get("name") in (_ANSWER, _WRAPPED):
                text = json.dumps(_unwrap(str(block["name"]), block.get("input")), ensure_ascii=False)
                break
        else:
            text = "".join(b["text"] for b in blocks if b.get("type") == "text" and isinstance(b.get("text"), str))
        counts = _Counts()
        counts.read(payload.get("usage"))
        return text, _reason(payload.get("stop_reason")), counts.usage()

    def parse_stream(self, events: Iterable[str]) -> Iterator[Chunk]:
        """Chunks of a streamed answer.

        Raises:
            AnswerError: an event is no JSON, reports a failure, or the stream ends before `message_stop` (transient).
        """
        counts = _Counts()
        wrapped: list[str] | None = None
        for event in events:
            payload = event_payload(event)
            match payload.get("type"):
                case "message_start":
                    counts.read(_mapping(payload.get("message")).get("usage"))
                case "content_block_start":
                    block = _mapping(payload.get("content_block"))
                    wrapped = [] if block.get("name") == _WRAPPED else None
                    if isinstance(block.get("text"), str) and block["text"]:
                        yield Chunk(block["text"])
                case "content_block_delta":
                    delta = _mapping(payload.get("delta"))
                    piece = delta.get("text") if delta.get("type") == "text_delta" else delta.get("partial_json")
                    if isinstance(piece, str) and piece:
                        if wrapped is None:
                            yield Chunk(piece)
                        else:
                            wrapped.append(piece)
                case "content_block_stop" if wrapped is not None:
                    yield Chunk(_unwrap_text("".join(wrapped)))
                    wrapped = None
                case "message_delta":
                    counts.read(payload.get("usage"))
                    reason = _reason(_mapping(payload.get("delta")).get("stop_reason"))
                    yield Chunk(finish_reason=reason, usage=counts.usage())
                case "message_stop":
                    return
                case "error":
                    raise stream_failure(payload.get("error"))
        raise stream_cut()

    def assemble(
        self, request: ChatRequest, text: str, finish_reason: str | None, usage: Usage | None
    ) -> dict[str, Any]:
        """The whole answer of a stream. A forced tool's input is kept as text, exactly as it came."""
        payload: dict[str, Any] = {
            "type": "message",
            "role": "assistant",
            "model": request.model_name,
            "content": [{"type": "text", "text": text}],
            "stop_reason": _SENT_REASONS.get(finish_reason or "", finish_reason),
        }
        if usage is not None:
            payload["usage"] = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        return payload

    def models(self, payload: Mapping[str, Any]) -> list[str]:
        """Model names in the answer of `GET /v1/models`."""
        return listed_models(payload)


class _Counts:
    """Token counts, which come in pieces: input with the first event, output with the last."""

    def __init__(self) -> None:
        self._given: int | None = None
        self._made: int | None = None

    def read(self, found: object) -> None:
        if not isinstance(found, Mapping):
            return
        given = count_of(found.get("input_tokens"))
        if given is not None:
            # Tokens read from or written to the server's own prompt cache are counted apart from the others.
            cached = (count_of(found.get(f"cache_{kind}_input_tokens")) or 0 for kind in ("read", "creation"))
            self._given = given + sum(cached)
        made = count_of(found.get("output_tokens"))
        self._made = made if "output_tokens" in found else self._made

    def usage(self) -> Usage | None:
        if self._given is None or self._made is None:
            return None
        return Usage(input_tokens=self._given, output_tokens=self._made)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _reason(value: object) -> str | None:
    return _REASONS.get(value, value) if isinstance(value, str) and value else None


def _answer_tool(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The tool whose input is the answer. An input is an object: a schema of anything else is wrapped into one."""
    described = {"description": "Give your answer by calling this tool."}
    if schema.get("type") == "object":
        return {"name": _ANSWER, **described, "input_schema": dict(schema)}
    inner = dict(schema)
    outer: dict[str, Any] = {"type": "object", "properties": {"value": inner}, "required": ["value"]}
    for name in ("$defs", "definitions"):
        if name in inner:  # references into them start at the root
            outer[name] = inner.pop(name)
    return {"name": _WRAPPED, **described, "input_schema": outer}


def _unwrap(tool: str, value: object) -> object:
    return value["value"] if tool == _WRAPPED and isinstance(value, Mapping) and "value" in value else value


def _unwrap_text(text: str) -> str:
    try:
        return json.dumps(_unwrap(_WRAPPED, json.loads(text)), ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
