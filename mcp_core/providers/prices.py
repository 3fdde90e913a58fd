"""What an answer costs: overrides first, then public prices, and unknown where neither knows."""

import threading
from decimal import Decimal
from types import ModuleType

from loguru import logger

from mcp_core.models import Usage
from mcp_core.providers.config import LOCAL, ProviderConfig

__all__ = ["Prices"]

_MILLION = Decimal(1_000_000)
_MOST_REMEMBERED = 4096


class Prices:
    """Prices of one panel's models, in US dollars. Thread-safe.

    The public prices are those of `genai-prices`, as installed: nothing is fetched. They count for the hosts it knows
    alone; the same model elsewhere has another price, which is unknown unless the provider's `prices` state it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str, Usage], Decimal | None] = {}
        self._unpriced: set[tuple[str, str]] = set()

    def cost(self, config: ProviderConfig, model: str, usage: Usage | None) -> Decimal | None:
        """What `usage` of `model` costs; 0 for the local model, None where price or usage are unknown."""
        if config.name == LOCAL:
            return Decimal(0)
        if usage is None:
            return None
        for price in config.prices:
            if price.model in (model, "*"):
                return (
                    usage.input_tokens * price.input_usd_per_million
                    + usage.output_tokens * price.output_usd_per_million
                ) / _MILLION
        place = (config.base_url, model)
        if place in self._unpriced:
            return None
        key = (*place, usage)
        if key not in self._known:
            found = _public_cost(config.base_url, model, usage)
            with self._lock:
                if found is None:
                    self._unpriced.add(place)
                if len(self._known) >= _MOST_REMEMBERED:
                    self._known.clear()
                self._known[key] = found
        return self._known.get(key)


def _public_cost(base_url: str, model: str, usage: Usage) -> Decimal | None:
    genai_prices = _load()
    counted = genai_prices.Usage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
    try:
        found = genai_prices.calc_price(counted, model, provider_api_url=f"{base_url}/").total_price
    except LookupError:
        logger.info("No public price is known for {} at {}; its cost is shown as unknown", model, base_url)
        return None
    return Decimal(found)


def _load() -> ModuleType:
    import genai_prices  # takes 0.6 s with its data: too long for everybody who asks a local model alone

    return genai_prices
