"""A form field drawn as stars."""

import streamlit as st

from mcp_core.ui.forms import WidgetContext

__all__ = ["stars"]


def stars(ctx: WidgetContext) -> int | None:
    """One star to five; what it returns is validated as anything typed."""
    ctx.seed(None if ctx.value is None else ctx.value - 1)
    st.caption(ctx.label, help=ctx.help)
    chosen = st.feedback("stars", key=ctx.key)
    return None if chosen is None else chosen + 1
