"""Cache: what it holds, what it did and saved over time, its entries, and its settings."""

import streamlit as st

from mcp_core.ui import cache_list, cache_settings, cache_view, current_client, filters, link_check

client = current_client()
link_check.check_names("cache")
link_check.check_cache()
held = cache_view.held_or_why(client)
cache_view.cache_figures(client, filters.span_picker(), held)
st.subheader("Entries")
if held is not None and not cache_view.nothing_is_cached(held):
    cache_list.cache_entries(client, held)
st.subheader("Settings")
cache_settings.cache_settings(client)
