"""Budgets: what may be spent, what is, and what is left."""

from mcp_core.ui import budget_view, current_client

client = current_client()
budgets = client.budgets.list()
chosen = budget_view.budget_table(budgets)
if not budget_view.budget_buttons(client, chosen):
    budget_view.watch_budgets(client, budgets)
