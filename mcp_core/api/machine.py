"""What this process and its machine have and use: memory, processors, disk, threads."""

import re
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from mcp_core.api.host import free_memory

__all__ = ["Machine", "Processors", "machine"]

_FIRST_LOOK_SECONDS = 0.1
_KEEP_SECONDS = 1.0
_NUMBER = re.compile(r"[-_ ]?\(?\d[\d_-]*\)?.*$")


@dataclass(frozen=True, slots=True)
class Machine:
    """Figures of one moment.

    Attributes:
        memory_free_bytes: what this process may still take, its control group's limit minded.
        process_bytes: resident memory of this process; children_bytes: of those it started, such as the local model.
        processor_ratio: share of all processors' time that is used, 0 to 1.
        disk_free_bytes: of the data directory's disk; None, as the total, where that cannot be asked.
        threads: of this process, by what they are for, the most first.
        open_files: of this process; None where that cannot be asked.
    """

    memory_total_bytes: int
    memory_free_bytes: int
    process_bytes: int
    children_bytes: int
    processors: int
    processor_ratio: float
    disk_total_bytes: int | None
    disk_free_bytes: int | None
    threads: dict[str, int]
    open_files: int | None

    @property
    def thread_count(self) -> int:
        """All threads that Python knows of."""
        return sum(self.threads.values())


class Processors:
    """How busy the processors are, over the time since somebody looked last. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ratio = 0.0
        self._looked_at: float | None = None

    def ratio(self) -> float:
        """From 0 to 1; of the last second or longer. The first look takes a tenth of a second."""
        with self._lock:
            now = time.monotonic()
            if self._looked_at is None:
                psutil.cpu_percent()
                time.sleep(_FIRST_LOOK_SECONDS)
            if self._looked_at is None or now - self._looked_at >= _KEEP_SECONDS:
                self._ratio = min(1.0, psutil.cpu_percent() / 100)
                self._looked_at = now
            return self._ratio


def machine(data_dir: Path, processors: Processors) -> Machine:
    """The figures of now."""
    memory = psutil.virtual_memory()
    process = psutil.Process()
    total, free = _disk(data_dir)
    return Machine(
        memory_total_bytes=int(memory.total),
        memory_free_bytes=free_memory(),
        process_bytes=int(process.memory_info().rss),
        children_bytes=sum(_resident(child) for child in process.children(recursive=True)),
        processors=psutil.cpu_count() or 1,
        processor_ratio=processors.ratio(),
        disk_total_bytes=total,
        disk_free_bytes=free,
        threads=_threads(),
        open_files=_open_files(process),
    )


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0  # it has ended meanwhile


def _open_files(process: psutil.Process) -> int | None:
    try:
        return int(process.num_fds()) if hasattr(process, "num_fds") else None  # Windows counts something else
    except psutil.Error:
        return None


def _disk(data_dir: Path) -> tuple[int | None, int | None]:
    try:
        usage = psutil.disk_usage(str(data_dir))
    except OSError:
        return None, None
    return int(usage.total), int(usage.free)


def _threads() -> dict[str, int]:
    """Threads by name, numbers left out: `mcp-run-3` is one of `mcp-run`."""
    main = threading.main_thread()
    names = Counter(
        "main" if thread is main else _NUMBER.sub("", thread.name) or "other" for thread in threading.enumerate()
    )
    return dict(names.most_common())
