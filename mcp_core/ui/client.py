"""The one client of this process, shared by all browser sessions and kept across reloads of the code."""

import atexit
import gc
import runpy
import threading
from importlib import import_module

import streamlit as st
from loguru import logger
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from mcp_core.api.client import MCPClient
from mcp_core.errors import ConfigurationError, MCPError, StoreError
from mcp_core.logs import configure_console, configure_logs
from mcp_core.models import Actor
from mcp_core.security.redaction import redactor
from mcp_core.settings import load_settings
from mcp_core.ui.text import sentences

__all__ = ["current_actor", "current_client", "release_client"]

_closing: set[threading.Thread] = set()
_warmed = threading.Event()

_WARM = ("mcp_core.ui.plotting", "mcp_core.ui.charts")
"""What the first page with a table or chart would otherwise wait for."""


def current_client() -> MCPClient:
    """The client of this process. Where it cannot be opened, the page says why and what to do, and ends here."""
    _enter_by_the_app()
    try:
        return _open()
    except (ConfigurationError, StoreError) as error:
        logger.critical("The panel cannot start: {}", error)
        _explain(error)
        st.stop()


def current_actor() -> Actor:
    """Whoever uses this browser session."""
    return current_client().actor


def release_client() -> None:
    """Drain and close the client; the next page opens another one, with the settings of then."""
    _open.clear()
    for thread in list(_closing):
        thread.join()


def _enter_by_the_app() -> None:
    """Run the page from `app.py`, if Streamlit has begun with the page itself.

    A folder called `pages` makes it do so until `st.navigation` has been called once in the process: the first link to
    a page after a start would show that page without its frame.
    """
    context = get_script_run_ctx()
    if context is not None and PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False
        # Not `st.rerun`, which would forget a button that was pressed.
        runpy.run_path(context.pages_manager.main_script_path, run_name="__main__")
        st.stop()


def _close(client: MCPClient) -> None:
    # Streamlit releases what it holds on `clear`, but not when the process ends: the exit handler is then the one
    # that comes here, and must not come twice.
    atexit.unregister(client.close)
    client.close()
    _closing.discard(threading.current_thread())


def _retire(client: MCPClient) -> None:
    """Close the client while its successor is at work already: its runs get their time to finish."""
    thread = threading.Thread(target=_close, args=(client,), name="mcp-retire")
    _closing.add(thread)
    thread.start()


def _is_of_this_code(client: MCPClient) -> bool:
    """Whether the client was made by the code as it is now loaded: after a reload its classes are others."""
    if type(client) is MCPClient:
        return True
    _retire(client)
    return False


@st.cache_resource(show_spinner="Opening the panel", validate=_is_of_this_code, on_release=_retire)
def _open() -> MCPClient:
    configure_console(redactor.shapes)
    settings = load_settings()
    configure_logs(settings, redactor.shapes)
    client = MCPClient(settings, adopt=True)
    atexit.register(client.close)
    if not _warmed.is_set():
        _warmed.set()
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
    st.error(sentences(redactor.shapes(error.message)), title="What is wrong", icon=":material/error:")
    if error.hint:
        st.info(sentences(redactor.shapes(error.hint)), title="What to do", icon=":material/lightbulb:")
    st.markdown("Nothing has been started or changed. Mend it where the app runs, then try again.")
    st.button("Try again", icon=":material/refresh:", type="primary")
    st.caption("`python -m mcp_core doctor`, run in the same place, checks the whole installation.")
