"""Budgets: what may be spent, what is, and what is left."""

from mcp_core.ui import budget_view, current_client

client = current_client()
chosen = budget_view.budget_table(client)
budget_view.budget_buttons(client, chosen)
