"""What pages are made of. Pages import from here and from `mcp_core`, and nothing deeper."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp_core.ui import (
        actions,
        budget_view,
        cache_view,
        charts,
        filters,
        forecast,
        forms,
        health,
        health_view,
        history_view,
        link_check,
        link_notes,
        links,
        live,
        machine_view,
        output,
        overview,
        preview,
        queue_view,
        run_page,
        servers,
        state,
        task_form,
        text,
        trouble_view,
    )
    from mcp_core.ui.client import current_actor, current_client
    from mcp_core.ui.task_form import task_picker
    from mcp_core.ui.trouble import explained

__all__ = [
    "actions",
    "budget_view",
    "cache_view",
    "charts",
    "current_actor",
    "current_client",
    "explained",
    "filters",
    "forecast",
    "forms",
    "health",
    "health_view",
    "history_view",
    "link_check",
    "link_notes",
    "links",
    "live",
    "machine_view",
    "output",
    "overview",
    "preview",
    "queue_view",
    "run_page",
    "servers",
    "state",
    "task_form",
    "task_picker",
    "text",
    "trouble_view",
]

# Imported when first asked for: the form renderer is used without a panel, and a page without charts needs no plotly.
_HOMES = {
    "current_actor": "mcp_core.ui.client",
    "current_client": "mcp_core.ui.client",
    "explained": "mcp_core.ui.trouble",
    "task_picker": "mcp_core.ui.task_form",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in __all__:
        return import_module(f"mcp_core.ui.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
