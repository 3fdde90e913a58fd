"""`queue`: what waits and runs, in which process, and how much room is left."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict

from mcp_core.api.snapshot import QueuedRun, QueueSnapshot, RunningRun, WorkerProcess
from mcp_core.cli.output import Output, seconds
from mcp_core.cli.session import open_client
from mcp_core.formats import count, file_size

__all__ = ["show_queue"]

_WHOLE = ("id", "state", "position", "waits or runs")
_DROP = ("process", "by", "model")


def show_queue(namespace: Namespace, out: Output) -> int:
    """Print the queue over all processes on this data directory."""
    with open_client(namespace) as client:
        found = client.queue.snapshot()
    if out.as_json:
        out.document(_document(found))
        return 0
    processes = {process.owner: f"{process.host}:{process.pid}" for process in found.processes}
    rows = [_row(run, "running", "-", processes, run.elapsed_seconds) for run in found.running]
    rows += [_row(run, "queued", str(run.position or "-"), processes, run.waited_seconds) for run in found.waiting]
    if rows:
        headings = ["id", "state", "position", "priority", "task", "model", "by", "process", "waits or runs"]
        out.table(headings, rows, right=("position", "waits or runs"), whole=_WHOLE, drop=_DROP)
    out.note(f"{found.waiting_total:,} waiting, {found.running_total:,} running.")
    for process in _others(found):
        out.note(
            f"{process.host}:{process.pid}: {process.busy} of {count(process.workers, 'workers')} busy, "
            f"{process.waiting:,} of {count(process.queue_size, 'places')} in the queue taken"
            + (f", {process.given_up} stuck" if process.given_up else "")
        )
    for actor in found.actors:
        out.note(
            f"{actor.actor_id}: {actor.running:,} running, {actor.waiting:,} waiting, "
            f"{file_size(actor.stored_bytes)} kept"
        )
    return 0


def _row(
    run: QueuedRun | RunningRun, state: str, position: str, processes: Mapping[str, str], since: float
) -> list[str]:
    process = processes.get(run.owner or "", "gone")
    name = run.name or run.type
    return [run.id, state, position, run.priority, name, run.model or "-", run.actor_id, process, seconds(since)]


def _others(found: QueueSnapshot) -> list[WorkerProcess]:
    """The processes but this one, which is here to look."""
    return [process for process in found.processes if not process.here]


def _document(found: QueueSnapshot) -> dict[str, object]:
    document = asdict(found)
    document["processes"] = [asdict(process) for process in _others(found)]
    return document
