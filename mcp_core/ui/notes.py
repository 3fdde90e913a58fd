"""Short words about what a button did: left by its callback, shown by the page drawn next.

A callback must not draw: in a fragment what it draws takes the place of the page.
"""

import streamlit as st

__all__ = ["leave_note", "show_notes"]

_NOTES = "mcp.notes"


def leave_note(words: str, *, icon: str) -> None:
    """Leave `words` (Markdown; escape foreign text) for the page drawn next."""
    st.session_state.setdefault(_NOTES, []).append((words, icon))


def show_notes() -> None:
    """Show what callbacks left, once."""
    for words, icon in st.session_state.pop(_NOTES, []):
        st.toast(words, icon=icon)
