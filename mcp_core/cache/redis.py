"""Answers on a Redis or Valkey server: shared by every process and machine of a team."""

import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from loguru import logger
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from mcp_core.cache.base import EVERYTHING as ALL_ENTRIES
from mcp_core.cache.base import Cache, CacheSize, Entry, EntryFilter, Item
from mcp_core.cache.cipher import Cipher
from mcp_core.cache.codec import decode, encode, is_sealed, read_head
from mcp_core.cache.guard import health_of_server
from mcp_core.cache.redis_lock import redis_lock
from mcp_core.cache.redis_scripts import CLEAR, DELETE, PIN, STORE, SWEEP, TOUCH
from mcp_core.cache.redis_watch import EVERYTHING, Watcher
from mcp_core.errors import CacheError, ConfigurationError

__all__ = ["KEEP_STALE_SECONDS", "RedisCache", "connect"]

KEEP_STALE_SECONDS = 7 * 86_400.0
"""How long an entry stays after it expired, so that it can still be served where the model server is down."""

_SOCKET_SECONDS = 0.9
_INDEXES = ("used", "made", "sizes", "bytes", "drops", "heads", "hits", "pins")
_UNUSED = (0.0, 0)
_TOUCHES_KEPT = 512
_PAGE = 500
_GLOB = re.compile(r"([\[\]*?\\^])")
_ESCAPED = r"\\\1"


def connect(url: str) -> Any:
    """A client of the server at `url`, which is not asked anything yet. A call takes a second or two at most.

    Raises:
        ConfigurationError: the URL is none.
    """
    # A socket of this machine has nothing to keep alive, and refuses to be told to.
    keepalive = {} if url.startswith("unix:") else {"socket_keepalive": True}
    try:
        return Redis.from_url(
            url,
            socket_timeout=_SOCKET_SECONDS,
            socket_connect_timeout=_SOCKET_SECONDS,
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            health_check_interval=30,
            **keepalive,
        )
    except ValueError:
        # The message of the original quotes the URL, which may hold a password.
        raise ConfigurationError(
            "The address of the Redis server is no redis://, rediss:// or unix:// URL.",
            hint="Set MCP_REDIS_URL to one, for example redis://localhost:6379/0.",
            field="MCP_REDIS_URL",
        ) from None


class RedisCache(Cache):
    """Keeps the most recently used entries of at most `max_bytes` in all, and the pinned ones, under `prefix`.

    Thread-safe. All names of one cache share a hash tag, so that they are on one node of a cluster. Connecting and
    answering may take 0.9 s each, once again after a connection that broke; then a call gives up with a `CacheError`.

    Args:
        url: `redis://`, `rediss://` (TLS, certificate checked) or `unix://`, with credentials where needed.
        max_bytes: largest size of all entries, as stored.
        prefix: begins all names, so that several panels can share a server.
        cipher: encrypts what is stored, where there is one.

    Attributes:
        evictions: entries this process pushed out.
        health: tells of the server.

    Raises:
        ConfigurationError: the URL is none.
    """

    name = "redis"

    def __init__(self, url: str, *, max_bytes: int, prefix: str = "mcp-cache", cipher: Cipher | None = None) -> None:
        self.max_bytes = max_bytes
        self.evictions = 0
        self._cipher = cipher
        self._id = secrets.token_hex(8)
        self._prefix = f"{{{prefix}}}:entry:"
        self._channel = f"{{{prefix}}}:changed"
        self._indexes = [f"{{{prefix}}}:{name}" for name in _INDEXES]
        self._lock_prefix = f"{{{prefix}}}:lock:"
        self._touched: dict[str, tuple[float, int]] = {}
        self._watchers: list[Watcher] = []
        self._watching = threading.Lock()
        self._db = connect(url)
        self.health = health_of_server(url, "Redis")
        self._store = self._db.register_script(STORE)
        self._sweep = self._db.register_script(SWEEP)
        self._delete = self._db.register_script(DELETE)
        self._clear = self._db.register_script(CLEAR)
        self._pin = self._db.register_script(PIN)
        self._touch = self._db.register_script(TOUCH)

    def check(self) -> None:
        """Raise `CacheError` where the server does not answer."""
        with self._translated():
            self._db.ping()

    def get(self, key: str) -> Entry | None:
        """The entry under `key`, fresh or expired; None where there is none."""
        entry = self.peek(key)
        if entry is not None:
            self.touch(key)
        return entry

    def peek(self, key: str) -> Entry | None:
        """The entry under `key`, without counting as a use."""
        with self._translated():
            data = self._db.get(self._prefix + key)
        if data is None:
            return None
        entry = decode(data, key, self._cipher)
        if entry is None and not is_sealed(data, self._cipher):
            logger.warning("Dropped a damaged answer from Redis: {}", key)
            self.delete(key)
        return entry

    def set(self, entry: Entry) -> None:
        """Store `entry` under its key, replacing what was there. One larger than `max_bytes` is not kept."""
        data = encode(entry, self._cipher)
        if len(data) > self.max_bytes:
            logger.debug("An answer of {} bytes is larger than the whole cache, so it is not kept", len(data))
            self.delete(entry.key)
            return
        now = time.time()
        keep = 0.0 if entry.expires_at is None else max(entry.expires_at - now, 0.0) + KEEP_STALE_SECONDS
        with self._translated():
            self._flush()
            gone = self._store(
                keys=self._indexes,
                args=[
                    self._prefix, entry.key, data, len(data), now, entry.created_at, int(keep * 1000), now + keep,
                    self.max_bytes, self._channel, self._id, encode(replace(entry, body=b"", about="")),
                ],
            )  # fmt: skip
        for head, size in zip(gone[::2], gone[1::2], strict=True):
            known = read_head(head)
            self.pushed_out({} if known is None else known.labels, int(size))

    def touch(self, key: str) -> None:
        """Note that `key` was used; sent with the next change or after many uses."""
        self._touched[key] = (time.time(), self._touched.get(key, _UNUSED)[1] + 1)
        if len(self._touched) >= _TOUCHES_KEPT:
            self._flush_quietly()

    def delete(self, key: str) -> bool:
        """Forget `key`; returns whether it was there."""
        with self._translated():
            return bool(self._delete(keys=self._indexes, args=[self._prefix, key, self._channel, self._id]))

    def clear(self) -> int:
        """Forget everything below the prefix; returns how many entries that were."""
        count = 0
        with self._translated():
            while cleared := int(self._clear(keys=self._indexes, args=[self._prefix])):
                count += cleared
            # The server may have dropped an index to free memory; its entries are found by their names.
            for name in self._db.scan_iter(match=f"{_GLOB.sub(_ESCAPED, self._prefix)}*", count=_PAGE):
                count += self.delete(name.decode()[len(self._prefix) :])
            self._db.publish(self._channel, f"{self._id} {EVERYTHING}")
        self._touched.clear()
        return count

    def size(self) -> CacheSize:
        """How much it holds, without what the server has let go by itself."""
        with self._translated():
            while True:
                gone, entries, held = self._sweep(keys=self._indexes, args=[self._prefix, time.time()])
                if not gone:
                    return CacheSize(entries=int(entries), size_bytes=max(0, int(held)))

    def entries(self, *, limit: int = 1000, offset: int = 0) -> Iterator[Entry]:
        """Entries, newest first, at most `limit` after skipping `offset`. One body at a time is in memory."""
        if limit <= 0:
            return
        self.size()
        with self._translated():
            keys = self._db.zrevrange(self._indexes[1], offset, offset + limit - 1)
        for key in keys:
            with self._translated():
                data = self._db.get(self._prefix + key.decode())
            entry = None if data is None else decode(data, key.decode(), self._cipher)
            if entry is not None:
                yield entry

    def items(self, wanted: EntryFilter = ALL_ENTRIES) -> Iterator[Item]:
        """All entries that are meant, in no particular order; reads what lists show of all, in one step."""
        self.size()
        with self._translated():
            self._flush()
            used, _, sizes, _, _, heads, hits, pins = self._indexes
            asked = self._db.pipeline(transaction=False)
            asked.hgetall(heads).hgetall(sizes).hgetall(hits).smembers(pins).zrange(used, 0, -1, withscores=True)
            all_heads, all_sizes, all_hits, pinned, uses = asked.execute()
        used_at = dict(uses)
        for name, head in all_heads.items():
            found = read_head(head)
            if found is None:
                continue
            item = Item.of(
                found,
                int(all_sizes.get(name, 0)),
                hits=int(all_hits.get(name, 0)),
                used_at=used_at.get(name),
                pinned=name in pinned,
            )
            if self.is_meant(item, wanted, partial(self.peek, item.key)):
                yield item

    def pin(self, key: str, *, pinned: bool = True) -> bool:
        """Keep an entry whatever comes, or no longer; returns whether it is there."""
        with self._translated():
            return bool(self._pin(keys=self._indexes, args=[self._prefix, key, int(pinned), time.time()]))

    def pins(self) -> int:
        """How many entries are pinned."""
        with self._translated():
            return int(self._db.scard(self._indexes[-1]))

    def lock(self, key: str) -> AbstractContextManager[Callable[[], bool]]:
        """A block whose value tries to be the only one of all processes that makes `key`; see `Cache.lock`."""
        return redis_lock(self._db, self._lock_prefix + key)

    def flush(self) -> None:
        """Send the hits and uses that were counted in memory."""
        self._flush_quietly()

    def watch(self, forget: Callable[[str | None], None]) -> Callable[[], None]:
        """Call `forget(key)` for what others replaced or deleted (None: everything); returns how to stop.

        It is called from a thread of its own. After the connection broke, everything is forgotten: messages may have
        been missed.
        """
        watcher = Watcher(self._db, self._channel, self._id, forget)
        with self._watching:
            self._watchers.append(watcher)
        watcher.start()
        return watcher.stop

    def close(self) -> None:
        """Send what is pending, stop watching and close the connections."""
        with self._watching:
            watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.stop()
        self._flush_quietly()
        self._db.close()

    def _flush_quietly(self) -> None:
        try:
            with self._translated():
                self._flush()
        except CacheError as error:
            logger.debug("The last uses of remembered answers were not noted: {}", error.message)

    def _flush(self) -> None:
        if self._touched:
            touched, self._touched = self._touched, {}
            uses = [value for key, (at, hits) in list(touched.items()) for value in (key, at, hits)]
            self._touch(keys=self._indexes, args=uses)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            raise CacheError(
                f"The Redis cache does not work: {error}.",
                hint="Check that the server at MCP_REDIS_URL runs, is reachable and accepts writes.",
            ) from None
