"""What a run would send, before it does."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from mcp_core.errors import MCPError
from mcp_core.types.base import BaseMCPConfig
from mcp_core.types.llm_prompt import LLMPromptConfig, chat_request
from mcp_core.ui import text

__all__ = ["prompt_preview"]

LONGEST = 20_000
"""Characters of one message that are shown."""


def prompt_preview(config: BaseMCPConfig | None, variables: Mapping[str, Any] | None) -> None:
    """The rendered prompt in an expander; nothing for types without one. Rendered only while it is open."""
    if config is not None and not isinstance(config, LLMPromptConfig):
        return
    box = st.expander("Preview of the prompt", icon=":material/visibility:", on_change="rerun", key="run.preview")
    if not box.open:
        return
    with box:
        if config is None or variables is None:
            st.caption("Fill in what is missing, and the prompt shows here as the model will get it.")
            return
        try:
            request = chat_request(config, dict(variables))
        except MCPError as error:
            st.error(text.sentences(str(error)))
            return
        for message in request.messages:
            st.caption({"system": "System prompt", "user": "Prompt"}.get(message.role, message.role))
            st.code(message.content[:LONGEST], language=None, wrap_lines=True)
        total = sum(len(message.content) for message in request.messages)
        cut = f", the first {LONGEST:,} of each message shown" if total > LONGEST else ""
        st.caption(f"{text.count(total, 'characters')}{cut}")
