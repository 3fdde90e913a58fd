"""`serve`: the app of a clone, served by Streamlit."""

import os
import sys
from argparse import Namespace
from pathlib import Path

from mcp_core.cli.output import Output
from mcp_core.errors import ConfigurationError
from mcp_core.settings import load_settings

__all__ = ["APP", "serve", "streamlit_command"]

APP = Path(__file__).resolve().parents[2] / "app.py"
"""The app of a clone; an installed package has none."""


def streamlit_command(namespace: Namespace, app: Path) -> list[str]:
    """The command that serves `app`: `streamlit run`, with this Python."""
    command = [sys.executable, "-m", "streamlit", "run", str(app)]
    if namespace.host:
        command.append(f"--server.address={namespace.host}")
    if namespace.port is not None:
        command.append(f"--server.port={namespace.port}")
    return command + list(namespace.arguments)


def serve(namespace: Namespace, out: Output) -> int:
    """Become the server: signals and exit code are then Streamlit's own.

    Raises:
        ConfigurationError: a setting is wrong, or there is no app beside the package.
    """
    load_settings()
    if not APP.is_file():
        raise ConfigurationError(
            "The installed package holds no app.",
            hint="Clone the repository and run `streamlit run app.py` there, or `python -m mcp_core serve`.",
        )
    command = streamlit_command(namespace, APP)
    out.note(f"Serving {APP}; stop it with Ctrl+C.")
    out.flush()
    # Streamlit reads its configuration from the working directory, and so does the panel its `.env`.
    os.chdir(APP.parent)
    os.execv(command[0], command)  # noqa: S606  # this Python, by its full path
