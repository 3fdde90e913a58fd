"""Processes that are killed at every state of a run, and two of them on one data directory."""

import json
import signal
import sqlite3
import subprocess
import threading
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from mcp_core.api import pulse
from mcp_core.api.handle import RunHandle
from mcp_core.models import Run, RunStatus
from tests.faults.conftest import QUESTION, Place, ask, until
from tests.faulty import Answer, Connection, chat

pytestmark = pytest.mark.integration

BEGIN = """
import sys
from tests.faults.conftest import QUESTION
from mcp_core.api.client import MCPClient

panel = MCPClient()
def begin(n):
    return panel.submit(QUESTION, {"n": n}, stream=False)
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(pulse, "LEASE_SECONDS", 2.0)


def heard(process: "subprocess.Popen[str]") -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.kill()
        raise AssertionError(process.communicate()[1])
    return json.loads(line)


def kill(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def settled(place: Place, *expected: tuple[str, RunStatus], calls: dict[str, int]) -> list[Run]:
    """What an heir makes of the runs of the dead; how often each question reached the model by then."""
    heir = place.open(adopt=True)
    until(lambda: all(heir.runs.get(run_id).status.is_final for run_id, _ in expected), 60)
    runs = [heir.runs.get(run_id) for run_id, _ in expected]
    assert [run.status for run in runs] == [status for _, status in expected]
    place.settle(heir, runs)
    asked = Counter(str(received.json["messages"][0]["content"]) for received in place.server.received)
    assert asked == {f"question {n}": count for n, count in calls.items()}
    return runs


class Held:
    """An answer that comes when it is let go; says when it has been asked for."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked = threading.Event()
        self.go = threading.Event()

    def __call__(self, connection: Connection) -> None:
        self.asked.set()
        while not self.go.is_set() and not connection.wait(0.01):
            pass
        self._answer(connection)


def test_killed_while_queued(place: Place, quick: None) -> None:
    place.server.default = held = Held(chat("yes"))
    child = place.start(
        BEGIN.replace("MCPClient()", 'MCPClient(load_settings({**os.environ, "MCP_WORKERS": "1"}))').replace(
            "import sys", "import os, sys\nfrom mcp_core.settings import load_settings"
        )
        + """
first = begin("running")
second = begin("queued")
print('["%s", "%s"]' % (first.id, second.id), flush=True)
sys.stdin.read()
"""
    )
    running, queued = heard(child)
    assert held.asked.wait(20)
    kill(child)
    held.go.set()
    runs = settled(
        place,
        (running, RunStatus.INTERRUPTED),
        (queued, RunStatus.SUCCEEDED),
        calls={"running": 1, "queued": 1},
    )
    assert runs[1].output.text == "yes"


def test_killed_while_running_before_the_call(place: Place, quick: None) -> None:
    child = place.start(
        BEGIN
        + """
from mcp_core.models import RunOutput
from mcp_core.types.base import BaseMCPConfig, executor
from typing import Literal

class Thinking(BaseMCPConfig):
    type: Literal["thinking"] = "thinking"

@executor(Thinking)
def think(config, ctx):
    ctx.cancel.sleep(60)
    return RunOutput(text="never")

panel.registry.register(think)
handle = panel.submit(Thinking())
while panel.store.get_run(handle.id).status != "running":
    pass
print('"%s"' % handle.id, flush=True)
sys.stdin.read()
"""
    )
    run_id = heard(child)
    kill(child)
    (run,) = settled(place, (run_id, RunStatus.INTERRUPTED), calls={})
    assert run.error is not None
    assert run.error.type == "RunInterruptedError"


def test_killed_during_the_call(place: Place, quick: None) -> None:
    place.server.script(held := Held(chat("never heard")))
    child = place.start(
        BEGIN
        + """
print('"%s"' % begin("a").id, flush=True)
sys.stdin.read()
"""
    )
    run_id = heard(child)
    assert held.asked.wait(20)
    kill(child)
    held.go.set()
    settled(place, (run_id, RunStatus.INTERRUPTED), calls={"a": 1})


def test_killed_while_the_answer_is_being_stored(place: Place, quick: None) -> None:
    place.server.script(held := Held(chat("paid for")))
    child = place.start(
        BEGIN
        + """
print('"%s"' % begin("a").id, flush=True)
sys.stdin.read()
"""
    )
    run_id = heard(child)
    assert held.asked.wait(20)
    other = sqlite3.connect(place.data / "history.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    held.go.set()
    until(lambda: (place.data / "cache.sqlite").exists() and _remembered(place) == 1)
    kill(child)
    other.execute("ROLLBACK")
    other.close()
    settled(place, (run_id, RunStatus.INTERRUPTED), calls={"a": 1})
    # The answer was paid for and is in the cache: going on costs nothing.
    panel = place.open()
    again = panel.runs.repeat(run_id).result(20)
    assert (again.status, again.output.text, str(again.cache)) == (RunStatus.SUCCEEDED, "paid for", "hit")
    assert again.retry_of == run_id
    assert place.server.calls == 1


def _remembered(place: Place) -> int:
    with sqlite3.connect(place.data / "cache.sqlite") as cache:
        try:
            return int(cache.execute("SELECT entries FROM totals").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def test_killed_and_resumed_by_two_at_once(place: Place, quick: None) -> None:
    place.server.script(held := Held(chat("never heard")))
    child = place.start(BEGIN + "print('\"%s\"' % begin('a').id, flush=True)\nsys.stdin.read()\n")
    run_id = heard(child)
    assert held.asked.wait(60)
    kill(child)
    held.go.set()
    settled(place, (run_id, RunStatus.INTERRUPTED), calls={"a": 1})
    panels = [place.open() for _ in range(2)]
    handles: list[RunHandle] = []
    threads = [
        threading.Thread(target=lambda panel=panel: handles.append(panel.runs.resume(run_id)))
        for panel in panels
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (resumed,) = {handle.id for handle in handles}
    run = handles[0].result(60)
    assert (run.status, run.retry_of) == (RunStatus.SUCCEEDED, run_id)
    assert place.server.calls == 2
    place.settle(panels[0], [panels[0].runs.get(run_id), panels[0].runs.get(resumed)])


QUEUES = (
    BEGIN.replace("MCPClient()", 'MCPClient(load_settings({**os.environ, "MCP_WORKERS": "1", **LIMITS}))').replace(
        "import sys", "import os, signal, sys\nfrom mcp_core.settings import load_settings\nLIMITS = {}"
    )
    + """
from mcp_core.api.workers import WorkerPool

close = WorkerPool.close
def told(pool):
    left = close(pool)
    print('"draining"', flush=True)
    return left
WorkerPool.close = told
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
with panel:
    first = begin("running")
    second = begin("queued")
    print('["%s", "%s"]' % (first.id, second.id), flush=True)
    sys.stdin.read()
"""
)


def test_told_to_end_and_done_in_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(pulse, "LEASE_SECONDS", 600.0)  # however slow the machine, nobody is taken for dead
    place.server.script(held := Held(chat("in time")))
    child = place.start(QUEUES.replace("LIMITS = {}", "LIMITS = {'MCP_DRAIN_SECONDS': '300'}"))
    running, queued = heard(child)
    assert held.asked.wait(60)
    child.send_signal(signal.SIGTERM)
    assert heard(child) == "draining"
    # What waited goes on elsewhere while the other process is still at work.
    heir = place.open(adopt=True)
    until(lambda: heir.runs.get(queued).status is RunStatus.SUCCEEDED, 60)
    assert heir.runs.get(running).status is RunStatus.RUNNING
    held.go.set()
    child.communicate(timeout=60)
    assert child.returncode == 3
    assert heir.runs.get(running).output.text == "in time"
    settled(
        place,
        (running, RunStatus.SUCCEEDED),
        (queued, RunStatus.SUCCEEDED),
        calls={"running": 1, "queued": 1},
    )


def test_told_to_end_and_not_done_in_time(place: Place, quick: None) -> None:
    place.server.script(held := Held(chat("never heard")))
    child = place.start(QUEUES.replace("LIMITS = {}", "LIMITS = {'MCP_DRAIN_SECONDS': '0.2'}"))
    running, queued = heard(child)
    assert held.asked.wait(60)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    held.go.set()
    settled(
        place,
        (running, RunStatus.INTERRUPTED),
        (queued, RunStatus.SUCCEEDED),
        calls={"running": 1, "queued": 1},
    )


def test_cancelled_by_another_process(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "LEASE_SECONDS", 600.0)  # however slow the machine, nobody is taken for dead
    place.server.default = held = Held(chat("never wanted"))
    child = place.start(QUEUES)
    running, queued = heard(child)
    assert held.asked.wait(60)
    panel = place.open()
    for run_id in (queued, running):
        assert panel.runs.cancel(run_id)
    until(lambda: all(panel.runs.get(run_id).status.is_final for run_id in (queued, running)), 60)
    events = {run_id: panel.runs.events(run_id) for run_id in (queued, running)}
    held.go.set()
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    runs = [panel.runs.get(run_id) for run_id in (running, queued)]
    assert [run.status for run in runs] == [RunStatus.CANCELLED] * 2
    assert [run.started_at is None for run in runs] == [False, True]
    assert {run_id: panel.runs.events(run_id) for run_id in events} == events, "nothing is written afterwards"
    place.settle(panel, runs)


def test_killed_after_it_was_asked_to_cancel(place: Place, quick: None) -> None:
    """Whoever takes a queued run over finds the request, and asks no model."""
    place.server.default = held = Held(chat("never wanted"))
    child = place.start(QUEUES)
    running, queued = heard(child)
    assert held.asked.wait(60)
    child.send_signal(signal.SIGSTOP)
    panel = place.open()
    assert panel.runs.cancel(queued)
    kill(child)
    held.go.set()
    settled(
        place,
        (running, RunStatus.INTERRUPTED),
        (queued, RunStatus.CANCELLED),
        calls={"running": 1},
    )


def test_killed_while_it_holds_money(place: Place, quick: None) -> None:
    file = place.data / "providers.toml"
    prices = 'prices = [{ model = "m", input_usd_per_million = 0, output_usd_per_million = 10000 }]\n'
    file.write_text(file.read_text() + prices)
    # It runs nothing itself, so it takes nobody for dead.
    watcher = place.open()
    watcher.budgets.set("team", "default", "month", 20)
    place.server.default = held = Held(chat("yes"))
    child = place.start(
        BEGIN.replace("MCPClient()", 'MCPClient(load_settings({**os.environ, "MCP_WORKERS": "1"}))').replace(
            "import sys", "import os, sys\nfrom mcp_core.settings import load_settings"
        )
        + """
first, second = begin("running"), begin("queued")
budgets = panel.store.budgets
budgets.reserve("never-stored", first.run.owner, budgets.rules(), 1_000_000_000)
print('["%s", "%s"]' % (first.id, second.id), flush=True)
sys.stdin.read()
"""
    )
    running, queued = heard(child)
    assert held.asked.wait(60)
    (before,) = watcher.budgets.list()
    assert before.reserved_usd == 1 + 2 * Decimal("5.12"), "the longest answers of two runs, and what never began"
    kill(child)
    held.go.set()
    settled(
        place,
        (running, RunStatus.INTERRUPTED),
        (queued, RunStatus.SUCCEEDED),
        calls={"running": 1, "queued": 1},
    )
    until(lambda: watcher.budgets.list()[0].reserved_usd == 0, 60)
    assert watcher.budgets.list()[0].spent_usd == Decimal("0.07")


def test_killed_and_killed_again(place: Place, quick: None) -> None:
    """Whoever dies at whatever moment of many short runs: each run has one record, and each record is right."""
    told: list[str] = []
    for turn in range(2):
        child = place.start(
            BEGIN
            + f"""
import itertools
for n in itertools.count():
    handle = begin("{turn} %d" % n)
    print('"%s"' % handle.id, flush=True)
"""
        )
        told += [heard(child) for _ in range(30 + 11 * turn)]
        kill(child)
    heir = place.open(adopt=True)
    # A run may have been recorded just before its maker could say so.
    until(lambda: heir.store.count() >= len(told) and all(run.status.is_final for run in heir.store.iter_runs()), 30)
    runs = list(heir.store.iter_runs())
    assert set(told) <= {run.id for run in runs}
    assert {run.status for run in runs} <= {RunStatus.SUCCEEDED, RunStatus.INTERRUPTED}
    asked = Counter(str(received.json["messages"][0]["content"]) for received in place.server.received)
    assert max(asked.values()) == 1
    place.settle(heir, runs)


def test_two_apps_on_one_data_directory(place: Place) -> None:
    mine = place.open(adopt=True)
    child = place.start(
        BEGIN
        + """
panel.close()
panel = MCPClient(adopt=True)
print("true", flush=True)
sys.stdin.readline()
handles = [begin("same %d" % (n % 10)) for n in range(40)]
shared = [panel.submit(QUESTION, {"n": "shared %d" % n}, run_id="shared-%d" % n, stream=False) for n in range(10)]
import json
print(json.dumps([handle.result(30).id for handle in handles]), flush=True)
[handle.result(30) for handle in shared]
panel.close()
"""
    )
    assert heard(child) is True
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()
    shared = [
        mine.submit(QUESTION, {"n": f"shared {n}"}, run_id=f"shared-{n}", stream=False) for n in reversed(range(10))
    ]
    runs = [ask(mine, f"same {n % 10}") for n in range(40)]
    runs += [handle.result(30) for handle in shared]
    runs += [mine.runs.get(run_id) for run_id in heard(child)]
    child.communicate(timeout=30)
    assert child.returncode == 0
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    place.settle(mine, runs)
    asked = Counter(str(received.json["messages"][0]["content"]) for received in place.server.received)
    assert len(asked) == 20
    assert all(count == 1 for question, count in asked.items() if "shared" in question)


def test_a_held_up_process_takes_nobody_for_dead(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a suspended machine or a long lock everybody's heartbeat is old; who wakes first ends nobody's runs."""
    monkeypatch.setattr(pulse, "HEARTBEAT_SECONDS", 0.1)
    place.server.default = held = Held(chat("in time"))
    child = place.start(
        BEGIN
        + """
handle = begin("a")
print('"%s"' % handle.id, flush=True)
print('"%s"' % handle.result(60).status, flush=True)
"""
    )
    run_id = heard(child)
    assert held.asked.wait(20)
    mine = place.open(adopt=True)
    other = sqlite3.connect(place.data / "history.db", isolation_level=None)
    until(lambda: other.execute("SELECT count(*) FROM leases").fetchone()[0] == 2)
    child.send_signal(signal.SIGSTOP)
    pulse_of_mine = mine._engine._pulse
    beat = pulse_of_mine._steadiness
    until(lambda: beat._last is not None)
    assert beat._last is not None
    # As if this process, too, had been stopped for a minute by the clock on the wall.
    beat._last = beat._last[0], beat._last[1] - 60
    other.execute("UPDATE leases SET heartbeat_at = heartbeat_at - 60000000 WHERE owner != ?", (mine._engine.owner,))
    threading.Event().wait(0.5)
    assert mine.runs.get(run_id).status is RunStatus.RUNNING
    child.send_signal(signal.SIGCONT)
    held.go.set()
    assert heard(child) == "succeeded"
    other.close()
    place.settle(mine, [mine.runs.get(run_id)])
