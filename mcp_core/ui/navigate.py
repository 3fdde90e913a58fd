"""Going from the history to a run's own page and back: callbacks of buttons, inside and outside of fragments."""

import streamlit as st

__all__ = ["leave_run", "show_run"]


def show_run(run_id: str) -> None:
    """Show a run's own page."""
    st.query_params["run"] = run_id
    # A button in a fragment would draw that fragment alone.
    st.rerun()


def leave_run() -> None:
    """Back to the history as it was."""
    st.query_params.pop("run", None)
    st.rerun()
