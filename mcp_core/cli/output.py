"""What commands print: answers and tables to standard output, everything else to standard error."""

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TextIO

from mcp_core import formats
from mcp_core.errors import ConfigurationError, MCPError

if TYPE_CHECKING:
    from rich.progress import Progress

    from mcp_core.models import Run

__all__ = ["Output", "cost", "money", "plain", "progress_bar", "seconds"]


class Output:
    """Where a command's words go.

    Args:
        as_json: whether the answer is one JSON document.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json

    @property
    def interactive(self) -> bool:
        """Whether a person reads the answer on a terminal."""
        return sys.stdout.isatty() and not self.as_json

    @property
    def watched(self) -> bool:
        """Whether a person reads standard error on a terminal."""
        return sys.stderr.isatty()

    def write(self, text: str) -> None:
        """Write a piece of the answer, as it is."""
        _write(sys.stdout, text)

    def line(self, text: str = "") -> None:
        """Write a line of the answer."""
        _write(sys.stdout, text + "\n")

    def document(self, document: Any) -> None:
        """Write the answer as one JSON document; numbers JSON has no word for become null."""
        from pydantic_core import to_jsonable_python

        data = to_jsonable_python(document, inf_nan_mode="null")
        text = json.dumps(data, ensure_ascii=False, indent=2)
        encoding = sys.stdout.encoding or "utf-8"
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            text = json.dumps(data, indent=2)
        self.line(text)

    def note(self, text: str) -> None:
        """Say something about the answer, to standard error."""
        _write(sys.stderr, plain(text, lines=True) + "\n")

    def error(self, error: MCPError) -> int:
        """Say what went wrong; returns the exit code. With `--json` the answer is the error."""
        from mcp_core.security.redaction import redactor

        message, hint = redactor.shapes(error.message), redactor.shapes(error.hint)
        if self.as_json:
            # A usage error is one of configuration to whoever reads the document.
            kind = "ConfigurationError" if isinstance(error, ConfigurationError) else type(error).__name__
            self.document({"error": {"type": kind, "message": message, "hint": hint}})
        self.note(f"error: {message}")
        if hint:
            self.note(f"hint: {hint}")
        return 2 if isinstance(error, ConfigurationError) else 1

    def table(
        self,
        headings: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        right: Sequence[str] = (),
        whole: Sequence[str] = (),
        drop: Sequence[str] = (),
    ) -> None:
        """Write a table: drawn on a terminal, tab-separated with a heading elsewhere.

        Args:
            right: headings of the columns that are flush right.
            whole: headings of the columns that are never shortened, however narrow the terminal.
            drop: headings of the columns left out where the terminal is narrow, the first one first.
        """
        cells = [[plain(cell) for cell in row] for row in rows]
        if not self.interactive:
            for row in [list(headings), *cells]:
                self.line("\t".join(row))
            return
        from mcp_core.cli.table import draw

        draw(headings, cells, right=right, whole=whole, drop=drop)

    def confirm(self, question: str, *, yes: bool) -> bool:
        """Whether to go on: `yes`, or a person on a terminal who says so.

        Raises:
            ConfigurationError: nobody is there to ask.
        """
        if yes:
            return True
        if not sys.stdin.isatty():
            raise ConfigurationError(
                "This cannot be undone, and there is no terminal to ask on.", hint="Say --yes if it is meant."
            )
        _write(sys.stderr, f"{question} [y/N] ")
        sys.stderr.flush()
        try:
            return input().strip().lower() in ("y", "yes")
        except EOFError:
            return False

    def flush(self) -> None:
        """Hand over what is buffered."""
        sys.stdout.flush()

    def abandon(self) -> None:
        """Nobody reads standard output any more: what is still written goes nowhere, without complaint."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))


def plain(text: str, *, lines: bool = False) -> str:
    """`text` without what would steer a terminal or break a row; with `lines` line breaks and tabs stay."""
    kept = []
    for character in text:
        if lines and character in "\n\t":
            kept.append(character)
        elif character in "\n\r\t\v\f\u2028\u2029":
            kept.append(" ")
        elif unicodedata.category(character) not in ("Cc", "Cs") and character not in _BIDI:
            kept.append(character)
    return "".join(kept)


_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that reorder what follows them, so that a text can look like another."""


def progress_bar() -> "Progress":
    """A progress bar on standard error that leaves nothing behind. The caller starts and stops it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[amount]}"),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    )


def seconds(value: float | None) -> str:
    """A duration for people; `-` for None, where nothing has begun or ended."""
    return "-" if value is None else formats.seconds(value)


def money(value: Decimal | str | None) -> str:
    """Dollars for people; `unknown` for None, which is not zero."""
    return formats.money(None if value is None else Decimal(value))


def cost(run: "Run") -> str:
    """What a run cost, for people; `-` where no model was asked."""
    return "-" if run.cost_usd is None and not run.attempts else money(run.cost_usd)
