"""Queue and health: what waits and runs, how the model servers and the machine are, and what went wrong lately."""

from mcp_core.ui import current_client, health, health_view

client = current_client()
health.banner(client)
health_view.live(client)
