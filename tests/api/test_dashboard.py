from datetime import timedelta
from decimal import Decimal

import pytest

from mcp_core.api.client import MCPClient
from mcp_core.errors import ConfigurationError
from mcp_core.models import utcnow
from mcp_core.store import RunFilter
from tests.made_runs import made_run, seed, week_of_runs

pytestmark = pytest.mark.integration


def test_figures_over_time_are_those_of_the_runs(client: MCPClient) -> None:
    runs = week_of_runs(40)
    seed(client.store, runs)
    until = utcnow()
    since = until - timedelta(days=7)
    totals = client.dashboard.totals(since, until)
    by_status = client.dashboard.runs(since, until, by="hour", group="status")
    assert (totals.runs, totals.errors) == (40, 4)
    assert by_status.groupby("status", observed=True)["runs"].sum().to_dict() == {"succeeded": 36, "failed": 4}
    cost = sum((run.cost_usd for run in runs if run.cost_usd is not None), Decimal(0))
    assert client.dashboard.runs(since, until)["cost_usd"].sum() == pytest.approx(float(cost))
    assert client.dashboard.errors(since, until)["errors"].sum() == 4
    assert client.dashboard.latency(since, until)["runs"].sum() == 40
    assert client.cache.frame(since, until, group="model")["hits"].sum() == totals.hits


def test_names_come_busiest_first(client: MCPClient) -> None:
    seed(client.store, [made_run(model="acme/n"), made_run(), made_run(), made_run(model=None)])
    until = utcnow()
    since = until - timedelta(days=1)
    assert client.dashboard.names(since, until, "model") == ["acme/m", "acme/n"]
    assert client.dashboard.names(since - timedelta(days=9), since - timedelta(days=8), "type") == []


def test_pages_of_the_table_follow_each_other(client: MCPClient) -> None:
    runs = week_of_runs(7)
    seed(client.store, runs)
    newest_first = [run.id for run in sorted(runs, key=lambda run: run.created_at, reverse=True)]
    first, cursor = client.runs.page(limit=3)
    second, cursor_of_last = client.runs.page(limit=3, cursor=cursor)
    last, end = client.runs.page(limit=3, cursor=cursor_of_last)
    assert [*first["id"], *second["id"], *last["id"]] == newest_first
    assert end is None
    assert client.runs.list(limit=3)[1] == cursor, "tables and lists have the same places"
    with pytest.raises(ConfigurationError, match="not a place"):
        client.runs.page(RunFilter(), cursor="nonsense")
