"""From settings to the cache they ask for."""

from collections.abc import Callable
from importlib.metadata import entry_points
from urllib.parse import quote

from loguru import logger

from mcp_core.cache.base import Cache
from mcp_core.cache.cipher import Cipher
from mcp_core.cache.guard import SafeCache
from mcp_core.errors import ConfigurationError, MCPError
from mcp_core.settings import Settings

__all__ = ["ENTRY_POINT_GROUP", "cache_names", "open_cache"]

ENTRY_POINT_GROUP = "mcp_core.caches"
"""Entry points of this group are cache classes; each is called with the `Settings`."""

_FRONT_BYTES = 64_000_000


def open_cache(settings: Settings, cipher: Cipher | None = None) -> SafeCache:
    """The cache that `settings.cache_backend` names. Nothing is read or written yet; close it after use.

    `get` and `set` of it never raise. A Redis that cannot be reached is logged and tried again later.

    Args:
        cipher: encrypts what leaves this process's memory, where there is one; a plugin's cache gets plain entries.

    Raises:
        ConfigurationError: the backend is unknown or lacks a setting.
    """
    name = settings.cache_backend
    build = _BUILT_IN.get(name)
    cache = build(settings, cipher) if build is not None else _custom(name, settings)
    logger.debug("Answers are remembered by {} (at most {} bytes)", name, settings.cache_max_bytes)
    safe = SafeCache(cache)
    safe.check()
    return safe


def cache_names() -> list[str]:
    """Names a `MCP_CACHE_BACKEND` may have: the built-in ones and those of plugins, sorted."""
    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def _memory(settings: Settings, _cipher: Cipher | None) -> Cache:
    from mcp_core.cache.memory import MemoryCache

    return MemoryCache(settings.cache_max_bytes)


def _sqlite(settings: Settings, cipher: Cipher | None) -> Cache:
    from mcp_core.cache.sqlite import SQLiteCache

    path = settings.data_dir / "cache.sqlite"
    return _with_front(SQLiteCache(path, settings.cache_max_bytes, cipher=cipher), settings)


def _filesystem(settings: Settings, cipher: Cipher | None) -> Cache:
    from mcp_core.cache.filesystem import FilesystemCache

    return FilesystemCache(settings.data_dir / "cache", settings.cache_max_bytes, cipher=cipher)


def _redis(settings: Settings, cipher: Cipher | None) -> Cache:
    from mcp_core.cache.redis import RedisCache

    if not settings.redis_url:
        raise ConfigurationError(
            f"The {settings.cache_backend} cache needs the address of a Redis or Valkey server.",
            hint="Set MCP_REDIS_URL, for example redis://localhost:6379/0, or MCP_CACHE_BACKEND=sqlite.",
            field="MCP_REDIS_URL",
        )
    return RedisCache(settings.redis_url, max_bytes=settings.cache_max_bytes, cipher=cipher)


def _tiered(settings: Settings, cipher: Cipher | None) -> Cache:
    return _with_front(_redis(settings, cipher), settings)


def _with_front(back: Cache, settings: Settings) -> Cache:
    from mcp_core.cache.memory import MemoryCache
    from mcp_core.cache.tiered import TieredCache

    return TieredCache(MemoryCache(min(_FRONT_BYTES, settings.cache_max_bytes // 8)), back)


_BUILT_IN: dict[str, Callable[[Settings, Cipher | None], Cache]] = {
    "filesystem": _filesystem,
    "memory": _memory,
    "redis": _redis,
    "sqlite": _sqlite,
    "tiered": _tiered,
}


def _custom(name: str, settings: Settings) -> Cache:
    from mcp_core.cache.custom import adapted
    from mcp_core.cache.notes import Notes

    points = entry_points(group=ENTRY_POINT_GROUP, name=name)
    if not points:
        raise ConfigurationError(
            f"MCP_CACHE_BACKEND is {name!r}, which is no cache this installation has.",
            hint=f"Use one of {', '.join(cache_names())}, or install the package that brings {name!r}.",
            field="MCP_CACHE_BACKEND",
        )
    point = next(iter(points))
    try:
        made = point.load()(settings)
    except MCPError:
        raise
    except Exception as error:
        logger.opt(exception=error).debug("The cache plugin {} failed", point.value)
        raise ConfigurationError(
            f"The cache {name!r} of {point.value} cannot be started: {type(error).__name__}: {error}.",
            hint="Mend or remove that package, or set MCP_CACHE_BACKEND=sqlite.",
            field="MCP_CACHE_BACKEND",
        ) from error
    return adapted(made, name, Notes(settings.data_dir / f"cache-{quote(name, safe='')}.json"))
