"""The two wire protocols: what is sent, and reading whatever comes back."""

import contextlib
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_core.models import Usage
from mcp_core.providers.anthropic import AnthropicProtocol
from mcp_core.providers.base import ChatRequest, Message, WireProtocol
from mcp_core.providers.config import ProviderConfig
from mcp_core.providers.failures import AnswerError
from mcp_core.providers.openai import OpenAIProtocol
from mcp_core.providers.server import protocol_for

pytestmark = pytest.mark.unit

OPENAI, ANTHROPIC = OpenAIProtocol(), AnthropicProtocol()
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FULL = ChatRequest(
    model="acme/org/m",
    messages=(
        Message("system", "be brief"),
        Message("user", "hi"),
        Message("assistant", "yes?"),
        Message("user", "go"),
    ),
    temperature=0.5,
    top_p=0.9,
    max_tokens=10,
    stop=("END",),
    presence_penalty=0.1,
    frequency_penalty=0.2,
    seed=7,
    sample=3,
)
PLAIN = ChatRequest(model="acme/m", messages=(Message("user", "hi"),))


def test_openai_body() -> None:
    assert OPENAI.body(PLAIN, stream=False) == {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    assert OPENAI.body(FULL, stream=True) == {
        "model": "org/m",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "yes?"},
            {"role": "user", "content": "go"},
        ],
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 10,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "seed": 7,
        "stop": ["END"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    asked = OPENAI.body(ChatRequest("acme/m", PLAIN.messages, output_schema=SCHEMA), stream=False)
    assert asked["response_format"] == {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}


def test_anthropic_body() -> None:
    assert ANTHROPIC.body(PLAIN, stream=False) == {
        "model": "m",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "hi"}],
    }
    assert ANTHROPIC.body(FULL, stream=True) == {
        "model": "org/m",
        "max_tokens": 10,
        "system": "be brief",
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "yes?"},
            {"role": "user", "content": "go"},
        ],
        "temperature": 0.5,
        "top_p": 0.9,
        "stop_sequences": ["END"],
        "stream": True,
    }


def test_anthropic_asks_for_a_schema_as_a_tool() -> None:
    body = ANTHROPIC.body(ChatRequest("acme/m", PLAIN.messages, output_schema=SCHEMA), stream=False)
    assert body["tools"][0]["name"] == "answer"
    assert body["tools"][0]["input_schema"] == SCHEMA
    assert body["tool_choice"] == {"type": "tool", "name": "answer"}
    listing = {"type": "array", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "integer"}}}
    body = ANTHROPIC.body(ChatRequest("acme/m", PLAIN.messages, output_schema=listing), stream=False)
    assert body["tools"][0]["input_schema"] == {
        "type": "object",
        "properties": {"value": {"type": "array", "items": {"$ref": "#/$defs/n"}}},
        "required": ["value"],
        "$defs": {"n": {"type": "integer"}},
    }


@pytest.mark.parametrize(
    ("base_url", "query", "header", "field"),
    [
        ("https://api.openai.com/v1", {}, "Authorization", "max_completion_tokens"),
        ("https://x.openai.azure.com/openai/deployments/d", {"api-version": "1"}, "api-key", "max_completion_tokens"),
        ("https://gateway.example/azure", {"api-version": "1"}, "api-key", "max_completion_tokens"),
        ("http://localhost:11434/v1", {}, "Authorization", "max_tokens"),
    ],
)
def test_dialects(base_url: str, query: dict[str, str], header: str, field: str) -> None:
    protocol = protocol_for(ProviderConfig(name="x", base_url=base_url, query=query))
    assert list(protocol.headers("k")) == [header]
    assert protocol.headers(None) == {}
    assert protocol.body(FULL, stream=False)[field] == 10


def test_anthropic_headers() -> None:
    assert ANTHROPIC.headers("k") == {"anthropic-version": "2023-06-01", "x-api-key": "k"}
    assert ANTHROPIC.headers(None) == {"anthropic-version": "2023-06-01"}


def choice(message: Any, reason: Any = "stop", **fields: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": reason}], **fields}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (choice({"content": "a"}), ("a", "stop", None)),
        (choice({"content": None}, "tool_calls"), ("", "tool_calls", None)),
        (choice({"content": ""}, "length"), ("", "length", None)),
        (choice({}), ("", "stop", None)),
        (choice({"content": None, "refusal": "I will not."}), ("I will not.", "refusal", None)),
        (
            choice({"content": [{"type": "text", "text": "a"}, {"type": "image"}, 7, {"text": "b"}]}),
            ("ab", "stop", None),
        ),
        (choice({"content": {"city": "Paris"}}, None), ('{"city": "Paris"}', None, None)),
        (choice({"content": "a"}, 7), ("a", None, None)),
        (
            choice({"content": "a"}, usage={"prompt_tokens": 3, "completion_tokens": 4.0}),
            ("a", "stop", Usage(input_tokens=3, output_tokens=4)),
        ),
        (choice({"content": "a"}, usage={"prompt_tokens": 3}), ("a", "stop", None)),
    ],
)
def test_openai_answers(payload: Any, expected: Any) -> None:
    assert OPENAI.parse(payload) == expected


@pytest.mark.parametrize(
    "payload", [{}, {"choices": []}, {"choices": [7]}, {"choices": "x"}, choice(None), choice("x")]
)
def test_openai_answers_that_are_none(payload: Any) -> None:
    with pytest.raises(AnswerError, match="without choices"):
        OPENAI.parse(payload)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, ("ab", "stop", None)),
        ({"content": []}, ("", "stop", None)),
        ({"content": ["x", {"type": "thinking", "thinking": "hm"}]}, ("", "stop", None)),
        ({"content": [{"type": "text", "text": None}], "stop_reason": "refusal"}, ("", "refusal", None)),
        (
            {
                "content": [{"type": "tool_use", "name": "answer", "input": {"city": "Zürich"}}],
                "stop_reason": "tool_use",
            },
            ('{"city": "Zürich"}', "stop", None),
        ),
        (
            {"content": [{"type": "tool_use", "name": "wrapped_answer", "input": {"value": [1, 2]}}]},
            ("[1, 2]", "stop", None),
        ),
        ({"content": [{"type": "tool_use", "name": "wrapped_answer", "input": 7}]}, ("7", "stop", None)),
        ({"content": [{"type": "tool_use", "name": "other", "input": {}}]}, ("", "stop", None)),
        (
            {
                "content": [],
                "stop_reason": "max_tokens",
                "usage": {"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 10},
            },
            ("", "length", Usage(input_tokens=13, output_tokens=4)),
        ),
        ({"content": [], "usage": {"input_tokens": 3, "output_tokens": "4"}}, ("", "stop", None)),
        ({"content": [], "usage": 7}, ("", "stop", None)),
    ],
)
def test_anthropic_answers(fields: Any, expected: Any) -> None:
    assert ANTHROPIC.parse({"stop_reason": "end_turn", **fields}) == expected


def test_anthropic_answers_that_are_none() -> None:
    with pytest.raises(AnswerError, match="without content"):
        ANTHROPIC.parse({"completion": "x"})


def read(protocol: WireProtocol, payloads: Iterable[Any]) -> tuple[str, str | None, Usage | None]:
    text, reason, usage = "", None, None
    for chunk in protocol.parse_stream(p if isinstance(p, str) else json.dumps(p) for p in payloads):
        text += chunk.text
        reason, usage = chunk.finish_reason or reason, chunk.usage or usage
    return text, reason, usage


def delta(text: Any = None, reason: Any = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text, **fields}, "finish_reason": reason}]}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([delta("a"), delta("b", "stop"), "[DONE]", "never read"], ("ab", "stop", None)),
        ([delta("a"), "[DONE]"], ("a", "stop", None)),
        ([delta("a"), delta("", "length")], ("a", "length", None)),
        (
            [delta("a", "stop"), {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}],
            ("a", "stop", Usage(input_tokens=1, output_tokens=2)),
        ),
        (
            [delta(None, refusal="No"), delta(None, refusal="."), delta(None, "stop"), "[DONE]"],
            ("No.", "refusal", None),
        ),
        ([{"choices": [{"delta": None}]}, {"prompt_filter_results": []}, delta("a", "stop")], ("a", "stop", None)),
    ],
)
def test_openai_streams(events: Any, expected: Any) -> None:
    assert read(OPENAI, events) == expected


def start(usage: Any = None, **block: Any) -> list[Any]:
    return [
        {"type": "message_start", "message": {"usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "", **block}},
        {"type": "ping"},
    ]


def piece(text: str, kind: str = "text_delta", name: str = "text") -> dict[str, Any]:
    return {"type": "content_block_delta", "delta": {"type": kind, name: text}}


def end(reason: str = "end_turn", **usage: Any) -> list[Any]:
    return [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage},
        {"type": "message_stop"},
    ]


def part(text: str) -> dict[str, Any]:
    return piece(text, "input_json_delta", "partial_json")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [
                *start({"input_tokens": 5, "cache_creation_input_tokens": 2}),
                piece("a"),
                piece("b"),
                *end(output_tokens=9),
            ],
            ("ab", "stop", Usage(input_tokens=7, output_tokens=9)),
        ),
        ([*start(text="A"), piece("b"), *end("max_tokens", output_tokens=9), "never read"], ("Ab", "length", None)),
        (
            [*start(name="answer"), part('{"city"'), part(': "Bern"}'), *end("tool_use")],
            ('{"city": "Bern"}', "stop", None),
        ),
        ([*start(name="wrapped_answer"), part('{"value": [1'), part(", 2]}"), *end()], ("[1, 2]", "stop", None)),
        ([*start(name="wrapped_answer"), part('{"value": [1'), *end("max_tokens")], ('{"value": [1', "length", None)),
        (
            [*start(), piece("hm", "thinking_delta", "thinking"), piece("a"), {"type": "new"}, *end()],
            ("a", "stop", None),
        ),
        ([*start(7), piece("a"), *end(output_tokens=3)], ("a", "stop", None)),
    ],
)
def test_anthropic_streams(events: Any, expected: Any) -> None:
    assert read(ANTHROPIC, events) == expected


@pytest.mark.parametrize(
    ("protocol", "events", "said", "transient"),
    [
        (OPENAI, [delta("a")], "in the middle", True),
        (OPENAI, [], "in the middle", True),
        (OPENAI, ["{"], "not a JSON object", True),
        (OPENAI, [{"error": {"message": "boom", "code": 500}}], "boom", True),
        (OPENAI, [{"error": {"type": "invalid_request_error"}}], "invalid_request_error", False),
        (ANTHROPIC, [*start(), piece("a")], "in the middle", True),
        (
            ANTHROPIC,
            [{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}],
            "Overloaded",
            True,
        ),
        (ANTHROPIC, [{"type": "error"}], "broke off with an error", False),
    ],
)
def test_streams_that_fail(protocol: WireProtocol, events: Any, said: str, transient: bool) -> None:
    with pytest.raises(AnswerError, match=said) as caught:
        read(protocol, events)
    assert caught.value.transient is transient


USAGES = st.none() | st.builds(Usage, input_tokens=st.integers(0, 10**9), output_tokens=st.integers(0, 10**9))


@given(
    protocol=st.sampled_from([OPENAI, ANTHROPIC]),
    text=st.text(),
    reason=st.sampled_from(["stop", "length", "refusal", "content_filter", None]),
    usage=USAGES,
)
def test_an_assembled_answer_reads_as_what_was_streamed(
    protocol: WireProtocol, text: str, reason: str | None, usage: Usage | None
) -> None:
    if reason == "refusal" and not text:
        text = "no"
    payload = json.loads(json.dumps(protocol.assemble(PLAIN, text, reason, usage)))
    assert protocol.parse(payload) == (text, reason, usage)


NAMES = "choices message content delta usage type text error stop_reason finish_reason content_block data id"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=4),
    max_leaves=20,
)


@given(protocol=st.sampled_from([OPENAI, ANTHROPIC]), payload=st.dictionaries(st.text(max_size=8), JSON) | JSON)
def test_nonsense_is_read_or_an_error_of_ours(protocol: WireProtocol, payload: Any) -> None:
    payload = payload if isinstance(payload, dict) else {"choices": payload, "content": payload, "data": payload}
    for attempt in (
        lambda: protocol.parse(payload),
        lambda: read(protocol, [payload, {**payload, "type": "content_block_delta"}]),
        lambda: protocol.models(payload),
    ):
        with contextlib.suppress(AnswerError):
            attempt()


def test_lists_of_models() -> None:
    payload = {"data": [{"id": "b"}, {"id": "a"}, {"id": "b"}, {"name": "c"}, "d"]}
    assert OPENAI.models(payload) == ANTHROPIC.models(payload) == ["b", "a"]
    with pytest.raises(AnswerError, match="no list of models"):
        OPENAI.models({"models": []})
