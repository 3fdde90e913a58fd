"""Answers as files in a directory: one each, readable by any tool, shared by whoever shares the directory."""

import hashlib
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from loguru import logger

from mcp_core.cache.base import EVERYTHING, Cache, CacheSize, Entry, EntryFilter, Item
from mcp_core.cache.cipher import Cipher
from mcp_core.cache.codec import HEAD_BYTES, decode, encode, is_sealed, read_head
from mcp_core.cache.locks import KeyLocks
from mcp_core.cache.notes import Notes
from mcp_core.errors import CacheError

__all__ = ["FilesystemCache"]

_SUFFIX = ".entry"
_PLAIN_KEY = re.compile(r"[0-9a-f]{8,128}")

_ABANDONED_SECONDS = 3600.0
"""A temporary file this old was left by a process that died while writing it."""

_RECOUNT_SECONDS = 60.0
"""How long the count of bytes is believed; other processes write into the directory as well."""

_KEPT_SHARE = 0.9
"""What eviction leaves of `max_bytes`: it looks at every file, so it should not come with every new one."""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    size: int
    used_at: float
    created_at: float


class FilesystemCache(Cache):
    """Keeps the most recently used entries of at most `max_bytes` in all, and the pinned ones, below `directory`.

    Thread-safe. Files are `<2 digits>/<key>.entry`, written aside and renamed, so that nobody reads half an entry;
    their access time is when they were last used, their modification time when the entry was made. Hits and pins are
    in `notes.json`, locks in `lock`.

    Args:
        cipher: encrypts what is stored, where there is one.

    Attributes:
        evictions: entries this process pushed out.
    """

    name = "filesystem"

    def __init__(self, directory: Path, max_bytes: int, *, cipher: Cipher | None = None) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self.notes = Notes(directory / "notes.json")
        self._cipher = cipher
        self._locks = KeyLocks(directory / "lock")
        self.evictions = 0
        self._lock = threading.Lock()
        self._bytes = 0
        self._counted_at: float | None = None

    def get(self, key: str) -> Entry | None:
        """The entry under `key`, fresh or expired; None where there is none."""
        return self._get(key, used=True)

    def peek(self, key: str) -> Entry | None:
        """The entry under `key`, without counting as a use."""
        return self._get(key, used=False)

    def set(self, entry: Entry) -> None:
        """Store `entry` under its key, replacing what was there. One larger than `max_bytes` is not kept."""
        data = encode(entry, self._cipher)
        if len(data) > self.max_bytes:
            logger.debug("An answer of {} bytes is larger than the whole cache, so it is not kept", len(data))
            self.delete(entry.key)
            return
        path = self._path(entry.key)
        aside = path.with_name(f"{secrets.token_hex(8)}.tmp")
        with self._translated("written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                os.utime(aside, ns=(time.time_ns(), int(entry.created_at * 1e9)))
                with self._lock:
                    freed = _size_of(path)
                    aside.replace(path)
                    self._bytes += len(data) - freed
            except OSError:
                aside.unlink(missing_ok=True)
                raise
            self.notes.forget(entry.key)
            self._keep_below_cap(path)

    def touch(self, key: str) -> None:
        """Note that `key` was used."""
        path = self._path(key)
        try:
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        except OSError as error:
            logger.debug("The use of {} was not noted: {}", path.name, error)
            return
        self.notes.hit(key)

    def delete(self, key: str) -> bool:
        """Forget `key`; returns whether it was there."""
        with self._translated("written"), self._lock:
            there = self._remove(self._path(key))
        if there:
            self.notes.gone(key)
        return there

    def clear(self) -> int:
        """Forget everything; returns how many entries that were."""
        with self._translated("written"), self._lock:
            count = sum(self._remove(file.path) for file in self._files())
            self._bytes = 0
        if count:
            self.notes.clear()
        return count

    def size(self) -> CacheSize:
        """How much it holds, counted anew: a second for a hundred thousand entries."""
        with self._translated("read"), self._lock:
            files = self._recount()
            return CacheSize(entries=len(files), size_bytes=self._bytes)

    def entries(self, *, limit: int = 1000, offset: int = 0) -> Iterator[Entry]:
        """Entries, newest first, at most `limit` after skipping `offset`. One body at a time is in memory."""
        with self._translated("read"):
            files = sorted(self._files(), key=lambda file: (file.created_at, file.path), reverse=True)
        for file in files[offset : offset + limit]:
            try:
                entry = decode(file.path.read_bytes(), None, self._cipher)
            except OSError:
                continue  # deleted since it was listed
            if entry is not None:
                yield entry

    def items(self, wanted: EntryFilter = EVERYTHING) -> Iterator[Item]:
        """All entries that are meant, in no particular order; reads the beginning of every file."""
        hits, pinned = self.notes.hits(), self.notes.pinned()
        with self._translated("read"):
            files = list(self._files())
        seen: set[str] = set()
        for file in files:
            head = _head_of(file.path)
            if head is None:
                continue
            seen.add(head.key)
            count, pin = hits.get(head.key, 0), head.key in pinned
            item = Item.of(head, file.size, hits=count, used_at=file.used_at, pinned=pin)
            if self.is_meant(item, wanted, partial(self.peek, head.key)):
                yield item
        self.notes.keep(seen)

    def lock(self, key: str) -> AbstractContextManager[Callable[[], bool]]:
        """A block whose value tries to be the only one of all processes that makes `key`; see `Cache.lock`."""
        return self._locks.lock(key)

    def close(self) -> None:
        """Write the hits that have been counted."""
        self.notes.flush()

    def _get(self, key: str, *, used: bool) -> Entry | None:
        path = self._path(key)
        with self._translated("read"):
            try:
                with path.open("rb") as file:
                    made = os.fstat(file.fileno()).st_mtime_ns
                    data = file.read()
            except (FileNotFoundError, NotADirectoryError):
                return None
            entry = decode(data, key, self._cipher)
            if entry is None:
                if not is_sealed(data, self._cipher):
                    logger.warning("Dropped a damaged answer: {}", path.name)
                    path.unlink(missing_ok=True)
                return None
        if used:
            try:
                os.utime(path, ns=(time.time_ns(), made))
            except OSError as error:
                logger.debug("The use of {} was not noted: {}", path.name, error)
            self.notes.hit(key)
        return entry

    def _path(self, key: str) -> Path:
        # A key of the panel is its own file name; any other is hashed, so that it cannot lead out of the directory.
        name = key if _PLAIN_KEY.fullmatch(key) else hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return self.directory / name[:2] / f"{name}{_SUFFIX}"

    def _keep_below_cap(self, newest: Path) -> None:
        with self._lock:
            if self._counted_at is None or time.monotonic() - self._counted_at > _RECOUNT_SECONDS:
                self._recount()
            if self._bytes <= self.max_bytes:
                return
            files = self._recount()
            files.sort(key=lambda file: file.used_at)
            spared = {self._path(key) for key in self.notes.pinned()}
            for file in files:
                if self._bytes <= self.max_bytes * _KEPT_SHARE:
                    break
                if file.path == newest or file.path in spared:
                    continue
                head = _head_of(file.path)
                if self._remove(file.path):
                    self.pushed_out({} if head is None else head.labels, file.size)
            if self._bytes > self.max_bytes and newest not in spared:
                self._remove(newest)  # pinned ones leave no room for it

    def _recount(self) -> list[_File]:
        files = list(self._files())
        self._bytes = sum(file.size for file in files)
        self._counted_at = time.monotonic()
        return files

    def _remove(self, path: Path) -> bool:
        size = _size_of(path)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        self._bytes -= size
        return True

    def _files(self) -> Iterator[_File]:
        if not self.directory.exists():
            return
        now = time.time()
        with os.scandir(self.directory) as folders:
            for folder in folders:
                if folder.is_dir(follow_symlinks=False):
                    yield from _files_in(folder.path, now)

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CacheError(
                f"The cache directory {self.directory.name} cannot be {what}: {error.strerror}.",
                hint=f"Check that {self.directory} is a writable directory with space left.",
            ) from None


def _files_in(folder: str, now: float) -> Iterator[_File]:
    with os.scandir(folder) as files:
        for file in files:
            try:
                status = file.stat(follow_symlinks=False)
                if file.name.endswith(_SUFFIX):
                    yield _File(Path(file.path), status.st_size, status.st_atime, status.st_mtime)
                elif file.name.endswith(".tmp") and now - status.st_ctime > _ABANDONED_SECONDS:
                    Path(file.path).unlink()
            except FileNotFoundError:
                continue  # deleted by somebody else meanwhile


def _head_of(path: Path) -> Entry | None:
    try:
        with path.open("rb") as file:
            data = file.read(HEAD_BYTES)
            return read_head(data) or read_head(data + file.read())
    except OSError:
        return None  # deleted since it was listed


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
