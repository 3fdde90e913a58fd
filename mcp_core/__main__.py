"""`python -m mcp_core`: the command line."""

import sys

from mcp_core.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
