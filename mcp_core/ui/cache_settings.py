"""The settings of the cache on a page, each with what it does here."""

from collections.abc import Iterator

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.ui import text

__all__ = ["cache_settings"]

_BACKENDS = {
    "sqlite": "Answers are in one file of the data directory, with the newest in memory too; processes on this machine "
    "share them.",
    "memory": "Answers are in the memory of this process, and gone when it ends.",
    "filesystem": "Answers are files below the data directory, shared by whoever shares the directory.",
    "redis": "Answers are on the Redis server, shared by everybody who uses it.",
    "tiered": "Answers are on the Redis server, with the newest in the memory of each process too.",
}


def cache_settings(client: MCPClient) -> None:
    """Draw each setting with its value, where that came from, and its effect."""
    st.caption("They are read when the app starts: from the environment, `.env` or Streamlit secrets.")
    with st.container(border=True):
        for name, value, source, effect in _rows(client):
            st.markdown(f"`{name}` {text.escape(value)} ({source}): {text.sentences(effect)}")


def _rows(client: MCPClient) -> Iterator[tuple[str, str, str, str]]:
    settings = client.settings
    backend = settings.cache_backend
    yield (
        "MCP_CACHE_BACKEND",
        backend,
        settings.source_of("cache_backend"),
        _BACKENDS.get(backend, "Answers are kept by a cache that a package brings."),
    )
    yield (
        "MCP_CACHE_TTL",
        text.seconds(settings.cache_ttl),
        settings.source_of("cache_ttl"),
        "How long a new answer stays fresh, where neither its task nor its provider says.",
    )
    yield (
        "MCP_CACHE_MAX_BYTES",
        text.file_size(settings.cache_max_bytes),
        settings.source_of("cache_max_bytes"),
        "Beyond this, what was used longest ago is pushed out; pinned entries stay.",
    )
    sealed = settings.cache_encryption == "on"
    yield (
        "MCP_CACHE_ENCRYPTION",
        settings.cache_encryption,
        settings.source_of("cache_encryption"),
        "Answers and what was asked are encrypted where they are stored; task, model and sizes are not."
        if sealed
        else "Answers are stored as they came, readable by whoever can read the place they are in.",
    )
    for name, ttl, shared in client.providers.cache_rules():
        if ttl is not None:
            effect = "How long its answers stay fresh, where their task does not say."
            yield f"providers.{name}.cache_ttl", text.seconds(ttl), "providers file", effect
        if shared:
            effect = "Its answers serve every team and credential, not only the one that got them."
            yield f"providers.{name}.shared", "true", "providers file", effect
