from hypothesis import HealthCheck, settings

from tests.cache.helpers import said, valkey_url

__all__ = ["said", "valkey_url"]

# How long an example takes is up to whatever else the machine does.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
