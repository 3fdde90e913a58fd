"""The cache as callers see it: what it holds, what it did, and what people do to its entries."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from loguru import logger

from mcp_core.api.cache_stats import CacheStats
from mcp_core.api.handle import RunHandle
from mcp_core.cache.base import Cache, CacheSize, Entry, EntryFilter, Item, Order
from mcp_core.cache.cipher import Cipher
from mcp_core.cache.keys import JsonValue
from mcp_core.cache.ledger import Ledger
from mcp_core.cache.results import Results, ResultScope
from mcp_core.errors import CacheError, ConfigurationError
from mcp_core.formats import count
from mcp_core.models import Actor
from mcp_core.security.master_key import load_master_key
from mcp_core.security.permissions import check
from mcp_core.security.redaction import redactor
from mcp_core.settings import Settings
from mcp_core.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from mcp_core.store.filters import Group, Period

__all__ = ["CacheService", "cache_cipher"]

_KEY_LENGTH = 64
_LOOK_SECONDS = 60.0
"""How often it is looked up at most how much the cache holds, for the chart of its size."""


_FLUSH_SECONDS = 60.0
"""How often hits that were counted in memory are written down."""


class CacheService:
    """The cache of answers. Reached as `client.cache`.

    Methods that forget, pin or refresh need an actor who may; each such act is logged with who did it.

    Args:
        results: remembers what is no answer of a model.
        repeat: runs a run again, `(run_id, actor=..., cache=...)`.
    """

    def __init__(
        self,
        cache: Cache,
        results: Results,
        store: Store,
        settings: Settings,
        actor: Actor,
        repeat: Callable[..., RunHandle],
    ) -> None:
        self._cache = cache
        self._results = results
        self._store = store
        self._actor = actor
        self._repeat = repeat
        self._stats = CacheStats(store, settings)
        self._next_look = 0.0
        self._next_flush = time.monotonic() + _FLUSH_SECONDS
        store.before_heartbeat = self.flush

    # What it holds and did

    def size(self) -> CacheSize:
        """Entries and bytes held.

        Raises:
            CacheError: the backend cannot be read.
        """
        return self._cache.size()

    def stats(self, *, since: datetime | None = None, until: datetime | None = None) -> dict[str, Any]:
        """What the cache holds, and what it did from `since` to `until` (default: the last 30 days); JSON-compatible.

        `hit_ratio` is answers from the cache by runs that asked it, None before the first of either. `by` has the
        same figures for each `type`, `provider`, `model` and `task`, the busiest first.
        """
        self._write_all(look=True)
        try:
            held: CacheSize | None = self.size()
            pinned: int | None = self._cache.pins()
        except CacheError as error:
            logger.warning("The cache cannot be measured: {}", error)
            held = pinned = None
        return self._stats.read(held, pinned, since=since, until=until)

    def frame(
        self, since: datetime, until: datetime, *, by: "Period" = "day", group: "Group | None" = None
    ) -> "pd.DataFrame":
        """Hits, misses and savings over time, and by `group` where one is named."""
        return self._store.cache_frame(since, until, by=by, group=group)

    def changes_frame(self, since: datetime, until: datetime, *, by: "Period" = "day") -> "pd.DataFrame":
        """What was stored and pushed out over time: `stored`, `stored_bytes`, `evictions`, `evicted_bytes`."""
        self._write_all()
        return self._store.cache_counts.frame(since, until, by)

    def size_frame(self, since: datetime, until: datetime, *, by: "Period" = "day") -> "pd.DataFrame":
        """`entries` and `size_bytes` held over time, as last seen in each period; those without a look have no row."""
        self._write_all(look=True)
        return self._store.cache_counts.sizes(since, until, by)

    def remember(
        self,
        kind: str,
        key_parts: Mapping[str, JsonValue],
        make: Callable[[], Any],
        *,
        ttl: float | None = None,
        refresh: bool = False,
        actor: Actor | None = None,
    ) -> Any:
        """What `make` returns, or what it returned before: for configurations, fetched lists, files and the like.

        It is remembered for the actor's team alone, listed with the other entries, and made once where several ask.

        Args:
            kind: what lists call it, as they call a task's type: `configuration`, `resource`.
            key_parts: all that it depends on, by name; of a file, the hash of its content.
            make: does the work; returns what JSON can say, and gets it back as JSON has it.
            ttl: seconds it stays fresh; None for the panel's default.
            refresh: whether it is made again in any case.

        Raises:
            ConfigurationError: the parts or the result are not JSON.
        """
        who = actor or self._actor
        scope = ResultScope(
            owner={"type": kind, "tenant": who.team},
            labels={"type": kind},
            mode="refresh" if refresh else "use",
            ttl_seconds=ttl,
            mask=redactor.known,
        )
        return self._results.remember(key_parts, make, scope)[0]

    # Its entries

    def entries(self, *, limit: int = 1000, offset: int = 0) -> Iterator[Entry]:
        """Entries with their answers, newest first."""
        return self._cache.entries(limit=limit, offset=offset)

    def find(
        self, wanted: EntryFilter | None = None, *, order: Order = "newest", limit: int = 50, offset: int = 0
    ) -> list[Item]:
        """What lists show of the entries that are meant (default: all), in that order.

        Raises:
            CacheError: the backend cannot be read.
        """
        return self._cache.find(wanted or EntryFilter(), order=order, limit=limit, offset=offset)

    def count(self, wanted: EntryFilter | None = None) -> CacheSize:
        """How many entries are meant (default: all), and their size."""
        return self._cache.count(wanted or EntryFilter())

    def names(self) -> dict[str, list[str]]:
        """The labels that occur among the entries: `type`, `provider`, `model` and `task` -> names, sorted."""
        found: dict[str, set[str]] = {"type": set(), "provider": set(), "model": set(), "task": set()}
        for item in self._cache.items():
            for label, names in found.items():
                if name := item.labels.get(label):
                    names.add(name)
        return {label: sorted(names) for label, names in found.items()}

    def show(self, key: str) -> tuple[Item, Entry | None]:
        """An entry by its key, or the only one whose key begins so; without its answer where that cannot be read.

        Looking counts as no hit.

        Raises:
            ConfigurationError: there is none, or there are several.
        """
        item = self._find(key)
        return item, self._cache.peek(item.key)

    def pin(self, key: str, *, pinned: bool = True, actor: Actor | None = None) -> Item:
        """Keep an entry whatever comes, or no longer: it is not pushed out, and cleared only on purpose.

        Raises:
            ConfigurationError: there is no such entry.
        """
        who = self._allowed(actor)
        item = self._find(key)
        if not self._cache.pin(item.key, pinned=pinned):
            raise _unknown(key)
        logger.info("{} {} the cache entry {}.", who.name, "pinned" if pinned else "unpinned", item.key[:12])
        return self._find(item.key)

    def refresh(self, key: str, *, actor: Actor | None = None) -> RunHandle:
        """Ask again for what an entry answers: repeats the run that got it, without the cache's answer.

        Raises:
            ConfigurationError: there is no such entry, or its run is not in the history any more.
        """
        who = actor or self._actor
        item = self._find(key)
        if not item.run_id or self._store.get_run(item.run_id) is None:
            raise ConfigurationError(
                "The run that got this answer is not in the history, so it cannot be asked for again.",
                hint="Delete the entry; whoever asks next gets a new answer.",
            )
        handle = self._repeat(item.run_id, actor=who, cache="refresh")
        logger.info("{} refreshes the cache entry {} by run {}.", who.name, item.key[:12], handle.id)
        return handle

    def delete(self, key: str, *, actor: Actor | None = None) -> bool:
        """Forget one entry, pinned or not; returns whether it was there."""
        who = self._allowed(actor)
        there = self._cache.delete(key)
        logger.info("{} deleted the cache entry {}.", who.name, key[:12])
        self._changed()
        return there

    def forget(self, wanted: EntryFilter, *, pinned: bool = False, actor: Actor | None = None) -> int:
        """Forget all entries that are meant; returns how many.

        Args:
            pinned: whether pinned ones go, too.
        """
        who = self._allowed(actor)
        if not pinned and wanted.pinned is None:
            wanted = replace(wanted, pinned=False)
        gone = self._cache.forget(wanted)
        logger.info("{} deleted {} by {}.", who.name, count(gone, "cache entries"), wanted)
        self._changed()
        return gone

    def clear(self, *, pinned: bool = False, actor: Actor | None = None) -> int:
        """Forget all entries; returns how many there were.

        Args:
            pinned: whether pinned ones go, too.
        """
        who = self._allowed(actor)
        kept = 0 if pinned else self._cache.pins()
        gone = self._cache.forget(EntryFilter(pinned=False)) if kept else self._cache.clear()
        pins = f"; pinned and kept: {kept:,}" if kept else ""
        logger.info("{} cleared the cache: {}{}.", who.name, count(gone, "entries"), pins)
        self._changed()
        return gone

    def flush(self, *, look: bool = False) -> None:
        """Leave what was counted since the last time to the next writer of the history. Never raises.

        Args:
            look: whether to see how much the cache holds in any case; else that is done once in a while.
        """
        if time.monotonic() >= self._next_flush:
            self._next_flush = time.monotonic() + _FLUSH_SECONDS
            self._cache.flush()
        rows = self._ledger.drain()
        held = None
        if look or (rows and time.monotonic() >= self._next_look):
            self._next_look = time.monotonic() + _LOOK_SECONDS
            try:
                held = self._cache.size()
            except CacheError as error:
                logger.debug("The cache cannot be measured: {}", error)
        self._stats.count(rows, held)

    @property
    def _ledger(self) -> Ledger:
        if self._cache.ledger is None:
            self._cache.ledger = Ledger()
        return self._cache.ledger

    def _write_all(self, *, look: bool = False) -> None:
        self.flush(look=look)
        self._store.flush()

    def _changed(self) -> None:
        self.flush(look=True)

    def _allowed(self, actor: Actor | None) -> Actor:
        who = actor or self._actor
        check(who, "clear_cache")
        return who

    def _find(self, key: str) -> Item:
        if len(key) == _KEY_LENGTH:
            if (item := self._cache.item(key)) is not None:
                return item
            raise _unknown(key)
        found = [item for item in self._cache.items() if key and item.key.startswith(key)]
        if len(found) > 1:
            raise ConfigurationError(
                f"{count(len(found), 'entries')} begin with {key!r}.",
                hint="Give more of the key; `cache entries` names them.",
            )
        if not found:
            raise _unknown(key)
        return found[0]


def cache_cipher(settings: Settings) -> Cipher | None:
    """What encrypts the cache, where the settings say so.

    Raises:
        ConfigurationError: there is no master key, and none can be made.
    """
    return Cipher(load_master_key(settings)) if settings.cache_encryption == "on" else None


def _unknown(key: str) -> ConfigurationError:
    return ConfigurationError(
        f"The cache has no entry {key!r}.", hint="It may be gone meanwhile. The list of the cache has those there are."
    )
