"""What a command opens: settings, logs and the client."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mcp_core.logs import configure_logs
from mcp_core.security.redaction import redactor
from mcp_core.settings import Settings, load_settings

if TYPE_CHECKING:
    from argparse import Namespace

    from mcp_core.api.client import MCPClient

__all__ = ["open_client", "open_settings"]


def open_settings(namespace: "Namespace") -> Settings:
    """The settings, with logging set up: warnings on standard error, or all there is with `--verbose`.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    settings = load_settings()
    redactor.learn(settings.secret_values())
    if namespace.verbose:
        configure_logs(settings, redactor.shapes)
    else:
        level = settings.log_level if settings.log_level in ("ERROR", "CRITICAL") else "WARNING"
        # How a run ended, and which other model was asked, is what the command itself says.
        told = ["mcp_core.api.endings", "mcp_core.providers.fallback"]
        configure_logs(settings, redactor.shapes, console_level=level, told_elsewhere=told)
    return settings


@contextmanager
def open_client(namespace: "Namespace") -> Iterator["MCPClient"]:
    """A client for one command. Closed at its end; what still runs then is stopped, since nobody waits for it.

    Raises:
        ConfigurationError: a setting is wrong.
        StoreError: the history cannot be opened.
    """
    settings = open_settings(namespace)
    from mcp_core.api.client import MCPClient

    client = MCPClient(settings)
    try:
        yield client
    finally:
        client.close(drain_seconds=0)
