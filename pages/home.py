"""Home: what is running, what ran last, how the model servers are, and what to do first."""

import streamlit as st

from mcp_core.ui import current_client, health, overview

client = current_client()
health.banner(client)

left, right = st.columns([3, 2], gap="large")
with left:
    if overview.is_new(client):
        overview.first_steps(client)
    else:
        overview.running(client)
        overview.recent(client)
with right:
    st.subheader("Model servers")
    health.model_servers(client)
