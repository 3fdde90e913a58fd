"""What a cache stored and pushed out, added up by hour and label until it is written down."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["LABELS", "Ledger", "LedgerRow"]

LABELS = ("type", "provider", "model", "task")


@dataclass(slots=True)
class LedgerRow:
    """Sums of one hour and one set of labels: counts of entries, and their bytes."""

    hour: int
    labels: tuple[str, str, str, str]
    stored: int = 0
    stored_bytes: int = 0
    evicted: int = 0
    evicted_bytes: int = 0


class Ledger:
    """A small buffer, so that no entry stored or pushed out is a write of its own. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[tuple[int, tuple[str, ...]], LedgerRow] = {}

    def stored(self, labels: Mapping[str, str], size_bytes: int) -> None:
        """Count an answer that was remembered: the bytes of its body."""
        with self._lock:
            row = self._row(labels)
            row.stored += 1
            row.stored_bytes += size_bytes

    def evicted(self, labels: Mapping[str, str], size_bytes: int) -> None:
        """Count an entry that had to make room: the bytes it took."""
        with self._lock:
            row = self._row(labels)
            row.evicted += 1
            row.evicted_bytes += size_bytes

    def drain(self) -> list[LedgerRow]:
        """What has been added up since the last time."""
        with self._lock:
            rows, self._rows = self._rows, {}
        return list(rows.values())

    def _row(self, labels: Mapping[str, str]) -> LedgerRow:
        names = (
            labels.get("type", ""),
            labels.get("provider", ""),
            labels.get("model", ""),
            labels.get("task", ""),
        )
        key = (int(time.time() // 3600), names)
        return self._rows.setdefault(key, LedgerRow(*key[:1], names))
