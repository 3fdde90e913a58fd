"""The one client of this process, shared by all browser sessions and kept across reloads of the code."""

import atexit
import gc
import threading
from importlib import import_module

import streamlit as st
from loguru import logger

from mcp_core.api.client import MCPClient
from mcp_core.errors import ConfigurationError, MCPError, StoreError
from mcp_core.logs import configure_logs
from mcp_core.models import Actor
from mcp_core.security.redaction import redactor
from mcp_core.settings import load_settings
from mcp_core.ui.text import escape

__all__ = ["current_actor", "current_client", "release_client"]

_WARM = ("pandas", "plotly.graph_objects", "mcp_core.ui.charts")
"""What the first page with a table or chart would otherwise wait for."""


def current_client() -> MCPClient:
    """The client of this process. Where it cannot be opened, the page says why and what to do, and ends here."""
    try:
        return _open()
    except (ConfigurationError, StoreError) as error:
        logger.error("The panel cannot start: {}", error)
        _explain(error)
        st.stop()


def current_actor() -> Actor:
    """Whoever uses this browser session."""
    return current_client().actor


def release_client() -> None:
    """Drain and close the client; the next page opens another one, with the settings of then."""
    _open.clear()


def _close(client: MCPClient) -> None:
    # Streamlit releases what it holds on `clear`, but not when the process ends: the exit handler is then the one
    # that comes here, and must not come twice.
    atexit.unregister(client.close)
    client.close()


@st.cache_resource(show_spinner="Opening the panel", on_release=_close)
def _open() -> MCPClient:
    settings = load_settings()
    configure_logs(settings, redactor.shapes)
    client = MCPClient(settings, adopt=True)
    atexit.register(client.close)
    threading.Thread(target=_warm_up, name="mcp-warm-up", daemon=True).start()
    return client


def _warm_up() -> None:
    """Import what the first chart needs, then take all of it out of the garbage collector's rounds.

    Streamlit collects in full after every script run, which costs tens of milliseconds with the modules in and next
    to nothing with them frozen.
    """
    for module in _WARM:
        try:
            import_module(module)
        except ImportError as error:
            logger.warning("{} could not be imported; the pages that need it will not work: {}", module, error)
    gc.collect()
    gc.freeze()


def _explain(error: MCPError) -> None:
    st.title("The panel cannot start", icon=":material/build:")
    st.error(escape(redactor.shapes(error.message)), title="What is wrong", icon=":material/error:")
    if error.hint:
        st.info(escape(redactor.shapes(error.hint)), title="What to do", icon=":material/lightbulb:")
    st.markdown("Nothing has been started or changed. Mend it where the app runs, then try again.")
    st.button("Try again", icon=":material/refresh:", type="primary")
    st.caption("`python -m mcp_core doctor`, run in the same place, checks the whole installation.")
