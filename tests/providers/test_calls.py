"""The way of a call through cache, single flight, wire and back."""

import json
import re
import threading
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mcp_core.cache.base import Cache, CacheSize, Entry
from mcp_core.cache.factory import open_cache
from mcp_core.cache.memory import MemoryCache
from mcp_core.control import CancelToken
from mcp_core.errors import APIError, CacheError, ExecutionError
from mcp_core.models import Usage
from mcp_core.providers.base import CachePolicy, Completion
from mcp_core.providers.registry import Providers
from mcp_core.security.redaction import redactor
from mcp_core.settings import load_settings
from tests.faulty import Connection, FaultyServer, chat, chat_body, http, messages, sse, status, stream
from tests.providers.conftest import KEY, Ears, MakeProviders, ask, scope

pytestmark = [pytest.mark.integration, pytest.mark.cache]

PRICED = 'prices = [{ model = "*", input_usd_per_million = 1, output_usd_per_million = 10 }]\n'
COST = Decimal("0.000081")  # of 11 and 7 tokens
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture
def priced(make: MakeProviders, server: FaultyServer) -> Providers:
    return make(f'[providers.acme]\nbase_url = "{server.url}"\napi_key_env = "ACME_KEY"\n{PRICED}')


@pytest.mark.parametrize("streamed", [False, True])
def test_what_an_attempt_waits_before_the_server_is_asked_is_told_apart(
    acme: Providers, server: FaultyServer, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    starting = 0.3
    ready = acme._servers["acme"].ready

    def slowly(*arguments: Any) -> Any:
        time.sleep(starting)  # as a local model does, which is fetched and started when first asked
        return ready(*arguments)

    monkeypatch.setattr(acme._servers["acme"], "ready", slowly)
    server.script(status(503), stream("a") if streamed else chat("a"))
    began = time.perf_counter()
    answered = acme.complete(ask(), scope(stream=streamed, max_retries=1))
    whole = time.perf_counter() - began
    failed, served = answered.attempts
    for attempt in (failed, served):
        assert starting <= attempt.waited_seconds < attempt.duration_seconds
    assert failed.duration_seconds + served.duration_seconds <= whole


@pytest.mark.parametrize("first", [False, True], ids=["whole first", "streamed first"])
@pytest.mark.parametrize("second", [False, True], ids=["whole then", "streamed then"])
def test_a_second_time_it_comes_from_the_cache(
    priced: Providers, server: FaultyServer, ears: Ears, first: bool, second: bool
) -> None:
    server.default = stream("some ", "words ", "here") if first else chat("some words here")
    miss = priced.complete(ask(), scope(ears, stream=first, run_id="run-1"))
    assert (miss.text, str(miss.cache), miss.finish_reason) == ("some words here", "miss", "stop")
    assert (miss.usage, miss.cost_usd) == (Usage(input_tokens=11, output_tokens=7), COST)
    assert (miss.cache.saved_usd, miss.cache.age_seconds, miss.cache.original_run_id) == (None, None, None)
    assert (miss.first_token_seconds is not None) == first
    assert [a.status for a in miss.attempts] == [200]
    assert [kind for kind, _ in ears.heard if kind != "token"] == ["cache", "exchange"]
    assert ears.of("cache") == [{"outcome": "miss", "key": miss.cache.key}]
    assert ears.text == ("some words here" if first else "")

    again = Ears()
    hit = priced.complete(ask(), scope(again, stream=second, run_id="run-2"))
    assert (hit.text, str(hit.cache), hit.finish_reason, hit.usage) == (miss.text, "hit", "stop", miss.usage)
    assert (hit.cost_usd, hit.cache.saved_usd, hit.cache.original_run_id) == (Decimal(0), COST, "run-1")
    assert hit.cache.age_seconds is not None
    assert hit.cache.saved_seconds is not None
    assert hit.cache.key == miss.cache.key
    assert hit.cache.parts == miss.cache.parts
    assert hit.attempts == ()
    assert again.of("cache")[0]["outcome"] == "hit"
    assert again.text == ("some words here" if second else "")
    assert not again.of("exchange")
    assert server.calls == 1


def test_a_replay_is_a_few_tokens(priced: Providers, server: FaultyServer, ears: Ears) -> None:
    server.default = chat("x" * 1000)
    priced.complete(ask(), scope())
    hit = priced.complete(ask(), scope(ears, stream=True))
    assert 2 <= len(ears.of("token")) <= 8
    assert ears.text == hit.text
    assert hit.first_token_seconds is not None


def test_an_empty_answer_is_an_answer(priced: Providers, server: FaultyServer, ears: Ears) -> None:
    server.default = chat("", finish_reason="length")
    assert priced.complete(ask(), scope()).finish_reason == "length"
    hit = priced.complete(ask(), scope(ears, stream=True))
    assert (hit.text, str(hit.cache), ears.of("token")) == ("", "hit", [])


DIFFERENT: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("messages", {"prompt": "other"}, {}),
    ("model", {"model": "acme/other"}, {}),
    ("temperature", {"temperature": 0.5}, {}),
    ("max_tokens", {"max_tokens": 5}, {}),
    ("seed", {"seed": 5}, {}),
    ("response_format", {"output_schema": {"type": "string"}}, {}),
    ("sample", {"sample": 1}, {}),
    ("tenant", {}, {"tenant": "other"}),
]


@pytest.mark.parametrize(("part", "fields", "scoped"), DIFFERENT, ids=[case[0] for case in DIFFERENT])
def test_what_differs_is_another_entry_and_is_told(
    priced: Providers, part: str, fields: dict[str, Any], scoped: dict[str, Any]
) -> None:
    one = priced.explain_key(ask(), scope())
    other = priced.explain_key(ask(**fields), scope(**scoped))
    assert one.key != other.key
    changed = {name for name in one.parts.keys() | other.parts.keys() if one.parts.get(name) != other.parts.get(name)}
    assert changed == {part}


def test_what_does_not_matter_is_the_same_entry(priced: Providers) -> None:
    one = priced.explain_key(ask(temperature=1.0, stop=("a",)), scope())
    other = priced.explain_key(ask(temperature=1, stop=("a",)), scope(stream=True, run_id="x", task="y", max_retries=9))
    assert one == other


def test_what_the_provider_adds_counts(make: MakeProviders, server: FaultyServer) -> None:
    def key(more: str) -> str:
        return make(f'[providers.acme]\nbase_url = "{server.url}"\n{more}').explain_key(ask(), scope()).key

    keys = [key(""), key('headers = { X-Beta = "1" }'), key('query = { version = "1" }'), key('protocol = "anthropic"')]
    assert len(set(keys)) == 4


def test_two_credentials_never_share_an_entry(make: MakeProviders, server: FaultyServer) -> None:
    cache = MemoryCache(1_000_000)
    tables = f'[providers.acme]\nbase_url = "{server.url}"\napi_key_env = "ACME_KEY"\n'
    answers = []
    for number, key in enumerate(("sk-one-0123456789", "sk-two-0123456789", "sk-one-0123456789")):
        server.script(chat(f"answer {number}"))
        answers.append(make(tables, cache=cache, env={"ACME_KEY": key}).complete(ask(), scope()))
    assert [a.text for a in answers] == ["answer 0", "answer 1", "answer 0"]
    assert [str(a.cache) for a in answers] == ["miss", "miss", "hit"]
    other_master = make(tables, cache=cache, env={"ACME_KEY": "sk-one-0123456789", "MCP_MASTER_KEY": "another"})
    assert other_master.would_hit(ask(), scope()) is None


def test_what_is_sent(make: MakeProviders, server: FaultyServer) -> None:
    providers = make(
        f'[providers.acme]\nbase_url = "{server.url}/openai"\napi_key_env = "ACME_KEY"\n'
        'headers = { X-Team = "blue" }\nquery = { api-version = "2024-10-21" }\n'
    )
    providers.complete(ask("grüße", max_tokens=3), scope())
    sent = server.received[0]
    assert (sent.method, sent.path) == ("POST", "/v1/openai/chat/completions?api-version=2024-10-21")
    assert sent.headers["api-key"] == KEY
    assert sent.headers["x-team"] == "blue"
    assert "cookie" not in sent.headers
    assert sent.json == {
        "model": "m",
        "messages": [{"role": "user", "content": "grüße"}],
        "max_completion_tokens": 3,
    }


def test_no_cookie_is_kept(acme: Providers, server: FaultyServer) -> None:
    server.script(http(200, b'{"choices":[{"message":{"content":"a"}}]}', {"Set-Cookie": "id=1; Path=/"}))
    acme.complete(ask("a"), scope())
    acme.complete(ask("b"), scope())
    assert "cookie" not in server.received[1].headers


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_anthropic(make: MakeProviders, server: FaultyServer, ears: Ears, streamed: bool) -> None:
    providers = make(
        f'[providers.acme]\nprotocol = "anthropic"\nbase_url = "{server.url}"\napi_key_env = "ACME_KEY"\n{PRICED}'
    )
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 11, "output_tokens": 1}}},
        {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hel"}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]
    pieces = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]
    server.default = sse(*pieces) if streamed else messages("hello")
    miss = providers.complete(ask(), scope(ears, stream=streamed))
    hit = providers.complete(ask(), scope())
    assert (miss.text, miss.finish_reason, miss.cost_usd) == ("hello", "stop", COST)
    assert (hit.text, hit.finish_reason, hit.usage, str(hit.cache)) == ("hello", "stop", miss.usage, "hit")
    assert server.received[0].path == "/v1/messages"
    assert server.received[0].headers["x-api-key"] == KEY


def test_refresh_asks_and_remembers(acme: Providers, server: FaultyServer) -> None:
    server.script(chat("old"), chat("new"))
    assert acme.complete(ask(), scope()).text == "old"
    refreshed = acme.complete(ask(), scope(mode="refresh"))
    assert (refreshed.text, str(refreshed.cache)) == ("new", "miss")
    assert acme.complete(ask(), scope()).text == "new"


def test_bypass_leaves_the_cache_alone(acme: Providers, server: FaultyServer, ears: Ears) -> None:
    server.script(chat("a"), chat("b"), stream("c"), chat("d"))
    bypassed = acme.complete(ask(), scope(ears, mode="bypass"))
    assert (bypassed.text, str(bypassed.cache), bypassed.cache.key) == ("a", "bypass", None)
    assert ears.of("cache") == [{"outcome": "bypass"}]
    acme.complete(ask(), scope())
    assert acme.complete(ask(), scope(mode="bypass", stream=True)).text == "c"
    assert acme.complete(ask(), scope()).text == "b"


def test_only_never_asks(acme: Providers, server: FaultyServer) -> None:
    with pytest.raises(ExecutionError, match="The cache has no answer") as caught:
        acme.complete(ask(), scope(mode="only"))
    assert "`use`" in caught.value.hint
    acme.complete(ask(), scope(policy=CachePolicy("use", ttl_seconds=0.001)))
    time.sleep(0.01)
    late = acme.complete(ask(), scope(mode="only"))
    assert (late.text, str(late.cache)) == ("hello", "stale")
    assert server.calls == 1


def test_would_hit(acme: Providers, server: FaultyServer) -> None:
    assert acme.would_hit(ask(), scope()) is None
    acme.complete(ask(), scope(policy=CachePolicy("use", ttl_seconds=0.001), run_type="llm_prompt", task="t"))
    time.sleep(0.01)
    assert acme.would_hit(ask(), scope()) is None
    found = acme.would_hit(ask(), scope(mode="only"))
    assert found is not None
    assert found.labels == {"type": "llm_prompt", "provider": "acme", "model": "acme/m", "task": "t"}
    for mode in ("refresh", "bypass"):
        assert acme.would_hit(ask(), scope(mode=mode)) is None
    assert server.calls == 1


@pytest.mark.parametrize(
    "answer", [status(500), status(429), http(200, b""), sse()], ids=["500", "429", "empty", "cut"]
)
def test_an_expired_answer_is_better_than_none(
    priced: Providers, server: FaultyServer, ears: Ears, answer: Any
) -> None:
    priced.complete(ask(), scope(policy=CachePolicy("use", ttl_seconds=0.001)))
    time.sleep(0.01)
    server.default = answer
    stale = priced.complete(ask(), scope(ears, stream=True))
    assert (stale.text, str(stale.cache), stale.cost_usd, stale.cache.saved_usd) == ("hello", "stale", Decimal(0), COST)
    assert [a.error is not None for a in stale.attempts] == [True]
    assert [event["outcome"] for event in ears.of("cache")] == ["miss", "stale"]
    assert ears.text == "hello"


@pytest.mark.parametrize("code", [400, 401, 403, 404])
def test_a_wrong_request_gets_no_expired_answer(acme: Providers, server: FaultyServer, code: int) -> None:
    acme.complete(ask(), scope(policy=CachePolicy("use", ttl_seconds=0.001)))
    time.sleep(0.01)
    server.default = status(code)
    with pytest.raises(APIError):
        acme.complete(ask(), scope())


def test_a_refresh_gets_no_expired_answer(acme: Providers, server: FaultyServer) -> None:
    acme.complete(ask(), scope(policy=CachePolicy("use", ttl_seconds=0.001)))
    server.default = status(500)
    with pytest.raises(APIError):
        acme.complete(ask(), scope(mode="refresh"))


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "answer",
    [status(500), status(404), http(200, b"{}"), http(200, b"<p>")],
    ids=["500", "404", "no answer", "no JSON"],
)
def test_failures_are_never_remembered(acme: Providers, server: FaultyServer, answer: Any, streamed: bool) -> None:
    server.script(answer)
    with pytest.raises(APIError):
        acme.complete(ask(), scope(stream=streamed))
    assert acme.would_hit(ask(), scope(mode="only")) is None
    assert acme.complete(ask(), scope()).cache == "miss"


def test_a_cut_stream_is_never_remembered(acme: Providers, server: FaultyServer) -> None:
    server.script(stream("a", finish_reason=None, done=False))
    with pytest.raises(APIError):
        acme.complete(ask(), scope(stream=True))
    assert acme.would_hit(ask(), scope(mode="only")) is None


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("text", ['{"n": 7}', ' {"n": 7}\n', '```json\n{"n": 7}\n```', '```\n{"n": 7}```'])
def test_an_answer_of_the_schema_asked_for(acme: Providers, server: FaultyServer, text: str, streamed: bool) -> None:
    server.default = stream(text[:4], text[4:]) if streamed else chat(text)
    for outcome in ("miss", "hit"):
        completion = acme.complete(ask(output_schema=SCHEMA), scope(stream=streamed))
        assert (completion.data, completion.text, str(completion.cache)) == ({"n": 7}, text, outcome)


WRONG = [
    ("no JSON", chat("seven"), SCHEMA, 'not the JSON that was asked for: "seven"'),
    ("cut", chat('{"n": ', finish_reason="length"), SCHEMA, "It was cut at the limit"),
    ("type", chat('{"n": "7"}'), SCHEMA, "at $.n: '7' is not of type 'integer'"),
    ("missing", chat("{}"), SCHEMA, "at $: 'n' is a required property"),
    ("refused", http(200, b'{"choices":[{"message":{"refusal":"Never."}}]}'), SCHEMA, 'refused to answer: "Never."'),
    ("remote schema", chat("7"), {"$ref": "http://127.0.0.1:9/schema"}, "output schema cannot be used"),
]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("answer", "schema", "said"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_an_answer_of_another_shape(
    acme: Providers, server: FaultyServer, answer: Any, schema: Mapping[str, Any], said: str, streamed: bool
) -> None:
    server.default = answer
    request = ask(output_schema=schema)
    with pytest.raises(ExecutionError) as caught:
        acme.complete(request, scope(stream=streamed, max_retries=3))
    assert said in caught.value.message
    assert caught.value.hint
    assert server.calls == 1
    assert acme.would_hit(request, scope(mode="only")) is None


def together(count: int, call: Any) -> list[Any]:
    """Call from `count` threads at once; what each got, errors included."""
    results: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def one(number: int) -> None:
        barrier.wait(10)
        try:
            results[number] = call(number)
        except Exception as error:  # noqa: BLE001  (what it was is what the tests ask)
            results[number] = error

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


def slow(text: str = "hello", seconds: float = 0.2) -> Any:
    def answer(connection: Connection) -> None:
        connection.wait(seconds)
        chat(text)(connection)

    return answer


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_32_at_once_are_one_call(priced: Providers, server: FaultyServer, streamed: bool) -> None:
    server.default = slow()
    heard = [Ears() for _ in range(32)]
    results: list[Completion] = together(
        32, lambda n: priced.complete(ask(), scope(heard[n], stream=streamed, run_id=f"run-{n}"))
    )
    assert server.calls == 1
    assert {r.text for r in results} == {"hello"}
    assert sorted(str(r.cache) for r in results) == ["hit"] * 31 + ["miss"]
    leader = next(n for n, r in enumerate(results) if r.cache == "miss")
    assert sum((r.cost_usd or Decimal(0) for r in results), Decimal(0)) == COST
    assert {r.cache.saved_usd for r in results if r.cache == "hit"} == {COST}
    assert {r.cache.original_run_id for r in results if r.cache == "hit"} == {f"run-{leader}"}
    if streamed:
        assert {ears.text for ears in heard} == {"hello"}


def test_32_at_once_share_a_failure(acme: Providers, server: FaultyServer) -> None:
    def answer(connection: Connection) -> None:
        connection.wait(0.2)
        status(400)(connection)

    server.default = answer
    results = together(32, lambda _: acme.complete(ask(), scope()))
    assert {type(r) for r in results} == {APIError}
    assert {r.status for r in results} == {400}
    assert server.calls < 32
    assert sum(len(r.attempts) for r in results) == server.calls, "only who asked has attempts"


def test_when_the_first_is_cancelled_another_takes_over(acme: Providers, server: FaultyServer) -> None:
    server.script(slow("never", 30))
    tokens = [CancelToken(), CancelToken()]
    results: list[Any] = [None, None]

    def call(number: int) -> None:
        try:
            results[number] = acme.complete(ask(), scope(cancel=tokens[number], read_timeout=60))
        except ExecutionError as error:
            results[number] = error

    first = threading.Thread(target=call, args=(0,))
    first.start()
    while not server.calls:
        time.sleep(0.01)
    second = threading.Thread(target=call, args=(1,))
    second.start()
    time.sleep(0.1)
    tokens[0].cancel()
    first.join(60)
    second.join(60)
    assert isinstance(results[0], ExecutionError)
    assert results[1].text == "hello"
    assert results[1].cache == "miss"


def test_nothing_is_sent_before_the_run_is_on_record(acme: Providers, server: FaultyServer) -> None:
    calls_then: list[int] = []
    acme.complete(ask(), scope(before_wire=lambda _: calls_then.append(server.calls)))
    acme.complete(ask(), scope(before_wire=lambda _: calls_then.append(server.calls)))
    assert calls_then == [0], "and a hit needs no record first"


def test_a_damaged_entry_is_dropped(acme: Providers, server: FaultyServer) -> None:
    cache = acme._cache
    key = acme.explain_key(ask(), scope()).key
    for body in (b"{", b"[]", b"{}", b'{"choices": 7}', b"\xff"):
        cache.set(Entry(key=key, body=body))
        assert acme.complete(ask(), scope()).cache == "miss"
    assert server.calls == 5
    cache.set(Entry(key=key, body=b"{"))
    with pytest.raises(ExecutionError):
        acme.complete(ask(), scope(mode="only"))
    assert cache.get(key) is None


class LateCache(MemoryCache):
    """A cache in which an answer turns up between two looks."""

    late: Entry | None = None

    def get(self, key: str) -> Entry | None:
        found = super().get(key)
        if found is None and self.late is not None:
            self.set(self.late)
        return found


def test_an_equal_call_that_came_home_meanwhile_is_noticed(make: MakeProviders, server: FaultyServer) -> None:
    cache = LateCache(1_000_000)
    providers = make(f'[providers.acme]\nbase_url = "{server.url}"\n', cache=cache)
    body = json.dumps(chat_body("from another")).encode()
    cache.late = Entry(key=providers.explain_key(ask(), scope()).key, body=body)
    late = providers.complete(ask(), scope())
    assert (late.text, str(late.cache)) == ("from another", "hit")
    assert server.calls == 0


class BrokenCache(Cache):
    """A cache whose disk is gone."""

    def get(self, key: str) -> Entry | None:
        raise CacheError("gone.")

    def set(self, entry: Entry) -> None:
        raise CacheError("gone.")

    def delete(self, key: str) -> bool:
        raise CacheError("gone.")

    def clear(self) -> int:
        raise CacheError("gone.")

    def size(self) -> CacheSize:
        raise CacheError("gone.")

    def entries(self, *, limit: int = 1000, offset: int = 0) -> Any:
        raise CacheError("gone.")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_broken_cache_fails_nothing(make: MakeProviders, server: FaultyServer, streamed: bool) -> None:
    providers = make(f'[providers.acme]\nbase_url = "{server.url}"\n', cache=BrokenCache())
    for _ in range(2):
        assert providers.complete(ask(), scope(stream=streamed)).cache == "miss"


def test_exchanges_are_bounded_and_show_no_key(acme: Providers, server: FaultyServer, ears: Ears) -> None:
    server.default = chat("é" * 100_000)
    acme.complete(ask("x" * 100_000), scope(ears))
    (shown,) = ears.of("exchange")
    assert shown["url"].endswith("/v1/chat/completions")
    assert shown["status"] == 200
    assert len(shown["request"]) < 33_000
    assert len(shown["response"]) < 33_000
    assert "bytes in all" in shown["request"]


STYLES = {
    "openai": "sk-proj-Canary_0123456789-abcdefghijklmnopqrstuvwxyzABCDEFGHIJ",
    "azure": "0123456789abcdef0123456789canary",
    "azure new": "CANARY" + "7a" * 36 + "JQQJ99",
    "google": "AIzaSyCANARY0123456789abcdefghijklmnop_",
    "anthropic": "sk-ant-api03-canary_0123456789-abcdefghijklmnopqrstuvwxyz-AA",
}


@pytest.mark.parametrize("backend", ["sqlite", "filesystem", "memory"])
@pytest.mark.parametrize("key", STYLES.values(), ids=STYLES)
def test_keys_are_found_nowhere(
    make: MakeProviders, server: FaultyServer, tmp_path: Path, ears: Ears, key: str, backend: str
) -> None:
    settings = load_settings({"MCP_DATA_DIR": str(tmp_path / "data"), "MCP_CACHE_BACKEND": backend}, directory=tmp_path)
    cache = open_cache(settings)
    said: list[str] = []
    for protocol in ("openai", "anthropic"):
        providers = make(
            f'[providers.acme]\nprotocol = "{protocol}"\nbase_url = "{server.url}"\napi_key_env = "ACME_KEY"\n',
            cache=cache,
            env={"ACME_KEY": key},
        )
        echo = f"your key is {key}, thank you"
        good = chat(echo) if protocol == "openai" else messages(echo)
        server.script(status(401, echo), status(500, echo), http(404, echo.encode()), http(200, echo.encode()))
        server.script(good, good)
        for streamed in (False, True, False, True, False, True):
            try:
                completion = providers.complete(ask(f"echo {streamed}"), scope(ears, stream=streamed))
            except APIError as error:
                said += [str(error), repr(error.attempts)]
            else:
                assert "thank you" in completion.text
                said += [completion.text, repr(completion)]
        assert key in str(server.received[-1].headers), "it was really sent"
    entries = list(cache.entries())
    cache.close()
    assert len(entries) == 4
    said += [repr(ears.heard), repr(entries)]
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert key not in " ".join(said)
    assert all(key.encode() not in content for content in files)
    assert not re.search("canary", " ".join(said), re.IGNORECASE)


def test_a_key_that_comes_in_pieces_is_shown_in_none(acme: Providers, server: FaultyServer, ears: Ears) -> None:
    server.default = stream("Your key is ", KEY[:9], KEY[9:20], KEY[20:], ", thank", " you", "")
    completion = acme.complete(ask(), scope(ears, stream=True))
    assert completion.text == ears.text == "Your key is [redacted], thank you"
    assert not any(piece["text"] and piece["text"] in KEY for piece in ears.of("token"))
    assert KEY[9:20] not in repr(ears.heard)
    assert acme.complete(ask(), scope()).text == completion.text


def test_a_replay_shows_no_secret_of_another_provider(acme: Providers, server: FaultyServer, ears: Ears) -> None:
    secret = "another-providers-key-0123456789"
    server.default = chat(f"It is {secret}, is it not?")
    acme.complete(ask(), scope())
    redactor.learn([secret])
    acme.complete(ask(), scope(ears, stream=True))
    assert ears.text == "It is [redacted], is it not?"
