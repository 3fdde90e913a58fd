"""What the log says about one run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from os import SEEK_END
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
        try:
            with self._path.open("rb") as file:
                return _search(file, run, limit)
        except FileNotFoundError:
            return RunLog((), truncated=False)
        except OSError as error:
            raise StoreError(
                f"The log file cannot be read: {error.strerror or error}.",
                hint="Check the permissions of the folder `logs` in the data directory.",
            ) from None


def _search(file: IO[bytes], run: Run, limit: int) -> RunLog:
    oldest = run.created_at - _SLACK
    needle = run.id.encode()
    found: list[LogLine] = []
    truncated = False
    for lines, last in _blocks(file):
        for raw in reversed(lines):
            line = _parse(raw) if needle in raw else None
            if line is not None:
                found.append(line)
        if len(found) > limit:
            truncated = True
            break
        first = next(filter(None, map(_parse, lines)), None)
        if first is not None and first.at < oldest:
            truncated = False
            break
        truncated = not last
    return RunLog(tuple(reversed(found[:limit])), truncated=truncated)


def _blocks(file: IO[bytes]) -> Iterator[tuple[list[bytes], bool]]:
    """Whole lines, a block at a time from the end of the file, oldest first within it; and whether it is the first."""
    end = position = file.seek(0, SEEK_END)
    rest = b""
    while position > 0 and end - position < MAX_BYTES:
        size = min(_BLOCK, position)
        position -= size
        file.seek(position)
        rest, *lines = (file.read(size) + rest).split(b"\n")
        if position == 0:
            lines.insert(0, rest)
        yield lines, position == 0


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
