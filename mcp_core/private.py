"""Files that only the account the panel runs under may read, whatever the directory lets others do."""

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["private_opener", "reserve"]

_MODE = 0o600


def private_opener(path: str, flags: int) -> int:
    """For `open(..., opener=)`: a file that is made is its owner's alone; one that is there keeps its permissions."""
    return os.open(path, flags, _MODE)


def reserve(path: Path) -> None:
    """Make an empty file for its owner alone, for a library that would let everybody read what it makes.

    Does nothing where it is there, or cannot be made: whoever opens it next finds that out, and says it better.
    """
    with suppress(OSError):
        os.close(private_opener(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL))
