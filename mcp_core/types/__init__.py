"""What can be run: one module per MCP type, its config beside its executor."""
