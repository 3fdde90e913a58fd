"""How long a provider's answers stay fresh, and who shares them."""

import time

import pytest

from mcp_core.cache.memory import MemoryCache
from mcp_core.errors import ConfigurationError
from mcp_core.providers.base import CachePolicy
from tests.faulty import FaultyServer, chat
from tests.providers.conftest import MakeProviders, ask, scope

pytestmark = [pytest.mark.integration, pytest.mark.cache]


def _tables(server: FaultyServer, more: str = "") -> str:
    return f'[providers.acme]\nbase_url = "{server.url}"\napi_key_env = "ACME_KEY"\n{more}\n'


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("provider", "task", "expected"),
    [
        ("", None, 500.0),
        ('cache_ttl = "2h"', None, 7200.0),
        ("cache_ttl = 60", None, 60.0),
        ("cache_ttl = 60", 9.0, 9.0),
    ],
)
def test_the_nearest_time_to_live_counts(
    make: MakeProviders, server: FaultyServer, provider: str, task: float | None, expected: float, stream: bool
) -> None:
    server.default = chat("hello")
    cache = MemoryCache(1_000_000)
    providers = make(_tables(server, provider), cache=cache, env={"MCP_CACHE_TTL": "500"})
    before = time.time()
    providers.complete(ask(), scope(policy=CachePolicy(ttl_seconds=task), stream=stream))
    (entry,) = cache.entries()
    assert entry.expires_at is not None
    assert entry.expires_at - entry.created_at == pytest.approx(expected)
    assert entry.created_at >= before - 1
    assert entry.parts()["messages"]


@pytest.mark.parametrize(("task", "expected"), [(None, 30.0), (9.0, 9.0)])
def test_an_executor_may_say_how_long_one_answer_stays_fresh(
    make: MakeProviders, server: FaultyServer, task: float | None, expected: float
) -> None:
    server.default = chat("hello")
    cache = MemoryCache(1_000_000)
    providers = make(_tables(server, "cache_ttl = 60"), cache=cache)
    policy = CachePolicy(ttl_seconds=task)
    assert providers.explain_key(ask(ttl_seconds=30.0), scope()) == providers.explain_key(ask(), scope())
    providers.complete(ask(ttl_seconds=30.0), scope(policy=policy))
    (entry,) = cache.entries()
    assert entry.expires_at is not None
    assert entry.expires_at - entry.created_at == pytest.approx(expected)


@pytest.mark.parametrize("bad", ["cache_ttl = 0", 'cache_ttl = "soon"', 'shared = "perhaps"'])
def test_a_senseless_rule_is_refused(make: MakeProviders, server: FaultyServer, bad: str) -> None:
    with pytest.raises(ConfigurationError, match=bad.partition(" ")[0]):
        make(_tables(server, bad))


@pytest.mark.parametrize("shared", [False, True])
def test_answers_go_to_other_teams_and_credentials_only_where_a_provider_says_so(
    make: MakeProviders, server: FaultyServer, shared: bool
) -> None:
    server.default = chat("hello")
    cache = MemoryCache(1_000_000)
    tables = _tables(server, "shared = true" if shared else "shared = false")
    one = make(tables, cache=cache, env={"ACME_KEY": "sk-one-0123456789"})
    other = make(tables, cache=cache, env={"ACME_KEY": "sk-two-0123456789"})
    assert str(one.complete(ask(), scope(tenant="red")).cache) == "miss"
    expected = "hit" if shared else "miss"
    assert str(one.complete(ask(), scope(tenant="blue")).cache) == expected
    assert str(other.complete(ask(), scope(tenant="red")).cache) == expected
    assert str(one.complete(ask(), scope(tenant="red")).cache) == "hit"
    assert one.cache_rules()[0] == ("acme", None, shared)


def test_a_missing_key_is_told_also_where_answers_are_shared(make: MakeProviders, server: FaultyServer) -> None:
    providers = make(_tables(server, "shared = true"), env={"ACME_KEY": ""})
    with pytest.raises(ConfigurationError):
        providers.complete(ask(), scope())
