"""A killed process: its running run becomes interrupted, its queued one goes on elsewhere, a live one is left alone."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_core.api import pulse
from mcp_core.api.client import MCPClient
from mcp_core.models import RunStatus
from mcp_core.settings import Settings
from tests.api.probes import Probe, gate, probe_registry
from tests.api.test_engine import is_running, until

pytestmark = pytest.mark.integration

DOOMED = """
import sys
from mcp_core.api.client import MCPClient
from tests.api.probes import Probe, gate, probe_registry

with gate("a"):
    panel = MCPClient(registry=probe_registry())
    running = panel.submit(Probe(act="wait", gate="a"))
    while running.run.status != "running":
        pass
    queued = panel.submit(Probe(words=["went", "on"]))
    panel.store.flush()
    print(running.id, queued.id, flush=True)
    sys.stdin.read()
"""


def test_kill_9(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    for name, value in {"MCP_WORKERS": "1", "MCP_LOCAL_MODEL": "off", "PYTHONPATH": str(root)}.items():
        monkeypatch.setenv(name, value)
    doomed = subprocess.Popen(
        [sys.executable, "-c", DOOMED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert doomed.stdout is not None
    running_id, queued_id = doomed.stdout.readline().split()
    monkeypatch.setattr(pulse, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(pulse, "LEASE_SECONDS", 6.0)
    heir = MCPClient(settings, registry=probe_registry(), adopt=True)
    try:
        with gate("mine") as opened:
            mine = heir.submit(Probe(act="wait", gate="mine"))
            until(is_running(mine))
            # That it has begun is written with whatever is written next, its heartbeat at the latest.
            until(lambda: heir.runs.get(running_id).status is RunStatus.RUNNING)
            doomed.send_signal(signal.SIGKILL)
            doomed.communicate()
            until(lambda: heir.runs.get(running_id).status is RunStatus.INTERRUPTED, 30)
            until(lambda: heir.runs.get(queued_id).status is RunStatus.SUCCEEDED, 30)
            assert mine.run.status is RunStatus.RUNNING
            opened.set()
            assert mine.result(10).status is RunStatus.SUCCEEDED
        interrupted = heir.runs.get(running_id)
        assert interrupted.error is not None
        assert interrupted.error.type == "RunInterruptedError"
        assert heir.runs.get(queued_id).output.text == "went on"
        assert heir.runs.count() == 3
    finally:
        heir.close(drain_seconds=0)
