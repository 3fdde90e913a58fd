"""What everybody who works with this installation should know, before it bites: shown as a banner."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mcp_core.api.host import MODEL_BYTES, disk_of, free_memory
from mcp_core.settings import Settings

__all__ = ["Note", "notes"]

_LITTLE = 150_000_000
"""Bytes of free memory below which any larger piece of work may end the process."""


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to know: what is so, and what to do about it."""

    topic: Literal["disk", "memory"]
    level: Literal["info", "warning"]
    text: str
    hint: str


def notes(settings: Settings, *, model_running: bool = False, root: Path = Path("/")) -> list[Note]:
    """What there is to know about this machine's disk and memory; empty where all is well.

    Args:
        model_running: whether the local model already has its memory.
        root: where the machine's own files are looked for.
    """
    found = [_disk_note(settings, root), _memory_note(settings, model_running, root)]
    return [note for note in found if note is not None]


def _disk_note(settings: Settings, root: Path) -> Note | None:
    kept = disk_of(settings.data_dir, root=root).kept
    at_stake = _at_stake(settings)
    if kept == "yes" or not at_stake:
        return None
    names = " and ".join(filter(None, [", ".join(name for name, _ in at_stake[:-1]), at_stake[-1][0]]))
    hint = f"Set {', '.join(fix for _, fix in at_stake)}"
    if kept == "container":
        return Note(
            "disk",
            "info",
            f"This looks like a container's own disk: {names} would be lost with the container.",
            f"{hint}, or set MCP_DATA_DIR to a mounted volume.",
        )
    return Note("disk", "warning", f"This disk is not kept: {names} will be lost at the next restart.", f"{hint}.")


def _at_stake(settings: Settings) -> list[tuple[str, str]]:
    """What lies on the disk alone, and the setting that keeps it elsewhere."""
    found = []
    if not settings.database_url or settings.database_url.startswith("sqlite"):
        found.append(("the history", "MCP_DATABASE_URL"))
    if settings.cache_backend in ("sqlite", "filesystem"):
        found.append(("remembered answers", "MCP_CACHE_BACKEND and MCP_REDIS_URL"))
    if not settings.master_key.get_secret_value():
        found.append(("the master key", "MCP_MASTER_KEY"))
    return found


def _memory_note(settings: Settings, model_running: bool, root: Path) -> Note | None:
    free = free_memory(root=root)
    megabytes = f"{free / 1e6:,.0f} MB of memory are free"
    if free < _LITTLE:
        return Note(
            "memory",
            "warning",
            f"Only {megabytes}: a larger run may end the app.",
            "Give it more memory, or set MCP_LOCAL_MODEL=off and lower MCP_WORKERS.",
        )
    if free < MODEL_BYTES and settings.local_model != "off" and not model_running:
        return Note(
            "memory",
            "warning",
            f"Only {megabytes}, and the local model needs about {MODEL_BYTES / 1e6:,.0f} MB.",
            "Give it more memory, or set MCP_LOCAL_MODEL=off and use a provider with a key.",
        )
    return None
