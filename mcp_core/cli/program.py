"""The program: reads the command line, runs the command, and turns how that ended into an exit code."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING

from mcp_core.cli.parser import build_parser
from mcp_core.errors import MCPError

if TYPE_CHECKING:
    from argparse import Namespace

    from mcp_core.cli.output import Output

__all__ = ["CANCELLED", "FAILED", "TERMINATED", "Terminated", "main"]

FAILED = 1
CANCELLED = 130
TERMINATED = 143

Handler = Callable[["Namespace", "Output"], int]


class Terminated(BaseException):
    """The process was asked to end (SIGTERM). Not an `Exception`, so that nothing takes it for a failure."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what follows the program's name; default the process's.

    Returns:
        The exit code: 0 succeeded, 1 failed, 2 wrong use or configuration, 130 cancelled, 143 terminated.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        namespace = build_parser().parse_args(arguments)
    except MCPError as error:
        return _output(arguments).error(error)
    except SystemExit:
        return 0  # `--help` and `--version` have printed what was asked
    out = _output(arguments)
    try:
        with _terminable():
            code = _handler(namespace.handler)(namespace, out)
            out.flush()
    except MCPError as error:
        code = _tell(out, error)
    except KeyboardInterrupt:
        out.note("Cancelled.")
        code = CANCELLED
    except Terminated:
        code = TERMINATED
    except BrokenPipeError:
        # Whoever read had enough, which is no failure of ours.
        out.abandon()
        code = 0
    except Exception as error:  # noqa: BLE001  # the last place where a defect can be told of in a sentence
        from loguru import logger

        logger.opt(exception=True).debug("The command failed.")
        code = _tell(
            out,
            MCPError(
                f"The command failed with an unexpected {type(error).__name__}: {error}.",
                hint="This is a defect. With MCP_LOG_LEVEL=DEBUG the log has its details; please report it with them.",
            ),
        )
    return code


def _output(arguments: Sequence[str]) -> "Output":
    from mcp_core.cli.output import Output

    return Output(as_json="--json" in arguments)


def _handler(name: str) -> Handler:
    module, _, function = name.partition(":")
    handler: Handler = getattr(import_module(f"mcp_core.cli.{module}"), function)
    return handler


def _tell(out: "Output", error: MCPError) -> int:
    from loguru import logger

    logger.info("The command ended with {}: {}", type(error).__name__, error)
    try:
        code = out.error(error)
        out.flush()
    except BrokenPipeError:
        out.abandon()
        code = FAILED
    return code


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the block through its `finally` clauses; only the main thread can receive it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    former = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
