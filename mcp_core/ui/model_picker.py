"""The form widget `model`: choose among the providers' models, or write another one."""

import threading
import time
from weakref import WeakKeyDictionary, ref

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.ui.client import current_client
from mcp_core.ui.forms import WidgetContext

__all__ = ["ModelOffers", "offers_of", "render_model"]

FRESH_SECONDS = 300.0
"""How long a list of models is taken as it is; the providers remember it for as long."""


class ModelOffers:
    """Names of the models of one client. Servers are asked in the background: a slow one holds up no page."""

    def __init__(self, client: MCPClient) -> None:
        # Whoever keeps these offers by their client must not keep the client alive through them.
        self._client = ref(client)
        self._lock = threading.Lock()
        self._asked: float | None = None
        self._names = tuple(f"{info.name}/{model}" for info in client.providers.list() for model in info.models)

    def names(self) -> tuple[str, ...]:
        """What is known now, as `provider/model`; the next call may know more."""
        now = time.monotonic()
        with self._lock:
            if self._asked is None or now - self._asked > FRESH_SECONDS:
                self._asked = now
                threading.Thread(target=self._ask, name="mcp-models", daemon=True).start()
            return self._names

    def _ask(self) -> None:
        client = self._client()
        if client is None:
            return
        found = tuple(name for listed in client.providers.models() for name in listed.models)
        with self._lock:
            self._names = found or self._names


_OFFERS: "WeakKeyDictionary[MCPClient, ModelOffers]" = WeakKeyDictionary()


def offers_of(client: MCPClient) -> ModelOffers:
    """The models of a client, asked for once for all sessions."""
    found = _OFFERS.get(client)
    return found if found is not None else _OFFERS.setdefault(client, ModelOffers(client))


def render_model(ctx: WidgetContext) -> str | None:
    """Draw the widget; returns what is chosen or written, None where nothing is."""
    names = offers_of(current_client()).names()
    ctx.seed(ctx.value)
    chosen = st.session_state.get(ctx.key)
    options = [*names, *([chosen] if isinstance(chosen, str) and chosen and chosen not in names else [])]
    picked: str | None = st.selectbox(
        ctx.label,
        options,
        key=ctx.key,
        help=ctx.help,
        index=None,
        placeholder="provider/model",
        accept_new_options=True,
        label_visibility=ctx.label_visibility,
    )
    return picked
