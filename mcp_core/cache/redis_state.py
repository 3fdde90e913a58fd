"""Small values on a Redis server that all processes of a team change together."""

from typing import Any

from redis.exceptions import RedisError

from mcp_core.cache.guard import Outage, health_of_server
from mcp_core.cache.redis import connect
from mcp_core.errors import CacheError

__all__ = ["RedisState"]


class RedisState:
    """Runs scripts on keys of its own. Thread-safe; a server that is away is left alone for some seconds, told once.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with credentials where needed.
        prefix: begins all names, so that several panels can share a server.

    Raises:
        ConfigurationError: the URL is none.
    """

    def __init__(self, url: str, *, prefix: str = "mcp-shared") -> None:
        self._db: Any = connect(url)
        self._prefix = prefix
        self._away = Outage(health_of_server(url, "Redis"), "sharing")
        self._why: CacheError | None = None
        self._scripts: dict[str, Any] = {}

    def run(self, script: str, key: str, *arguments: float | str) -> list[Any] | None:
        """What `script`, in Lua, returns for one key and these arguments; None while the server is away."""
        if self._away.is_down():
            return None
        known = self._scripts.get(script)
        if known is None:
            known = self._scripts.setdefault(script, self._db.register_script(script))
        try:
            found: list[Any] = known(keys=[f"{self._prefix}:{key}"], args=list(arguments))
        except (RedisError, OSError) as error:
            self._failed(error)
            return None
        self._worked()
        return found

    def trouble(self) -> CacheError | None:
        """Why the server cannot be used, as asked now or up to 5 seconds ago; None where it can."""
        if not self._away.is_down():
            try:
                self._db.ping()
            except (RedisError, OSError) as error:
                self._failed(error)
            else:
                self._worked()
        return self._why

    def _failed(self, error: Exception) -> None:
        self._why = CacheError(
            f"Redis cannot be used: {error}.".replace("..", "."),
            hint="Check that the server at MCP_REDIS_URL runs and is reachable.",
        )
        self._away.failed(self._why)

    def _worked(self) -> None:
        self._why = None
        self._away.worked()

    def close(self) -> None:
        """Close the connections."""
        self._db.close()
