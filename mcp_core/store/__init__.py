"""History of runs: what ran, what it answered, what it cost, kept in SQLite or PostgreSQL.

`open_store` is the way in. SQLAlchemy is imported when a store is opened, not before.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_core.store.filters import RunFilter, Totals
from mcp_core.store.order import NEWEST_FIRST, SORTS, RunSort
from mcp_core.store.standing import OpenRun, Process, ProcessLoad

if TYPE_CHECKING:
    from mcp_core.store.facade import Store

__all__ = [
    "NEWEST_FIRST",
    "SORTS",
    "OpenRun",
    "Process",
    "ProcessLoad",
    "RunFilter",
    "RunSort",
    "Store",
    "Totals",
    "open_store",
]


def open_store(url: str, *, data_dir: Path) -> "Store":
    """Open the history, creating or migrating it first where needed.

    Args:
        url: `sqlite:///path` or `postgresql://user:password@host/database`; empty for `history.db` in `data_dir`.
        data_dir: directory of the default file; created where missing.

    Raises:
        ConfigurationError: the URL is malformed or names another kind of database.
        StoreError: the place cannot be written, the server cannot be reached, or the history was written by a newer
            version.
    """
    from mcp_core.store.facade import Store

    return Store(url, data_dir=data_dir)


def __getattr__(name: str) -> Any:
    if name == "Store":
        from mcp_core.store.facade import Store

        return Store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
