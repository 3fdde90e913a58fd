"""Hits and pins of entries, for backends that have no place of their own for them."""

import fcntl
import json
import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from loguru import logger

__all__ = ["Notes"]

_KEPT = 512
"""Entries whose hits are counted in memory before they are written."""


class Notes:
    """How often each entry has answered, and which are pinned. Thread-safe; never raises.

    Args:
        path: a JSON file that outlives the process and may be shared by several; None for this process's memory.
            Hits reach it in batches.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._hits: dict[str, int] = {}
        self._pinned: set[str] = set()
        self._new: dict[str, int] = {}
        self._reset: set[str] = set()
        self._stamp: tuple[int, int] | None = None

    def hit(self, key: str) -> None:
        """Count a hit."""
        with self._lock:
            self._new[key] = self._new.get(key, 0) + 1
            full = len(self._new) >= _KEPT
        if full:
            self.flush()

    def gone(self, key: str) -> None:
        """The entry was deleted: neither hits nor a pin of it are left."""
        self.forget(key)
        if key in self.pinned():
            self.pin(key, pinned=False)

    def forget(self, key: str) -> None:
        """The entry is another now, and has no hits; it stays pinned."""
        with self._lock:
            self._new.pop(key, None)
            self._reset.add(key)
            full = len(self._reset) >= _KEPT
        if full:
            self.flush()

    def hits(self) -> dict[str, int]:
        """Hits by key; those without any are left out."""
        self.flush()
        with self._lock:
            self._look()
            return dict(self._hits)

    def pinned(self) -> frozenset[str]:
        """Keys of the pinned entries, as of now, also where another process pinned them."""
        with self._lock:
            self._look()
            return frozenset(self._pinned)

    def pin(self, key: str, *, pinned: bool = True) -> bool:
        """Pin an entry, or let go of it; returns whether that could be noted."""
        return self._change(lambda: (self._pinned.add if pinned else self._pinned.discard)(key))

    def keep(self, keys: Collection[str]) -> None:
        """Drop what is noted of the hits of any other entry."""
        with self._lock:
            gone = [key for key in self._hits if key not in keys]
        if gone:
            self._change(lambda: self._drop(gone))

    def clear(self) -> None:
        """Drop everything."""
        self._change(self._drop_all)

    def flush(self) -> None:
        """Write what has been counted since the last time."""
        if self._new or self._reset:
            self._change(lambda: None)

    def _change(self, change: Callable[[], None]) -> bool:
        """Read what others have noted, add what is new here, change it, and write it back; False where that fails."""
        with self._lock:
            if self._path is None:
                self._add()
                change()
                return True
            try:
                with self._alone(self._path):
                    self._look()
                    self._add()
                    change()
                    self._write(self._path)
            except OSError as error:
                logger.warning("Hits and pins of the cache were not noted in {}: {}", self._path.name, error.strerror)
                return False
            return True

    def _drop(self, keys: Collection[str]) -> None:
        for key in keys:
            self._hits.pop(key, None)

    def _drop_all(self) -> None:
        for noted in (self._hits, self._pinned, self._new, self._reset):
            noted.clear()

    def _add(self) -> None:
        for key in self._reset:
            self._hits.pop(key, None)
        for key, hits in self._new.items():
            self._hits[key] = self._hits.get(key, 0) + hits
        self._reset.clear()
        self._new.clear()

    @contextmanager
    def _alone(self, path: Path) -> Iterator[None]:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Closing the file lets go of the lock, as the end of the process does.
        handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _look(self) -> None:
        if self._path is None:
            return
        try:
            status = self._path.stat()
            stamp = (status.st_ino, status.st_mtime_ns)
            if stamp == self._stamp:
                return
            noted = json.loads(self._path.read_text("utf-8"))
            self._hits = {str(key): int(hits) for key, hits in noted["hits"].items()}
            self._pinned = {str(key) for key in noted["pinned"]}
            self._stamp = stamp
        except FileNotFoundError:
            self._hits, self._pinned, self._stamp = {}, set(), None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("The notes on the cache in {} cannot be read: {}", self._path.name, error)

    def _write(self, path: Path) -> None:
        draft = path.with_name(f".{path.name}.draft")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"hits": self._hits, "pinned": sorted(self._pinned)}, file)
        draft.replace(path)
        status = path.stat()
        self._stamp = (status.st_ino, status.st_mtime_ns)
