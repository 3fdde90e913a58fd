"""OpenAI-compatible chat completions: OpenAI, Azure, vLLM, Ollama, llama.cpp and many gateways."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mcp_core.models import Usage
from mcp_core.providers.base import ChatRequest, Chunk
from mcp_core.providers.failures import AnswerError
from mcp_core.providers.payloads import event_payload, listed_models, stream_cut, stream_failure, usage_of

__all__ = ["OpenAIProtocol"]


@dataclass(frozen=True, slots=True)
class OpenAIProtocol:
    """`POST /chat/completions`.

    Args:
        key_header: `Authorization` (a bearer token) or `api-key` (Azure).
        max_tokens_field: `max_tokens`, which every server knows, or `max_completion_tokens`, which OpenAI's and Azure's
            own newer models insist on.
    """

    key_header: str = "Authorization"
    max_tokens_field: str = "max_tokens"
    name: str = "openai"
    path: str = "/chat/completions"
    models_path: str = "/models"

    def headers(self, api_key: str | None) -> dict[str, str]:
        """The header that carries the key; none without a key."""
        if not api_key:
            return {}
        return {self.key_header: f"Bearer {api_key}" if self.key_header == "Authorization" else api_key}

    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Any]:
        """The JSON body to send; settings that are None are left to the server."""
        body: dict[str, Any] = {
            "model": request.model_name,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        }
        settings: dict[str, float | None] = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            self.max_tokens_field: request.max_tokens,
            "presence_penalty": request.presence_penalty,
            "frequency_penalty": request.frequency_penalty,
            "seed": request.seed,
        }
        body.update({field: value for field, value in settings.items() if value is not None})
        if request.stop:
            body["stop"] = list(request.stop)
        if request.output_schema is not None:
            schema = {"name": "answer", "schema": dict(request.output_schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if stream:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True}
        return body

    def parse(self, payload: Mapping[str, Any]) -> tuple[str, str | None, Usage | None]:
        """Text, finish reason and usage of a whole answer. A refusal is text with the finish reason `refusal`."""
        choice = _first_choice(payload)
        message = choice.get("message") if choice is not None else None
        if choice is None or not isinstance(message, Mapping):
            raise AnswerError(
                "sent an answer without choices",
                hint="Check that the provider's `base_url` and `protocol` fit each other.",
            )
        text, refusal = _text(message.get("content")), message.get("refusal")
        if not text and isinstance(refusal, str) and refusal:
            return refusal, "refusal", usage_of(payload.get("usage"), "prompt_tokens", "completion_tokens")
        return text, _reason(choice), usage_of(payload.get("usage"), "prompt_tokens", "completion_tokens")

    def parse_stream(self, events: Iterable[str]) -> Iterator[Chunk]:
        """Chunks of a streamed answer. It is whole once `[DONE]` or a finish reason has come.

        Raises:
            AnswerError: an event is no JSON, reports a failure, or the stream ends early (transient).
        """
        finished = refused = False
        for event in events:
            if event.strip() == "[DONE]":
                if not finished:
                    yield Chunk(finish_reason="stop")
                return
            payload = event_payload(event)
            if payload.get("error"):
                raise stream_failure(payload["error"])
            usage = usage_of(payload.get("usage"), "prompt_tokens", "completion_tokens")
            choice = _first_choice(payload)
            text, reason = "", None
            if choice is not None:
                delta = choice.get("delta")
                delta = delta if isinstance(delta, Mapping) else {}
                text, reason = _text(delta.get("content")), _reason(choice)
                refusal = delta.get("refusal")
                if not text and isinstance(refusal, str) and refusal:
                    text, refused = refusal, True
                if reason is not None:
                    reason, finished = "refusal" if refused else reason, True
            if text or reason or usage:
                yield Chunk(text, reason, usage)
        if not finished:
            raise stream_cut()

    def assemble(
        self, request: ChatRequest, text: str, finish_reason: str | None, usage: Usage | None
    ) -> dict[str, Any]:
        """The whole answer of a stream, as the server would have sent it at once."""
        refused = finish_reason == "refusal"
        message = {"role": "assistant", "content": None if refused else text, **({"refusal": text} if refused else {})}
        payload: dict[str, Any] = {
            "object": "chat.completion",
            "model": request.model_name,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop" if refused else finish_reason}],
        }
        if usage is not None:
            payload["usage"] = {
                "prompt_tokens": usage.input_tokens,
                "completion_tokens": usage.output_tokens,
                "total_tokens": usage.input_tokens + usage.output_tokens,
            }
        return payload

    def models(self, payload: Mapping[str, Any]) -> list[str]:
        """Model names in the answer of `GET /models`."""
        return listed_models(payload)


def _first_choice(payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    choices = payload.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        return choices[0]
    return None


def _reason(choice: Mapping[str, Any]) -> str | None:
    reason = choice.get("finish_reason")
    return reason if isinstance(reason, str) and reason else None


def _text(content: object) -> str:
    """Content is a string, null, or a list of parts of which the texts count."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(p["text"]) for p in content if isinstance(p, Mapping) and isinstance(p.get("text"), str))
    return "" if content is None else json.dumps(content)
