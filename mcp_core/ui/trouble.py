"""A page, or a part of one, that cannot be drawn: says what happened and what to do instead of falling over."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec

import streamlit as st
from loguru import logger

from mcp_core.errors import MCPError
from mcp_core.security.redaction import redactor
from mcp_core.ui.text import sentences

__all__ = ["explained", "fragment"]

_P = ParamSpec("_P")
_LAST = "mcp.trouble"
_HINT = (
    "Reload the page in a moment. If it stays so, `python -m mcp_core doctor`, run where the app runs, "
    "checks the whole installation."
)


@contextmanager
def explained() -> Iterator[None]:
    """Show an `MCPError` of what is drawn within: its message and its hint. What was drawn before it stays."""
    try:
        yield
    except MCPError as error:
        _log(error)
        st.error(
            sentences(redactor.shapes(error.message)),
            title="This part of the page cannot be shown",
            icon=":material/error:",
        )
        hint = sentences(redactor.shapes(error.hint)) if error.hint else _HINT
        st.markdown(f":material/lightbulb: {hint}")


def fragment(draw: Callable[_P, None], *, every: float | None) -> Callable[_P, None]:
    """`draw` as a fragment that looks again after `every` seconds, also once it could not be drawn.

    A fragment is drawn again without the page around it, so what `app.py` catches does not help it.
    """

    @wraps(draw)
    def safe(*args: _P.args, **kwargs: _P.kwargs) -> None:
        with explained():
            draw(*args, **kwargs)

    return st.fragment(run_every=every)(safe)


def _log(error: MCPError) -> None:
    # A page looks again several times a second: the same trouble is worth one line in a browser session.
    if st.session_state.get(_LAST) != error.message:
        st.session_state[_LAST] = error.message
        logger.error("A page cannot be shown: {}", error)
