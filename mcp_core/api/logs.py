"""What the log says about one run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from mcp_core.errors import StoreError
from mcp_core.logs import LOG_FILE
from mcp_core.models import Run

__all__ = ["LogLine", "LogService", "RunLog"]

MAX_BYTES = 8_000_000
"""How far back the log is read, whatever the run's age."""

_BLOCK = 256 * 1024
# Threads and processes that share the file may write a little out of order.
_SLACK = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the structured log: when (UTC), level, message, and the traceback where there was one."""

    at: datetime
    level: str
    message: str
    logger: str = ""
    exception: str = ""


@dataclass(frozen=True, slots=True)
class RunLog:
    """The lines about one run, oldest first.

    Attributes:
        truncated: earlier lines may exist: more than were asked for, or in a part of the log too old to be read.
    """

    lines: tuple[LogLine, ...]
    truncated: bool


class LogService:
    """The structured log file of this installation. Reached as `client.logs`.

    Args:
        data_dir: the data directory; the log is in its folder `logs`.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "logs" / LOG_FILE

    def of_run(self, run: Run, *, limit: int = 500) -> RunLog:
        """The newest `limit` lines that name `run`, oldest first; empty where there is no log file.

        Raises:
            StoreError: the file is there and cannot be read.
        """
        found: list[LogLine] = []
        try:
            with self._path.open("rb") as file:
                whole = self._collect(file, run, limit, found)
        except FileNotFoundError:
            return RunLog((), truncated=False)
        except OSError as error:
            raise StoreError(
                f"The log file cannot be read: {error.strerror or error}.",
                hint="Check the permissions of the folder `logs` in the data directory.",
            ) from None
        return RunLog(tuple(reversed(found)), truncated=not whole)

    @staticmethod
    def _collect(file: IO[bytes], run: Run, limit: int, found: list[LogLine]) -> bool:
        """Add matching lines, newest first; returns whether everything since the run's creation was seen."""
        oldest = run.created_at - _SLACK
        needle = run.id.encode()
        for raw, start in _backwards(file):
            line = _parse(raw) if needle in raw or start % 64 == 0 else None
            if line is None:
                continue
            if line.at < oldest:
                return True
            if needle in raw:
                if len(found) == limit:
                    return False
                found.append(line)
        return file.tell() == 0 or not _was_cut(file)


def _was_cut(file: IO[bytes]) -> bool:
    file.seek(0, 2)
    return file.tell() > MAX_BYTES


def _backwards(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Whole lines from the end of the file to at most `MAX_BYTES` before it, each with its number from the end."""
    end = position = file.seek(0, 2)
    rest = b""
    number = 0
    while position > 0 and end - position < MAX_BYTES:
        size = min(_BLOCK, position)
        position -= size
        file.seek(position)
        lines = (file.read(size) + rest).split(b"\n")
        rest = lines[0]
        for line in reversed(lines[1:]):
            if line:
                yield line, number
                number += 1
    if position == 0 and rest:
        yield rest, number


def _parse(raw: bytes) -> LogLine | None:
    """A line of the log; None where it is damaged or not one of ours."""
    try:
        data = json.loads(raw)
        at = datetime.fromisoformat(data["at"])
        return LogLine(
            at=at.astimezone(UTC),
            level=str(data["level"]),
            message=str(data["message"]),
            logger=str(data.get("logger", "")),
            exception=str(data.get("exception", "")),
        )
    except (ValueError, KeyError, TypeError):
        return None
