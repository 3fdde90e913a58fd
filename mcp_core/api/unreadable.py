"""Task files that cannot be run: what of one is known well enough to leave a failed run in the history."""

import re
from pathlib import Path

from mcp_core.errors import ConfigurationError
from mcp_core.models import Actor, Run, new_id
from mcp_core.types.files import MAX_FILE_BYTES
from mcp_core.types.registry import Registry

__all__ = ["for_the_record", "run_of"]

UNKNOWN_TYPE = "unknown"
"""Type of a run whose file does not say which of those there are it is of."""

_TYPE = re.compile(r"""^[\s{]*["']?type["']?\s*:\s*["']?([\w-]+)""", re.MULTILINE)


def run_of(path: Path, registry: Registry, actor: Actor, run_id: str | None) -> Run | None:
    """The run that this task file was meant to be; None where there is no file that can be read.

    Of what the file says only the name of a type that there is is kept: a secret in the wrong place of it does not get
    into the history.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return None
    kind = next((found for found in _TYPE.findall(text) if found in registry.names()), UNKNOWN_TYPE)
    return Run(
        id=run_id or new_id(),
        type=kind,
        name=path.stem,
        actor_id=actor.id,
        team=actor.team,
        config={"type": kind, "name": path.stem},
    )


def for_the_record(error: ConfigurationError, path: Path) -> ConfigurationError:
    """The error without what was found in the file."""
    return ConfigurationError(
        error.record or f"The task file {path.name} is wrong{f' at {error.field}' if error.field else ''}.",
        hint="Mend the file and run it again. Whoever ran it was shown the words of the file that are wrong.",
        field=error.field,
    )
