"""A run's way through the cache, told on its page: where its answer came from, or why it was not remembered."""

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.errors import MCPError
from mcp_core.models import Run
from mcp_core.security.redaction import redactor
from mcp_core.ui import run_details, text
from mcp_core.ui.links import PAGES
from mcp_core.ui.run_words import hit_words, miss_words, part_words

__all__ = ["cache_story"]

_SHORT = 60
"""Characters of a part's value that stand in the line of its name."""


def cache_story(client: MCPClient, run: Run) -> None:
    """Draw what the cache did for a run that is over: its age, origin and saving, and what its key was made of."""
    outcome = run.cache.outcome
    if outcome in ("hit", "stale"):
        _hit(client, run)
    elif outcome == "miss" and run.cache.parts:
        _miss(client, run)
    if outcome != "bypass" and run.cache.key:
        _key(client, run, run.cache.key)


def _hit(client: MCPClient, run: Run) -> None:
    original = run.cache.original_run_id
    if original and original != run.id:
        run_details.run_button("First answered in this run", original, key="go_original")
        try:
            client.runs.get(original)
        except MCPError:
            st.caption("The run that first got this answer is not in the history any more.")
    words = hit_words(run.cache)
    st.caption(f":material/bolt: {text.sentences(words)}")


def _miss(client: MCPClient, run: Run) -> None:
    try:
        changed = client.runs.changed_since_last(run.id)
    except MCPError as error:
        changed = None
        st.caption(text.sentences(str(error)))
    st.caption(f":material/cloud_download: {miss_words(changed, model_asked=bool(run.attempts))}")


def _key(client: MCPClient, run: Run, key: str) -> None:
    with st.expander(
        "What the cache's key is made of", icon=":material/key:", key="cache_key", on_change="rerun"
    ) as part:
        if not part.open:
            return
        try:
            entry = client.cache.show(key)[1]
        except MCPError:
            entry = None
        said = {} if entry is None else entry.parts()
        st.caption(f"Key {text.code(key)}. Where one of these differs, the answer is another one.")
        for name, digest in sorted(run.cache.parts.items()):
            words = part_words(name)
            value = redactor.shapes(said.get(name, ""))
            short = len(value) <= _SHORT and value.isprintable()
            told = f": {text.code(value)}" if value and short else ""
            st.markdown(f"**{words[:1].upper()}{words[1:]}** ({text.code(digest)}){told}")
            if not short:
                st.code(value, language=None, wrap_lines=True)
        if entry is None:
            st.caption("The entry is no longer in the cache, so its parts are known by their hashes alone.")
        else:
            st.page_link(
                PAGES["cache"], label="Find it in the cache", icon=":material/bolt:", query_params={"cache_q": key}
            )
