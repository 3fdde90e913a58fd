"""`queue`: what waits and runs, as a table and as JSON."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mcp_core.api.client import MCPClient
from mcp_core.models import Actor, RunStatus
from mcp_core.settings import load_settings
from tests.api.probes import Probe, gate, probe_registry
from tests.api.test_engine import is_running, until
from tests.cli.conftest import Result

pytestmark = pytest.mark.integration

Cli = Callable[..., Result]


def test_the_queue_of_another_process_is_shown(cli: Cli, data_dir: Path) -> None:
    settings = load_settings().model_copy(update={"workers": 1})
    with MCPClient(settings, registry=probe_registry()) as panel, gate("a"):
        running = panel.submit(Probe(act="wait", gate="a", name="first"), actor=Actor(id="ann"))
        until(is_running(running))
        waiting = [panel.submit(Probe(name=name), priority=name) for name in ("low", "high")]
        until(lambda: panel.store.get_run(running.id).status is RunStatus.RUNNING)  # type: ignore[union-attr]
        shown = cli("queue", "--json").json
        assert [run["id"] for run in shown["running"]] == [running.id]
        assert [(run["id"], run["position"], run["priority"]) for run in shown["waiting"]] == [
            (waiting[1].id, 1, "high"),
            (waiting[0].id, 2, "low"),
        ]
        assert (shown["waiting_total"], shown["running_total"]) == (2, 1)
        assert [(process["workers"], process["busy"]) for process in shown["processes"]] == [(1, 1)]
        table = cli("queue")
        assert [line.split("\t")[1:5] for line in table.out.splitlines()[1:]] == [
            ["running", "-", "normal", "first"],
            ["queued", "1", "high", "high"],
            ["queued", "2", "low", "low"],
        ]
        assert "2 waiting, 1 running." in table.err
        assert "1 of 1 worker busy" in table.err


def test_an_empty_queue_says_so(cli: Cli) -> None:
    assert cli("queue").err == "0 waiting, 0 running.\n"


def test_a_run_is_given_a_priority(cli: Cli, task: Path) -> None:
    run = cli("run", "shorten", "--var", "text=x", "--priority", "high", "--json").json
    assert (run["status"], run["priority"]) == ("succeeded", "high")
    assert "high" in cli("history", "show", run["id"]).out
