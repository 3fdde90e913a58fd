"""The command line: thin commands over the client.

Standard output carries the answer and nothing else; everything said about it goes to standard error.
"""

from mcp_core.cli.program import main

__all__ = ["main"]
