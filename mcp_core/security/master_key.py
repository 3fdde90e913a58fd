"""The installation's master key: from the environment, or a file only its owner can read."""

import os
import secrets
from pathlib import Path

from mcp_core.errors import ConfigurationError
from mcp_core.settings import Settings

__all__ = ["load_master_key"]


def load_master_key(settings: Settings) -> bytes:
    """The master key: `MCP_MASTER_KEY`, else `master.key` in the data directory, made on first use with mode 0600.

    Raises:
        ConfigurationError: the file cannot be read or made.
    """
    if given := settings.master_key.get_secret_value():
        return given.encode()
    path = settings.data_dir / "master.key"
    try:
        return _read_or_make(path)
    except OSError as error:
        raise ConfigurationError(
            f"The master key {path} cannot be read or made: {error.strerror}.",
            hint="Set MCP_MASTER_KEY, or make MCP_DATA_DIR writable.",
            field="MCP_MASTER_KEY",
        ) from None


def _read_or_make(path: Path) -> bytes:
    if path.exists():
        return path.read_bytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_hex(32).encode())
    try:
        # A link fails where the name exists: of two processes that start at once, one makes the key and both read it.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_bytes()
