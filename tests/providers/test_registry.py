"""What providers there are, what they offer and how they are."""

import subprocess
import sys
import threading
from dataclasses import replace
from typing import Any

import pytest

from mcp_core.errors import ConfigurationError
from mcp_core.providers.base import ChatRequest, Completion, Message
from mcp_core.providers.llm import DEFAULT_MODEL, RunLLM
from mcp_core.providers.rates import Headroom
from mcp_core.providers.registry import ProviderInfo, Providers
from tests.faulty import FaultyServer, chat, hang, http, models, redirect, status
from tests.providers.conftest import KEY, MakeProviders, scope

pytestmark = pytest.mark.integration


def test_the_list_of_providers(make: MakeProviders) -> None:
    providers = make(
        '[providers.acme]\nbase_url = "https://acme.example/v1"\napi_key_env = "ACME_KEY"\nmodels = ["a"]\n'
        '[providers.bare]\nprotocol = "anthropic"\nbase_url = "http://bare.example"\napi_key_env = "BARE_KEY"\n',
        local="",
    )
    bearer = {"Authorization": "Bearer $ACME_KEY"}
    version = {"x-api-key": "$BARE_KEY", "anthropic-version": "2023-06-01"}
    url = "https://acme.example/v1"
    assert providers.list() == [
        replace(
            ProviderInfo("local", "openai", "http://127.0.0.1/v1", True, ("smollm2-135m-instruct",), "absent"),
            max_concurrency=2,
        ),
        replace(
            ProviderInfo("acme", "openai", url, True, ("a",), "ready", None, "ACME_KEY", bearer), max_concurrency=32
        ),
        replace(
            ProviderInfo("bare", "anthropic", "http://bare.example", False, (), "no key", None, "BARE_KEY", version),
            max_concurrency=32,
        ),
    ]
    assert KEY not in repr(providers.list())


def test_the_list_tells_what_is_left_of_rates_and_which_calls_are_under_way(make: MakeProviders) -> None:
    (acme,) = make(
        '[providers.acme]\nbase_url = "https://acme.example/v1"\nmax_concurrency = 3\ntokens_per_minute = 6000\n'
        '[[providers.acme.limits]]\nmodel = "a"\nrequests_per_minute = 60\n'
        '[[providers.acme.limits]]\nmodel = "*"\nrequests_per_minute = 30\n'
    ).list()
    assert (acme.in_use, acme.max_concurrency, acme.outage_until) == (0, 3, None)
    assert acme.limits == (Headroom("acme", "tokens", 6000, 1000, 1000), Headroom("acme/a", "requests", 60, 10, 10))


def test_headers_are_those_of_the_dialect_and_none_carry_a_key_where_there_is_none(make: MakeProviders) -> None:
    providers = make(
        '[providers.blue]\nbase_url = "https://x.openai.azure.com/openai"\napi_key_env = "ACME_KEY"\n'
        'headers = { X-Team = "a $b" }\n'
        '[providers.open]\nbase_url = "http://open.example/v1"\n'
    )
    found = {info.name: info for info in providers.list()}
    assert found["blue"].headers == {"X-Team": "a $b", "api-key": "$ACME_KEY"}
    assert (found["open"].headers, found["open"].api_key_env) == ({}, "")


def test_models_are_those_configured_or_the_servers_own(make: MakeProviders, server: FaultyServer) -> None:
    server.default = models("b", "a")
    providers = make(
        f'[providers.acme]\nbase_url = "{server.url}"\napi_key_env = "ACME_KEY"\n'
        f'[providers.claude]\nprotocol = "anthropic"\nbase_url = "{server.url}"\nquery = {{ v = "1" }}\n'
        f'[providers.named]\nbase_url = "{server.url}"\nmodels = ["one"]\n',
    )
    expected = {
        "acme": ("acme/b", "acme/a"),
        "claude": ("claude/b", "claude/a"),
        "named": ("named/one",),
    }
    assert {p.provider: p.models for p in providers.models()} == expected
    assert sorted(r.path for r in server.received) == ["/v1/models", "/v1/models?v=1"]
    assert {r.method for r in server.received} == {"GET"}
    assert {p.provider: p.models for p in providers.models()} == expected
    assert server.calls == 2, "the lists are remembered"
    server.default = models("c")
    assert providers.models(refresh=True)[0].models == ("acme/c",)
    assert server.calls == 4


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (status(401, KEY), "did not accept the API key"),
        (status(500), "failed"),
        (http(200, b"{}"), "sent no list of models"),
        (http(200, b"<p>"), "not JSON"),
        (redirect("/login"), "redirect"),
    ],
    ids=["401", "500", "no list", "no JSON", "redirect"],
)
def test_a_failing_list_is_empty_and_says_why(acme: Providers, server: FaultyServer, answer: object, said: str) -> None:
    server.script(answer, answer)  # type: ignore[arg-type]
    (listed,) = acme.models()
    assert listed.models == ()
    assert said in listed.error
    assert KEY not in listed.error
    health = acme.check("acme")
    assert (health.ok, health.latency_seconds) == (False, None)
    assert said in health.message
    assert health.hint
    server.default = models("a")
    assert acme.models()[0].models == ("acme/a",), "a failure is not remembered"


def test_a_list_that_does_not_come(acme: Providers, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_core.providers.listing._LIST_SECONDS", 0.2)
    server.script(hang(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), hang())
    assert "within 0.2 s" in acme.check("acme").message or "silent" in acme.check("acme").message


def test_a_missing_key_is_told(make: MakeProviders, server: FaultyServer) -> None:
    providers = make(f'[providers.acme]\nbase_url = "{server.url}"\napi_key_env = "NO_KEY"\n')
    assert "key of acme is missing" in providers.models()[0].error
    assert "NO_KEY" in providers.check("acme").hint
    assert not server.calls


def test_health(acme: Providers, server: FaultyServer) -> None:
    server.default = models("a")
    for _ in range(2):
        health = acme.check("acme")
        assert health.ok
        assert health.latency_seconds is not None
    assert server.calls == 2, "health is never remembered"
    with pytest.raises(ConfigurationError, match="no provider 'nobody'"):
        acme.check("nobody")


def test_the_local_models_health_does_not_start_it(make: MakeProviders) -> None:
    providers = make(local="")
    health = providers.check("local")
    assert (health.ok, health.message) == (True, "It is fetched when it is first asked.")
    assert providers.local.state == "absent"


def test_one_executor_asks_in_short(acme: Providers, server: FaultyServer) -> None:
    done: list[Completion] = []
    llm = RunLLM(acme, scope(), done.append)
    answer = llm.complete(prompt="hi", model="acme/m", system="be brief", temperature=0.5, max_tokens=3)
    assert done == [answer]
    assert server.received[0].json == {
        "model": "m",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "max_tokens": 3,
    }
    server.script(chat('{"a": 1}'))
    assert llm.complete(prompt="x", model="acme/m", schema={"type": "object"}).data == {"a": 1}
    assert llm.complete(ChatRequest("acme/m", (Message("user", "y"),))).text == "hello"
    assert len(done) == 3
    assert DEFAULT_MODEL == "local/smollm2-135m-instruct"


@pytest.mark.parametrize("wrong", [{"temprature": 1}, {"messages": ()}, {"output_schema": {}}])
def test_an_unknown_sampling_setting_is_named(acme: Providers, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))) as caught:
        RunLLM(acme, scope(), lambda _: None).complete(prompt="hi", model="acme/m", **wrong)
    assert "max_tokens" in caught.value.hint


def test_nothing_is_left_running_after_the_end(acme: Providers, server: FaultyServer) -> None:
    acme.complete(ChatRequest("acme/m", (Message("user", "y"),)), scope())
    acme.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("mcp-")]


def test_http_is_loaded_when_it_is_needed() -> None:
    program = (
        "import sys, mcp_core.providers.registry; print([m for m in ('requests', 'genai_prices') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
