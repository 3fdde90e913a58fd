"""A lock for each key on a Redis or Valkey server; that of a process that died expires."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from loguru import logger
from redis.exceptions import RedisError

__all__ = ["LEASE_SECONDS", "redis_lock"]

LEASE_SECONDS = 60.0
"""How long a lock lasts. Where the work takes longer, somebody else begins it too, which is dearer but not wrong."""

_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end"


@contextmanager
def redis_lock(db: Any, name: str) -> Iterator[Callable[[], bool]]:
    """A block whose value tries, without waiting, to take the lock `name`, and returns whether it has it.

    A server that does not answer grants it: the call is made without the cache then.
    """
    token = secrets.token_hex(8)
    held = False

    def attempt() -> bool:
        nonlocal held
        try:
            held = held or bool(db.set(name, token, nx=True, px=int(LEASE_SECONDS * 1000)))
        except (RedisError, OSError) as error:
            logger.debug("There is no lock on the Redis server: {}", error)
            return True
        return held

    try:
        yield attempt
    finally:
        if held:
            try:
                db.eval(_RELEASE, 1, name, token)
            except (RedisError, OSError) as error:
                logger.debug("A lock on the Redis server was left to expire: {}", error)
