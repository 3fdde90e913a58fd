"""A lock for each key, across the processes of a machine; the system lets go of those of a process that dies."""

import fcntl
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from loguru import logger

__all__ = ["KeyLocks"]

_SET_LOCK = getattr(fcntl, "F_OFD_SETLK", None)
_FLOCK = struct.Struct("hhqqi4x")
"""C's `struct flock`: type, whence, start, length, process id."""


class KeyLocks:
    """Locks on single bytes of one file, a place for each key. The file stays empty.

    The locks belong to the open file, not to the process, so that threads have them apart. Where the system knows
    none (it is not Linux), or the file cannot be opened, everybody is granted every lock: answers are then asked for
    twice at worst.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def lock(self, key: str) -> Iterator[Callable[[], bool]]:
        """A block whose value tries, without waiting, to take the lock of `key`, and returns whether it has it."""
        handle = None if _SET_LOCK is None else self._opened()
        place = _place_of(key)

        def attempt() -> bool:
            if handle is None or _SET_LOCK is None:
                return True
            try:
                fcntl.fcntl(handle, _SET_LOCK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0))
            except BlockingIOError:
                return False
            except OSError as error:
                logger.debug("The file system has no locks for {}: {}", self._path.name, error)
            return True

        try:
            yield attempt
        finally:
            if handle is not None:
                os.close(handle)

    def _opened(self) -> int | None:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                logger.debug("The lock file {} cannot be opened: {}", self._path.name, error)
        except OSError as error:
            logger.debug("The lock file {} cannot be opened: {}", self._path.name, error)
        return None


def _place_of(key: str) -> int:
    # The first 60 bits, where it is a key of the panel's.
    try:
        return int(key[:15], 16)
    except ValueError:
        return zlib.crc32(key.encode("utf-8", "surrogatepass"))
