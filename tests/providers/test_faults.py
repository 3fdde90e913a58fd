"""Every way a model server can fail becomes one clear sentence that names it, with what to do, and no key."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from mcp_core.errors import APIError, ConfigurationError, MCPError
from mcp_core.providers.registry import Providers
from tests.cache.helpers import closed_port
from tests.faulty import (
    CERTIFICATE,
    FaultyServer,
    chat,
    chat_body,
    hang,
    http,
    huge,
    raw,
    redirect,
    reset,
    sse,
    status,
    stream,
    stream_pieces,
)
from tests.providers.conftest import KEY, Ears, MakeProviders, ask, scope

pytestmark = pytest.mark.integration


def fails(providers: Providers, ears: Ears, **fields: Any) -> MCPError:
    with pytest.raises(MCPError) as caught:
        providers.complete(ask(), scope(ears, **fields))
    error = caught.value
    assert error.hint, "says what to do"
    assert error.message.endswith("."), "is a sentence"
    assert "\n" not in error.message
    assert len(error.message) < 500
    assert "acme" in error.message
    said = " ".join([str(error), repr(error), *map(str, getattr(error, "attempts", ())), repr(ears.heard)])
    assert KEY not in said
    return error


ANSWERS: list[tuple[str, Any, int | None, bool, str]] = [
    # name, answer, status, transient, in the message
    ("400", status(400, "temperature must be below 2"), 400, False, "temperature must be below 2"),
    ("too long", status(400, "request (9000 tokens) exceeds the available context size"), 400, False, "too long"),
    ("401", status(401, f"Incorrect API key provided: {KEY}"), 401, False, "did not accept the API key"),
    ("402", status(402, "pay"), 402, False, "paid"),
    ("403", status(403, f"{KEY} may not"), 403, False, "does not allow"),
    ("404", status(404, f"no model m for {KEY}"), 404, False, "is not known"),
    ("408", status(408), 408, True, "did not answer in time"),
    ("409", status(409), 409, True, "refused"),
    ("413", status(413), 413, False, "too large"),
    ("418", status(418), 418, False, "refused"),
    ("429", status(429), 429, True, "too often"),
    ("500", status(500), 500, True, "failed"),
    ("502", http(502, b"<html><script>x()</script><h1>Bad Gateway</h1></html>"), 502, True, '"Bad Gateway"'),
    ("503", status(503), 503, True, "overloaded"),
    ("504", status(504), 504, True, "did not answer in time"),
    ("529", status(529), 529, True, "overloaded"),
    ("error as text", http(500, b"boom \x00\x1b[31m " + b"x" * 9000), 500, True, "boom"),
    ("error as list", http(500, b'["boom"]'), 500, True, "boom"),
    ("no error body", http(500, b""), 500, True, "(HTTP 500)."),
    ("redirect", redirect("/v1/chat/completions"), 302, False, "redirect"),
    ("redirect elsewhere", redirect("https://user:pw@evil.example/steal?x=1", 307), 307, False, "https://evil.example/steal"),
    ("created", http(201, b"{}"), 201, False, "HTTP 201"),
    ("truncated JSON", http(200, b'{"choices": ['), 200, False, "not JSON"),
    ("HTML", http(200, b"<h1>Log in</h1>", {"Content-Type": "text/html"}), 200, False, "text/html that is not"),
    ("no media type", http(200, b"what?", {"Content-Type": ""}), 200, False, "something that is not JSON"),
    ("wrong media type", http(200, b"{}", {"Content-Type": "text/html"}), 200, False, "text/html instead"),
    ("JSON list", http(200, b"[]"), 200, False, "not an object"),
    ("deep JSON", http(200, b"[" * 100_000), 200, False, "not JSON"),
    ("empty", http(200, b""), 200, False, "empty answer"),
    ("no choices", http(200, b'{"choices": []}'), 200, False, "without choices"),
    ("no message", http(200, b'{"choices": [{"text": "x"}]}'), 200, False, "without choices"),
    ("error with 200", http(200, b'{"error": {"message": "busy", "code": 503}}'), 200, True, "with an error"),
    ("bad gzip", http(200, b"not gzip", {"Content-Encoding": "gzip"}), None, False, "compression is broken"),
    ("not HTTP", raw(b"SSH-2.0-OpenSSH_9.9\r\n"), None, False, "does not speak HTTP"),
    ("nothing", raw(b""), None, True, "broke off"),
    ("reset", reset(), None, True, "broke off"),
    ("cut headers", reset(b"HTTP/1.1 200 OK\r\nContent-Ty"), None, True, "broke off"),
    ("cut body", reset(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), None, True, "broke off"),
    ("short body", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"), None, True, "broke off"),
    ("200 MB", huge(200_000_000), None, False, "more than 32 MB"),
    ("200 MB unannounced", huge(200_000_000, announced=False), None, False, "more than 32 MB"),
]  # fmt: skip


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("answer", "code", "transient", "said"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS]
)
def test_an_answer_that_is_none(
    acme: Providers,
    server: FaultyServer,
    ears: Ears,
    answer: Any,
    code: int | None,
    transient: bool,
    said: str,
    streamed: bool,
) -> None:
    server.default = answer
    error = fails(acme, ears, stream=streamed)
    assert isinstance(error, APIError)
    assert said in error.message
    assert "acme/m" in error.message
    assert error.provider == "acme"
    assert error.status == code
    assert error.transient is transient
    assert [attempt.status for attempt in error.attempts] == [code]
    assert error.attempts[0].error == error.message
    assert server.calls == 1
    assert not ears.of("retry")


STREAMS: list[tuple[str, Any, bool, str]] = [
    ("cut by a close", stream("a", "b", finish_reason=None, done=False, end=False), True, "broke off"),
    ("ended early", stream("a", "b", finish_reason=None, done=False), True, "in the middle of the answer"),
    ("reset", stream("a", finish_reason=None, done=False, reset_after=True), True, "broke off"),
    ("not JSON", sse(b"data: {oops\n\n"), True, "not a JSON object"),
    ("not an object", sse(b"data: 7\n\n"), True, "not a JSON object"),
    ("cut in an event", sse(b'data: {"choices": [{"del'), True, "in the middle of the answer"),
    ("empty", sse(), True, "in the middle of the answer"),
    ("error inside", sse(b'data: {"error": {"message": "CUDA", "type": "server_error"}}\n\n'), True, "CUDA"),
    ("refused inside", sse(b'data: {"error": "bad prompt"}\n\n'), False, "bad prompt"),
    ("endless event", sse(*[b"data: " + b"x" * 1_000_000] * 6), False, "an event of more than 4 MB"),
    ("endless", sse(*[b"data: " + b" " * 999_000 + b"{}\n\n"] * 40), False, "more than 32 MB"),
]


@pytest.mark.parametrize(
    ("answer", "transient", "said"), [case[1:] for case in STREAMS], ids=[case[0] for case in STREAMS]
)
def test_a_stream_that_fails(
    acme: Providers, server: FaultyServer, ears: Ears, answer: Any, transient: bool, said: str
) -> None:
    server.default = answer
    error = fails(acme, ears, stream=True)
    assert isinstance(error, APIError)
    assert said in error.message
    assert error.transient is transient


def test_silence(acme: Providers, server: FaultyServer, ears: Ears) -> None:
    for streamed, answer in ((False, hang()), (False, hang(b"HTTP/1.1 200 OK\r\n")), (True, hang())):
        server.default = answer
        error = fails(acme, ears, stream=streamed, read_timeout=0.2)
        assert "was silent for 0.2 s" in error.message
        assert isinstance(error, APIError)
        assert error.transient


def test_silence_inside_a_stream(acme: Providers, server: FaultyServer, ears: Ears) -> None:
    server.default = sse(stream_pieces(["a"])[0], seconds=60)
    error = fails(acme, ears, stream=True, read_timeout=0.2)
    assert "was silent for 0.2 s" in error.message
    assert ears.text == "a"


def at(url: str) -> str:
    return f'[providers.acme]\nbase_url = "{url}"\napi_key_env = "ACME_KEY"\n'


ADDRESSES: list[tuple[str, Callable[[], str], str, str]] = [
    ("refused", lambda: f"http://127.0.0.1:{closed_port()}", "refuses connections", "Start the model server"),
    ("unknown name", lambda: "http://no-such-host.invalid/v1", "cannot be resolved", "base_url"),
]


@pytest.mark.parametrize(("url", "said", "hint"), [case[1:] for case in ADDRESSES], ids=[case[0] for case in ADDRESSES])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_an_address_nobody_answers_at(
    make: MakeProviders, ears: Ears, url: Callable[[], str], said: str, hint: str, streamed: bool
) -> None:
    error = fails(make(at(url())), ears, stream=streamed)
    assert said in error.message
    assert hint in error.hint
    assert isinstance(error, APIError)
    assert len(error.attempts) == 1


def test_a_certificate_nobody_knows(make: MakeProviders, ears: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with FaultyServer(tls=True) as server:
        error = fails(make(at(server.url)), ears)
        assert "TLS certificate" in error.message
        assert "REQUESTS_CA_BUNDLE" in error.hint
        assert not server.calls


def test_a_certificate_that_is_made_known(make: MakeProviders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
    with FaultyServer(tls=True) as server:
        providers = make(at(server.url))
        assert providers.complete(ask(), scope()).text == "hello"
        server.default = stream("a", "b")
        assert providers.complete(ask("b"), scope(stream=True)).text == "ab"


def test_https_where_http_is_spoken(make: MakeProviders, server: FaultyServer, ears: Ears) -> None:
    error = fails(make(at(server.url.replace("http:", "https:"))), ears)
    assert "secure connection" in error.message or "broke off" in error.message


def test_http_where_https_is_spoken(make: MakeProviders, ears: Ears) -> None:
    with FaultyServer(tls=True) as server:
        error = fails(make(at(server.url.replace("https:", "http:"))), ears)
        assert "broke off" in error.message or "does not speak HTTP" in error.message


def test_a_proxy_that_does_not_work(make: MakeProviders, ears: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://user:{KEY}@127.0.0.1:{closed_port()}")
    error = fails(make(at("http://models.example/v1")), ears)
    assert "proxy" in error.message
    assert "HTTP_PROXY" in error.hint


def test_a_proxy_that_works(make: MakeProviders, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.port}")
    assert make(at("http://models.example/v1")).complete(ask(), scope()).text == "hello"
    assert server.received[0].path == "http://models.example/v1/chat/completions"


def test_loopback_is_never_asked_through_a_proxy(
    make: MakeProviders, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    assert make(at(server.url)).complete(ask(), scope()).text == "hello"


@pytest.mark.parametrize("model", ["acme", "acme/", "nobody/m", "", "/m", "local/m"])
def test_a_model_that_is_none(acme: Providers, server: FaultyServer, model: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        acme.complete(ask(model=model), scope())
    assert caught.value.hint
    assert not server.calls


def test_a_model_that_is_not_offered(make: MakeProviders, server: FaultyServer) -> None:
    providers = make(at(server.url) + 'models = ["big", "small"]\n')
    with pytest.raises(ConfigurationError, match="acme has no model 'm'") as caught:
        providers.complete(ask(), scope())
    assert "acme/big, acme/small" in caught.value.hint
    assert not server.calls


@pytest.mark.parametrize("key", ["", "  ", "sk-two words", "sk-a\u2026b", "sk-a\nb"])
def test_a_key_that_is_none(make: MakeProviders, server: FaultyServer, key: str) -> None:
    with pytest.raises(ConfigurationError, match="key of acme") as caught:
        make(at(server.url), env={"ACME_KEY": key}).complete(ask(), scope())
    assert "ACME_KEY" in caught.value.hint
    assert not key.strip() or key not in str(caught.value)
    assert not server.calls


def test_no_redirect_is_followed(acme: Providers, server: FaultyServer, ears: Ears) -> None:
    with FaultyServer() as elsewhere:
        for code in (301, 302, 303, 307, 308):
            server.script(redirect(f"{elsewhere.url}/chat/completions", code))
            assert "not followed" in fails(acme, ears).message
        assert not elsewhere.calls


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("code", [408, 409, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_asked_again(
    acme: Providers, server: FaultyServer, ears: Ears, code: int, streamed: bool
) -> None:
    server.script(status(code, headers={"Retry-After": "0"}), status(code, headers={"Retry-After": "0"}))
    server.default = stream("fi", "ne") if streamed else chat("fine")
    completion = acme.complete(ask(), scope(ears, max_retries=2, stream=streamed))
    assert completion.text == "fine"
    assert [a.status for a in completion.attempts] == [code, code, 200]
    assert [a.number for a in completion.attempts] == [1, 2, 3]
    assert [bool(a.error) for a in completion.attempts] == [True, True, False]
    assert [(r["attempt"], r["wait_seconds"], r["restart"]) for r in ears.of("retry")] == [(1, 0, False), (2, 0, False)]


def test_retries_end(acme: Providers, server: FaultyServer, ears: Ears) -> None:
    server.default = status(503, headers={"Retry-After": "0"})
    error = fails(acme, ears, max_retries=2)
    assert isinstance(error, APIError)
    assert [a.status for a in error.attempts] == [503, 503, 503]
    assert server.calls == 3


def test_what_does_not_pass_is_not_asked_again(acme: Providers, server: FaultyServer, ears: Ears) -> None:
    server.default = status(401)
    fails(acme, ears, max_retries=5)
    assert server.calls == 1


def test_a_reset_connection_is_tried_again(acme: Providers, server: FaultyServer) -> None:
    server.script(reset())
    completion = acme.complete(ask(), scope(max_retries=1))
    assert completion.text == "hello"
    assert [a.status for a in completion.attempts] == [None, 200]


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_kept_and_reported(acme: Providers, server: FaultyServer, ears: Ears, form: str) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=4000), usegmt=True)
    server.default = status(429, headers={"Retry-After": "4000" if form == "seconds" else later})
    error = fails(acme, ears)
    assert isinstance(error, APIError)
    assert error.retry_after == 60.0


def test_a_cut_stream_starts_again_and_says_so(acme: Providers, server: FaultyServer, ears: Ears) -> None:
    server.script(stream("wro", "ng", finish_reason=None, done=False))
    server.default = stream("ri", "ght")
    completion = acme.complete(ask(), scope(ears, max_retries=1, stream=True))
    assert completion.text == "right"
    kinds = [kind for kind, _ in ears.heard if kind in ("token", "retry")]
    assert kinds == ["token", "token", "retry", "token", "token"]
    assert ears.of("retry")[0]["restart"] is True


def test_good_answers_in_odd_clothes(acme: Providers, server: FaultyServer) -> None:
    body = json.dumps(chat_body()).encode()
    for number, headers in enumerate(
        (
            {"Content-Type": "text/plain"},
            {"Content-Type": ""},
            {"Content-Type": "application/vnd.acme+json; charset=utf-8"},
            {"Content-Encoding": "gzip"},
        )
    ):
        sent = gzip.compress(body) if "Content-Encoding" in headers else body
        server.script(http(200, sent, {**headers, "Content-Length": str(len(sent))}))
        assert acme.complete(ask(str(number)), scope()).text == "hello"


@pytest.mark.parametrize(
    "usage",
    [None, {}, [], "many", {"prompt_tokens": 1}, {"prompt_tokens": -1, "completion_tokens": 2}]
    + [{"prompt_tokens": wrong, "completion_tokens": 2} for wrong in ("1", True, None, 1.5, 1e300, {"a": 1})],
)
def test_usage_that_makes_no_sense_is_unknown(acme: Providers, server: FaultyServer, usage: Any) -> None:
    server.default = chat(usage=usage)
    completion = acme.complete(ask(), scope())
    assert completion.text == "hello"
    assert (completion.usage.input_tokens, completion.usage.output_tokens) == (0, 0)
    assert completion.cost_usd is None


def test_text_no_database_keeps_is_mended(acme: Providers, server: FaultyServer, ears: Ears) -> None:
    server.default = http(200, rb'{"choices":[{"message":{"content":"a\u0000b\ud800c"},"finish_reason":"stop"}]}')
    for outcome in ("miss", "hit"):
        completion = acme.complete(ask(), scope())
        assert (completion.text, str(completion.cache)) == ("a\ufffdb\ufffdc", outcome)
    server.default = sse(
        rb'data: {"choices":[{"delta":{"content":"a\u0000b\ud800c"},"finish_reason":"stop"}]}' + b"\n\n"
    )
    assert acme.complete(ask("2"), scope(ears, stream=True)).text == "a\ufffdb\ufffdc"
    assert ears.text == "a\ufffdb\ufffdc"


def test_a_server_without_streams_is_understood(acme: Providers, server: FaultyServer, ears: Ears) -> None:
    completion = acme.complete(ask(), scope(ears, stream=True))
    assert completion.text == ears.text == "hello"
    again = acme.complete(ask(), scope())
    assert (again.text, str(again.cache)) == ("hello", "hit")
