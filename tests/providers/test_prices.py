"""What an answer costs, and that unknown is not free."""

from decimal import Decimal

import pytest

from mcp_core.models import Usage
from mcp_core.providers.config import ModelPrice, ProviderConfig
from mcp_core.providers.prices import Prices

pytestmark = pytest.mark.unit

USAGE = Usage(input_tokens=1_000_000, output_tokens=100_000)
OPENAI = ProviderConfig(name="openai", base_url="https://api.openai.com/v1")
ANTHROPIC = ProviderConfig(name="x", protocol="anthropic", base_url="https://api.anthropic.com")
ELSEWHERE = ProviderConfig(name="acme", base_url="http://10.0.0.1:8000/v1")


def test_public_prices() -> None:
    prices = Prices()
    assert prices.cost(OPENAI, "gpt-4o", USAGE) == Decimal("3.5")
    assert prices.cost(OPENAI, "gpt-4o", USAGE) == Decimal("3.5")
    assert prices.cost(OPENAI, "gpt-4o", Usage(input_tokens=1_000_000)) == Decimal("2.5")
    found = prices.cost(ANTHROPIC, "claude-sonnet-4-5", Usage(input_tokens=1000, output_tokens=100))
    assert found == Decimal("0.0045")
    assert isinstance(found, Decimal)


@pytest.mark.parametrize(
    ("config", "model", "usage"),
    [(OPENAI, "no-such-model", USAGE), (ELSEWHERE, "gpt-4o", USAGE), (OPENAI, "gpt-4o", None)],
    ids=["model", "host", "usage"],
)
def test_unknown_is_none(config: ProviderConfig, model: str, usage: Usage | None) -> None:
    prices = Prices()
    assert prices.cost(config, model, usage) is None
    assert prices.cost(config, model, usage) is None


def test_the_local_model_is_free() -> None:
    local = ProviderConfig(name="local", base_url="http://127.0.0.1/v1")
    assert Prices().cost(local, "m", None) == 0


def test_negotiated_prices_go_first() -> None:
    price = ModelPrice(model="gpt-4o", input_usd_per_million=Decimal(1), output_usd_per_million=Decimal("0.1"))
    rest = ModelPrice(model="*", input_usd_per_million=Decimal(0), output_usd_per_million=Decimal(2))
    config = OPENAI.model_copy(update={"prices": (price, rest)})
    assert Prices().cost(config, "gpt-4o", USAGE) == Decimal("1.01")
    assert Prices().cost(config, "own-finetune", USAGE) == Decimal("0.2")


def test_many_different_usages_do_not_pile_up() -> None:
    prices = Prices()
    for tokens in range(4200):
        assert prices.cost(OPENAI, "gpt-4o", Usage(input_tokens=tokens)) == tokens * Decimal("0.0000025")
    assert len(prices._known) < 4200
