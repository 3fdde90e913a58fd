from tests.cache.helpers import said, valkey_url

__all__ = ["said", "valkey_url"]
