"""The machine the panel runs on: how much memory it may use, and whether its disk is kept."""

from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["MODEL_BYTES", "Disk", "disk_of", "free_memory"]

MODEL_BYTES = 400_000_000
"""Memory the built-in model takes while it runs, with some room."""

_NOT_KEPT = ("tmpfs", "ramfs")
_UNLIMITED = 2**60


@dataclass(frozen=True, slots=True)
class Disk:
    """Where a directory lies.

    Attributes:
        kind: type of the file system, such as `ext4`; empty where unknown.
        kept: `yes`, `no` (lost at the next restart or sleep) or `container` (lost with the container).
    """

    kind: str
    kept: str


def disk_of(path: Path, *, root: Path = Path("/")) -> Disk:
    """The disk that `path`, which need not exist yet, lies on.

    Args:
        root: where `proc` and `mount` are looked for.
    """
    kind = _file_system(path.resolve(), root)
    if kind in _NOT_KEPT or (root / "mount" / "src").is_dir():
        # Streamlit Community Cloud keeps an app's clone in /mount/src and no disk.
        return Disk(kind, "no")
    return Disk(kind, "container" if kind == "overlay" else "yes")


def _file_system(path: Path, root: Path) -> str:
    try:
        lines = (root / "proc" / "self" / "mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    best, kind = -1, ""
    for line in lines:
        fields = line.split()
        if len(fields) < 8 or "-" not in fields:
            continue
        point = Path(fields[4].replace("\\040", " "))
        # Of two on the same point the later one is in front.
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[fields.index("-") + 1]
    return kind


def free_memory(*, root: Path = Path("/")) -> int:
    """Bytes this process may still take: what the machine has, or less where its control group is limited.

    Args:
        root: where `proc` and `sys` are looked for.
    """
    free = int(psutil.virtual_memory().available)
    for folder, limit_name, used_name, cached_name in _groups(root):
        limit, used = _number(folder / limit_name), _number(folder / used_name)
        if limit is not None and used is not None and limit < _UNLIMITED:
            free = min(free, max(0, limit - used + _reclaimable(folder / "memory.stat", cached_name)))
    return free


def _groups(root: Path) -> list[tuple[Path, str, str, str]]:
    """Folders of this process's control groups and their parents, with the files of limit, use and cache."""
    found: list[tuple[Path, str, str, str]] = []
    try:
        lines = (root / "proc" / "self" / "cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:
        return found
    base = root / "sys" / "fs" / "cgroup"
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            top, names = base, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = base / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        folder = top / path.strip("/")
        while folder.is_relative_to(top):
            found.append((folder, *names))
            folder = folder.parent
    return found


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None  # no such group, or `max`: no limit


def _reclaimable(path: Path, name: str) -> int:
    try:
        lines = path.read_text("ascii").splitlines()
    except (OSError, ValueError):
        return 0
    values = dict(line.split(" ", 1) for line in lines if " " in line)
    try:
        return int(values.get(name, "0"))
    except ValueError:
        return 0
