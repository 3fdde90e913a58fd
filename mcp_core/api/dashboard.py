"""Figures of the history over time, from the store's sums alone: what the pages' metrics and charts draw."""

from datetime import datetime
from typing import TYPE_CHECKING

from mcp_core.store import Store, Totals

if TYPE_CHECKING:
    import pandas as pd

    from mcp_core.store.filters import Group, Period

__all__ = ["DashboardService"]


class DashboardService:
    """Sums and percentiles of finished runs. Reached as `client.dashboard`.

    Spans are whole steps in UTC; a step without runs has no row. All methods raise StoreError if the history cannot
    be read.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def totals(self, since: datetime, until: datetime) -> Totals:
        """One set of figures for the whole span."""
        return self._store.totals(since, until)

    def runs(
        self, since: datetime, until: datetime, *, by: "Period" = "day", group: "Group | None" = None
    ) -> "pd.DataFrame":
        """Runs, tokens, cost and savings by step, and by `group` where one is named."""
        return self._store.rollup_frame(since, until, by=by, group=group)

    def latency(self, since: datetime, until: datetime, *, by: "Period" = "day") -> "pd.DataFrame":
        """Percentiles of the time runs took, in seconds, by step."""
        return self._store.latency_frame(since, until, by=by)

    def errors(self, since: datetime, until: datetime, *, by: "Period" = "day") -> "pd.DataFrame":
        """Runs that went wrong, by step and kind of error."""
        return self._store.error_frame(since, until, by=by)

    def names(self, since: datetime, until: datetime, group: "Group") -> list[str]:
        """The types, models, tasks or the like that had runs, the busiest first."""
        frame = self._store.rollup_frame(since, until, by="day", group=group)
        counts = frame.groupby(group, observed=True)["runs"].sum().sort_values(ascending=False, kind="stable")
        return [str(name) for name in counts.index if name]
