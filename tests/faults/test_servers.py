"""Model servers that misbehave, each felt by a whole run; afterwards the panel goes on, and the account is settled."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from mcp_core.api.client import MCPClient
from mcp_core.models import Run, RunStatus
from tests.faults.conftest import QUESTION, SECRET, Place
from tests.faulty import (
    Connection,
    FaultyServer,
    chat,
    chat_body,
    hang,
    http,
    redirect,
    reset,
    sse,
    status,
    stream,
    stream_pieces,
    trickle,
)

pytestmark = pytest.mark.integration

OK = RunStatus.SUCCEEDED
BYPASS = QUESTION.cache.model_copy(update={"mode": "bypass"})
PART = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{"


def asked(panel: MCPClient, *, streamed: bool = False, **config: Any) -> Run:
    """A run of one question, with other settings of the task."""
    task = QUESTION.model_copy(update=config)
    return panel.submit(task, {"n": "faulty"}, stream=streamed).result(120)


def goes_on(place: Place, panel: MCPClient, *runs: Run) -> None:
    """Another question is answered, and everything is on record."""
    place.server.default = chat("fine")
    last = panel.submit(QUESTION, {"n": "afterwards"}, stream=False).result(120)
    assert (last.status, last.output.text) == (OK, "fine")
    place.settle(panel, [*runs, last])


def failed(run: Run, said: str) -> None:
    """It failed for that reason, and says what to do."""
    assert run.status is RunStatus.FAILED
    assert run.error is not None
    assert said in run.error.message
    assert run.error.hint
    assert run.attempts[-1].error


def test_429_with_retry_after_in_seconds(place: Place) -> None:
    place.server.script(status(429, headers={"Retry-After": "1"}))
    panel = place.open()
    run = asked(panel, max_retries=1)
    assert (run.status, [attempt.status for attempt in run.attempts]) == (OK, [429, 200])
    (retry,) = [event for event in panel.runs.events(run.id) if event.kind == "retry"]
    assert 1.0 <= retry.data["wait_seconds"] <= 1.1
    goes_on(place, panel, run)


def test_429_with_retry_after_as_a_date(place: Place) -> None:
    def busy(connection: Connection) -> None:
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        status(429, headers={"Retry-After": later})(connection)

    place.server.script(busy)
    panel = place.open()
    run = asked(panel, max_retries=1)
    assert (run.status, [attempt.status for attempt in run.attempts]) == (OK, [429, 200])
    (retry,) = [event for event in panel.runs.events(run.id) if event.kind == "retry"]
    assert retry.data["wait_seconds"] <= 2.2
    goes_on(place, panel, run)


def test_a_burst_of_500_502_503(place: Place) -> None:
    place.server.script(*(status(code, headers={"Retry-After": "0"}) for code in (500, 502, 503)))
    panel = place.open()
    run = asked(panel, max_retries=3)
    assert (run.status, [attempt.status for attempt in run.attempts]) == (OK, [500, 502, 503, 200])
    place.server.script(*(status(503, headers={"Retry-After": "0"}) for _ in range(2)))
    given_up = asked(panel, max_retries=1, cache=BYPASS)
    failed(given_up, "HTTP 503")
    goes_on(place, panel, run, given_up)


def test_connection_refused(place: Place) -> None:
    panel = place.open()
    place.server.close()
    run = asked(panel)
    failed(run, "refuses connections")
    place.settle(panel, [run])


@pytest.mark.parametrize("after", [b"", PART], ids=["before", "during"])
def test_reset_before_and_during_the_body(place: Place, after: bytes) -> None:
    place.server.script(reset(after), reset(after))
    panel = place.open()
    run = asked(panel)
    failed(run, "broke off")
    again = asked(panel, max_retries=1)
    assert (again.status, [attempt.status for attempt in again.attempts]) == (OK, [None, 200])
    goes_on(place, panel, run, again)


def test_hang_before_headers(place: Place) -> None:
    place.server.script(hang())
    panel = place.open()
    run = asked(panel, timeout=1.0)
    assert run.status is RunStatus.TIMED_OUT
    goes_on(place, panel, run)


def test_one_byte_a_second(place: Place) -> None:
    place.server.script(trickle(json.dumps(chat_body()).encode(), 1.0))
    panel = place.open()
    run = asked(panel, timeout=2.0)
    assert run.status is RunStatus.TIMED_OUT
    goes_on(place, panel, run)


def test_truncated_stream(place: Place) -> None:
    cut = stream("wro", "ng", finish_reason=None, done=False, end=False)
    place.server.script(cut, cut, stream("ri", "ght"))
    panel = place.open()
    run = asked(panel, streamed=True)
    failed(run, "broke off")
    again = asked(panel, streamed=True, max_retries=1)
    assert (again.status, again.output.text) == (OK, "right")
    goes_on(place, panel, run, again)


def test_stream_with_comments_keep_alives_and_split_characters(place: Place) -> None:
    body = b": hello\n\n" + b"".join(stream_pieces(["grü", "ße ☃"])).replace(b"data: ", b": keep-alive\ndata: ", 1)
    place.server.script(sse(*(body[at : at + 1] for at in range(len(body)))))
    panel = place.open()
    run = asked(panel, streamed=True)
    assert (run.status, run.output.text) == (OK, "grüße ☃")
    assert run.usage.output_tokens == 7
    goes_on(place, panel, run)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_malformed_json(place: Place, streamed: bool) -> None:
    broken = sse(b'data: {"choices": [\n\n') if streamed else http(200, b'{"choices": [')
    place.server.script(broken)
    panel = place.open()
    run = asked(panel, streamed=streamed)
    failed(run, "JSON")
    goes_on(place, panel, run)


def test_wrong_content_type(place: Place) -> None:
    place.server.script(http(200, b"<h1>Log in</h1>", {"Content-Type": "text/html"}))
    panel = place.open()
    run = asked(panel)
    failed(run, "text/html")
    goes_on(place, panel, run)


def test_empty_body(place: Place) -> None:
    place.server.script(http(200, b""))
    panel = place.open()
    run = asked(panel)
    failed(run, "empty answer")
    goes_on(place, panel, run)


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "unannounced"])
def test_200_megabytes(place: Place, announced: bool) -> None:
    sent = []

    def endless(connection: Connection) -> None:
        length = "Content-Length: 200000000\r\n" if announced else "Connection: close\r\n"
        connection.send(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{length}\r\n".encode())
        for _ in range(200):
            connection.send(b" " * 1_000_000)
            sent.append(1)

    place.server.script(endless)
    panel = place.open()
    run = asked(panel)
    failed(run, "more than 32 MB")
    # 32 MB are read, and some wait in the buffers of the network; the rest is never taken.
    assert len(sent) < 100
    goes_on(place, panel, run)


def test_redirect_loop(place: Place) -> None:
    place.server.script(redirect(f"{place.server.url}/chat/completions", 307))
    panel = place.open()
    run = asked(panel)
    failed(run, "redirect")
    assert place.server.calls == 1
    goes_on(place, panel, run)


def test_tls_failure(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    providers = place.data / "providers.toml"
    with FaultyServer(tls=True) as untrusted:
        providers.write_text(providers.read_text().replace(place.server.url, untrusted.url))
        panel = place.open()
        run = asked(panel)
        failed(run, "TLS certificate")
        assert untrusted.calls == 0
    place.settle(panel, [run])


WRONG: list[Any] = [
    {"prompt_tokens": -1, "completion_tokens": 2},
    {"prompt_tokens": "many", "completion_tokens": 2},
    {"prompt_tokens": 1e300, "completion_tokens": 2},
    [],
]


@pytest.mark.parametrize("usage", WRONG, ids=["negative", "text", "endless", "list"])
def test_wrong_usage_numbers(place: Place, usage: Any) -> None:
    unknown_usage(place, chat("fine", usage=usage))


def test_missing_usage(place: Place) -> None:
    unknown_usage(place, chat("fine", usage=None))


def unknown_usage(place: Place, answer: Callable[[Connection], None]) -> None:
    place.server.script(answer)
    panel = place.open()
    run = asked(panel)
    assert (run.status, run.output.text) == (OK, "fine")
    assert (run.usage.input_tokens, run.usage.output_tokens, run.cost_usd) == (0, 0, None)
    goes_on(place, panel, run)


def test_a_server_that_repeats_the_key(place: Place) -> None:
    place.server.script(status(401, f"wrong key {SECRET}"), chat(f"your key is {SECRET}"), stream("your key ", SECRET))
    panel = place.open()
    runs = [asked(panel), asked(panel)]
    runs.append(asked(panel, streamed=True, cache=BYPASS))
    assert [run.status for run in runs] == [RunStatus.FAILED, OK, OK]
    assert not any(SECRET in run.model_dump_json() for run in runs)
    goes_on(place, panel, *runs)


def test_every_answer_from_the_cache_when_the_server_is_gone(place: Place) -> None:
    panel = place.open()
    brief = QUESTION.cache.model_copy(update={"ttl": 1e-6})
    first = [panel.submit(QUESTION.model_copy(update={"cache": brief}), {"n": str(n)}).result(120) for n in range(5)]
    place.server.close()
    time.sleep(0.01)
    stale = [panel.submit(QUESTION, {"n": str(n)}, stream=False).result(120) for n in range(5)]
    assert [str(run.cache) for run in stale] == ["stale"] * 5
    assert all((run.cache.age_seconds or 0) > 0 for run in stale)
    assert [run.output.text for run in stale] == [run.output.text for run in first]
    only = QUESTION.model_copy(update={"cache": QUESTION.cache.model_copy(update={"mode": "only"})})
    replayed = [panel.submit(only, {"n": str(n)}, stream=n % 2 == 1).result(120) for n in range(5)]
    assert {run.status for run in replayed} == {OK}
    assert all(run.attempts == () for run in replayed), "nobody was asked"
    unknown = panel.submit(only, {"n": "never asked"}).result(120)
    assert unknown.status is RunStatus.FAILED
    place.settle(panel, [*first, *stale, *replayed, unknown])
