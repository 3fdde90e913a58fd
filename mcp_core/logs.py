"""Logging: a console for people and a structured file for machines, both redacted.

As a library `mcp_core` is silent; `configure_logs` is called by the app and the command line.
"""

import errno
import gzip
import json
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from mcp_core.private import private_opener
from mcp_core.settings import Settings

if TYPE_CHECKING:
    from loguru import Record

__all__ = ["LOG_FILE", "configure_console", "configure_logs"]

LOG_FILE = "panel.log"
"""Name of the structured log in the folder `logs` of the data directory: one JSON object a line."""

_WARNING = logger.level("WARNING").no
_CONTEXT = ("run_id", "actor", "task")
_LONGEST = 64_000
"""Characters of one text in a line; the rest is cut."""
_MARGIN = 1000
"""What is redacted beyond the cut: half a key is one, too."""


class _Intercept(logging.Handler):
    """Passes records of the standard library's logging on to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record on, at its own level and as its own module."""
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - whatever a caller's arguments do to its own message is not raised into it
            self.handleError(record)
            return
        logger.opt(exception=record.exc_info, depth=6).patch(_named(record.name)).log(level, "{}", message)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        """Log that a message could not be written: the original would print its arguments, secrets and all."""
        message = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        logger.patch(_named(record.name)).warning("A message does not fit its arguments: {}", message)


def _named(name: str) -> Callable[["Record"], None]:
    def rename(record: "Record") -> None:
        record["name"] = name

    return rename


def _as_json(record: "Record", redact: Callable[[str], str]) -> str:
    line: dict[str, Any] = {
        "at": record["time"].isoformat(),
        "level": record["level"].name,
        "message": _cut(record["message"], redact),
        "logger": record["name"],
        "line": record["line"],
        "thread": record["thread"].name,
        "process": record["process"].id,
    }
    line.update(
        (name, _cut(value, redact) if isinstance(value, str) else value) for name, value in record["extra"].items()
    )
    exception = _exception(record, redact)
    if exception:
        line["exception"] = exception
    return redact(json.dumps(line, ensure_ascii=False, default=str))


def _as_text(record: "Record", redact: Callable[[str], str]) -> str:
    context = " ".join(str(record["extra"][name]) for name in _CONTEXT if name in record["extra"])
    text = f"{record['time']:%H:%M:%S} {record['level'].name:<8} {_cut(record['message'], redact)}"
    if context:
        text += f"  ({context})"
    exception = _exception(record, redact).rstrip()
    return redact(f"{text}\n{exception}" if exception else text)


def _exception(record: "Record", redact: Callable[[str], str]) -> str:
    found = record["exception"]
    if found is None:
        return ""
    text = "".join(traceback.format_exception(found.type, found.value, found.traceback))
    # Its end says what happened.
    return text if len(text) <= _LONGEST else f"…{redact(text[-_LONGEST - _MARGIN :])[-_LONGEST:]}"


def _cut(text: str, redact: Callable[[str], str]) -> str:
    if len(text) <= _LONGEST:
        return text
    return f"{redact(text[: _LONGEST + _MARGIN])[:_LONGEST]}… ({len(text):,} characters in all)"


def _format(render: Callable[["Record", Callable[[str], str]], str], redact: Callable[[str], str]) -> Any:
    # Redacting the finished line, traceback included, is the only place where nothing slips by. Loguru formats what
    # this returns once more: the line goes through a field, so that braces in it stay as they are.
    def line(record: "Record") -> str:
        record["extra"]["_line"] = ""
        extra = {name: value for name, value in record["extra"].items() if name != "_line"}
        text = render({**record, "extra": extra}, redact)
        record["extra"]["_line"] = text
        return "{extra[_line]}\n"

    return line


def _compress(name: str) -> None:
    # Loguru's own would let everybody read what it makes.
    path = Path(name)
    packed = Path(f"{name}.gz")
    with (
        path.open("rb") as source,
        open(packed, "wb", opener=private_opener) as file,
        gzip.open(file, "wb") as squeezed,
    ):
        shutil.copyfileobj(source, squeezed)
    path.unlink()


def configure_console(
    redact: Callable[[str], str], *, level: str = "INFO", told_elsewhere: Collection[str] = ()
) -> None:
    """Log to standard error alone: what a start needs before its settings are known, and all it has if they are bad."""
    logger.remove()
    logger.enable("mcp_core")
    logger.add(
        sys.stderr,
        level=level,
        format=_format(_as_text, redact),
        filter=lambda record: record["name"] not in told_elsewhere or record["level"].no > _WARNING,
        diagnose=False,
    )


def configure_logs(
    settings: Settings,
    redact: Callable[[str], str],
    *,
    console: bool = True,
    console_level: str | None = None,
    told_elsewhere: Collection[str] = (),
) -> None:
    """Set up all logging of this process; calling it again replaces the former set-up.

    Args:
        settings: gives the level (`MCP_LOG_LEVEL`) and the directory.
        redact: masks secrets in a finished line.
        console: whether people read standard error.
        console_level: least severe level shown there, where it is not that of the file.
        told_elsewhere: modules whose warnings the console leaves out, since its reader is told in another way.

    The file rotates at 10 MB, keeps 10 files compressed, and is left out (with a warning) where it cannot be written.
    """
    if console:
        configure_console(redact, level=console_level or settings.log_level, told_elsewhere=told_elsewhere)
    else:
        logger.remove()
        logger.enable("mcp_core")
    path = settings.data_dir / "logs" / LOG_FILE
    try:
        settings.make_data_dir()
        path.parent.mkdir(exist_ok=True)
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            # Asked now: found out at the first line, it would be told again with every one, and not by our redaction.
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        logger.add(
            path,
            level=settings.log_level,
            format=_format(_as_json, redact),
            rotation="10 MB",
            retention=10,
            compression=_compress,
            opener=private_opener,
            encoding="utf-8",
            diagnose=False,
            delay=True,
        )
    except OSError as error:
        logger.warning("The log file {} cannot be written: {}. Logs go to the console alone.", path, error)
    logging.basicConfig(handlers=[_Intercept()], level=logging.WARNING, force=True)
