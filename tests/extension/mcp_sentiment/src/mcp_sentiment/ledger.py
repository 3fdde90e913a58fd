"""A cache that keeps each answer in a file of its own, written without blocking the event loop."""

import asyncio
import base64
import dataclasses
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

from mcp_core import Entry, Settings
from mcp_core.cache.base import CacheSize

__all__ = ["LedgerCache"]


class LedgerCache:
    """Answers as JSON files in the folder `ledger` of the data directory."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.data_dir / "ledger"
        self._folder.mkdir(parents=True, exist_ok=True)

    async def get(self, key: str) -> Entry | None:
        """The entry under `key`."""
        path = self._path(key)
        return await asyncio.to_thread(_read, path) if path.exists() else None

    async def set(self, entry: Entry) -> None:
        """Store `entry`."""
        fields = dataclasses.asdict(entry)
        fields["body"] = base64.b64encode(entry.body).decode()
        fields["cost_usd"] = None if entry.cost_usd is None else str(entry.cost_usd)
        await asyncio.to_thread(self._path(entry.key).write_text, json.dumps(fields), "utf-8")

    async def delete(self, key: str) -> bool:
        """Forget `key`."""
        there = self._path(key).exists()
        self._path(key).unlink(missing_ok=True)
        return there

    async def clear(self) -> int:
        """Forget everything."""
        return sum([await self.delete(path.stem) for path in self._folder.glob("*.json")])

    async def size(self) -> CacheSize:
        """How much it holds."""
        sizes = [path.stat().st_size for path in self._folder.glob("*.json")]
        return CacheSize(len(sizes), sum(sizes))

    async def entries(self, *, limit: int = 1000, offset: int = 0) -> AsyncIterator[Entry]:
        """Entries, newest first."""
        found = [_read(path) for path in self._folder.glob("*.json")]
        for entry in sorted(found, key=lambda entry: -entry.created_at)[offset : offset + limit]:
            yield entry

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"


def _read(path: Path) -> Entry:
    fields = json.loads(path.read_text("utf-8"))
    fields["body"] = base64.b64decode(fields["body"])
    fields["cost_usd"] = None if fields["cost_usd"] is None else Decimal(fields["cost_usd"])
    return Entry(**fields)
