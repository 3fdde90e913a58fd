"""What a person sees while a run goes on: its answer as it is written, and a bar while there is none yet."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from mcp_core.cli.output import Output, plain, progress_bar
from mcp_core.formats import file_size
from mcp_core.models import RunEvent

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Display"]


class Display:
    """Shows the events of one run.

    The answer streams to a terminal; elsewhere it is printed once it is whole. The bar needs a terminal at standard
    error, and goes as soon as the answer begins: the two would share a screen.

    Attributes:
        shown: what of the answer has been written so far, since it was begun the last time.
    """

    def __init__(self, out: Output) -> None:
        self._out = out
        self._bar: Progress | None = None
        self.shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._remove_bar()
        if self.shown and not self.shown.endswith("\n"):
            self._out.line()

    def show(self, event: RunEvent) -> None:
        """Show what happened."""
        if event.kind == "token" and self._out.interactive:
            self._remove_bar()
            text = str(event.data.get("text", ""))
            self._out.write(plain(text, lines=True))
            self._out.flush()
            self.shown += text
        elif event.kind == "progress":
            self._progress(event)
        elif event.kind == "retry":
            self._retry(event)
        elif event.kind == "fallback":
            self._fallback(event)
        elif event.kind == "wait" and self._out.watched:
            self._remove_bar()
            self._out.note(str(event.data.get("message", "")))

    def _progress(self, event: RunEvent) -> None:
        done, total, unit = (event.data.get(name) for name in ("done", "total", "unit"))
        if not isinstance(done, int | float) or not self._out.watched:
            return
        bounded = total if isinstance(total, int | float) and total > 0 else None
        if self._out.interactive and self.shown:
            # The answer has the screen: what follows begins on a line of its own.
            if not self.shown.endswith("\n"):
                self._out.line()
                self.shown += "\n"
            return
        if unit == "bytes":
            amount = f"{file_size(done)} of {file_size(bounded)}" if bounded else file_size(done)
        else:
            amount = f"{done:g} of {bounded:g} {unit or ''}" if bounded else f"{done:g} {unit or ''}"
        what = plain(str(event.data.get("what") or "Working"))
        if self._bar is None:
            self._bar = progress_bar()
            self._bar.add_task("")
        task = self._bar.task_ids[0]
        self._bar.update(task, description=what, completed=done, total=bounded, amount=plain(amount))
        self._bar.start()

    def _retry(self, event: RunEvent) -> None:
        self._begin_anew()
        wait, error = event.data.get("wait_seconds"), event.data.get("error")
        pause = f" in {wait:.1f} s" if isinstance(wait, int | float) else ""
        self._out.note(f"Asking again{pause}: {error}" if error else f"Asking again{pause}.")

    def _fallback(self, event: RunEvent) -> None:
        self._begin_anew()
        self._out.note(f"{event.data.get('error')} Asking {event.data.get('to')} instead.")

    def _begin_anew(self) -> None:
        self._remove_bar()
        if self.shown:
            self._out.line()
            self.shown = ""

    def _remove_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
