"""Everything that remembers an answer: keys, backends, single flight; `cache.http` bridges to requests-cache."""

from mcp_core.cache.base import Cache, CacheSize, Entry, EntryFilter, Item
from mcp_core.cache.factory import cache_names, open_cache
from mcp_core.cache.guard import SafeCache
from mcp_core.cache.keys import cache_key, changed_parts, fingerprint, part_digests
from mcp_core.cache.singleflight import SingleFlight

__all__ = [
    "Cache",
    "CacheSize",
    "Entry",
    "EntryFilter",
    "Item",
    "SafeCache",
    "SingleFlight",
    "cache_key",
    "cache_names",
    "changed_parts",
    "fingerprint",
    "open_cache",
    "part_digests",
]
