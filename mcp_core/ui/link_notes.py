"""What was wrong with the link a page was opened by: said in a line each at its top, while the rest of it works."""

from collections.abc import Iterable
from typing import Final

import streamlit as st

from mcp_core.errors import MCPError
from mcp_core.security.redaction import redactor
from mcp_core.ui.text import sentences

__all__ = ["check", "note", "note_error", "top"]

_SLOT: Final = "mcp.link.slot"
_LINES: Final = "mcp.link.lines"
_PAGE: Final = "mcp.link.page"
_CHOSEN: Final = "mcp.link.chosen"

_LONGEST_VALUE = 60
_LONGEST_LINE = 400
_MOST_LINES = 8
_MOST_NAMED = 20


def top(page: str) -> None:
    """Keep a place for the lines, and show those there are; to be called at the top of every page.

    They stay while the page redraws itself, and go once another page is opened or something else is asked for.
    """
    state = st.session_state
    state[_SLOT] = st.container()
    lines: list[str] = state.setdefault(_LINES, [])
    chosen = _chosen()
    if state.get(_PAGE) != page or (lines and state.get(_CHOSEN) not in (None, chosen)):
        lines.clear()
    state[_PAGE] = page
    # Before the first drawing there are no widgets yet: only what the second finds is what the page settled on.
    state[_CHOSEN] = chosen if lines else None
    for line in lines:
        _draw(line)


def _chosen() -> dict[str, str]:
    """What the widgets of the page hold, as far as it can be compared."""
    return {
        str(name): repr(value)
        for name, value in st.session_state.items()
        if isinstance(value, str | int | float | list | tuple) and not str(name).startswith("mcp.")
    }


def note(name: str, value: str, allowed: str) -> None:
    """Say that the link's parameter `name` has a value it cannot have, and what is allowed."""
    shown = value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}…"
    _say(f"The link has {name} = “{shown}”: {allowed}")


def note_error(name: str, value: str, error: MCPError) -> None:
    """As `note`, with what an error says and what to do about it."""
    note(name, value, str(error))


def check(name: str, allowed: Iterable[str]) -> None:
    """Note each value of the link's parameter `name` that is not one of `allowed`; for before its widget is drawn."""
    known = list(allowed)
    for value in st.query_params.get_all(name):
        if value and value not in known:
            more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
            note(name, value, f"allowed are {', '.join(known[:_MOST_NAMED])}{more}." if known else "there is none yet.")


def _say(line: str) -> None:
    # Known secrets and what looks like one stay out, as they do everywhere; what is foreign is shown as it is.
    line = redactor.shapes(line)
    line = sentences(line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…")
    lines: list[str] = st.session_state.setdefault(_LINES, [])
    if line in lines or len(lines) >= _MOST_LINES:
        return
    lines.append(line)
    _draw(line)


def _draw(line: str) -> None:
    st.session_state[_SLOT].warning(line, icon=":material/link_off:")
