"""Links that can be sent to somebody: to a run, or to a form as it is filled in."""

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

from mcp_core.settings import Settings

__all__ = ["PAGES", "PageName", "app_url", "page_url", "run_url"]

PageName = Literal["", "run", "history", "cache", "budgets", "health"]

PAGES: Mapping[PageName, str] = {
    "": "pages/home.py",
    "run": "pages/run.py",
    "history": "pages/history.py",
    "cache": "pages/cache.py",
    "budgets": "pages/budgets.py",
    "health": "pages/health.py",
}
"""Path of a page in the address -> its script, as `st.switch_page` and `st.page_link` take it."""


def app_url(settings: Settings) -> str:
    """Where the reader's browser has the app, base path included, without a slash at its end.

    It is the address the page was asked for by; outside a page it is `MCP_PUBLIC_URL`, and empty without that.
    """
    here = st.context.url
    if not here:
        return settings.public_url.rstrip("/")
    scheme, host, path, _, _ = urlsplit(here)
    parts = path.rstrip("/").split("/")
    if parts[-1] in PAGES and parts[-1]:
        parts.pop()
    return urlunsplit((scheme, host, "/".join(parts), "", ""))


def page_url(settings: Settings, page: PageName, params: Mapping[str, str] | None = None) -> str:
    """Address of one of the pages, with query parameters."""
    address = f"{app_url(settings)}/{page}"
    return f"{address}?{urlencode(params)}" if params else address


def run_url(settings: Settings, run_id: str) -> str:
    """Address of a run's own page: whoever opens it sees the run, still going or finished."""
    return page_url(settings, "history", {"run": run_id})
