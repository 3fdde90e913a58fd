"""`health` and `health outage`."""

from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mcp_core.cli.output import Output, plain, seconds
from mcp_core.cli.session import open_client
from mcp_core.formats import count, file_size, moment, ratio

if TYPE_CHECKING:
    from mcp_core.api.health import Health
    from mcp_core.api.machine import Machine
    from mcp_core.api.snapshot import QueueSnapshot
    from mcp_core.providers.rates import Headroom
    from mcp_core.providers.registry import ProviderInfo

__all__ = ["health", "outage"]


def health(namespace: Namespace, out: Output) -> int:
    """Print how everything is, as the health page shows it."""
    with open_client(namespace) as client:
        now = client.health.now()
    if out.as_json:
        out.document(now.as_json())
        return 0
    _queue(now.queue, out)
    out.table(["model server", "state", "calls", "left of its rates"], _servers(now), whole=["model server"])
    if now.shared:
        out.line(plain(now.sharing_trouble) or "Redis answers: all processes count failures and rates together.")
    out.line()
    out.table(["this process and its machine", ""], _machine(now.machine))
    pool = now.history_pool
    out.line()
    out.table(
        ["connections", "in use", "open", "at most"],
        [("history", count(pool.in_use), count(pool.open), count(pool.most))],
        right=["in use", "open", "at most"],
    )
    if now.trouble:
        out.line()
        rows = [[moment(one.at), one.kind, one.run_name, one.text, one.run_id] for one in now.trouble]
        out.table(["when", "what", "task", "why", "run"], rows, whole=["run"], drop=["task", "run"])
    return 0


def outage(namespace: Namespace, out: Output) -> int:
    """Begin a simulated outage of a provider, or end one; ending none is a failure."""
    with open_client(namespace) as client:
        if namespace.end:
            ended = client.health.end_outage(namespace.provider)
            if out.as_json:
                out.document({"provider": namespace.provider, "ended": ended})
            elif ended:
                out.line(f"The outage of {namespace.provider} is over.")
            if not ended:
                out.note(f"No outage of {namespace.provider} was simulated.")
            return 0 if ended else 1
        begun = client.health.simulate_outage(namespace.provider, minutes=namespace.minutes)
    if out.as_json:
        out.document({"outage": begun})
    else:
        out.line(f"{begun.provider} is taken for down until {begun.until:%H:%M:%S} UTC.")
    return 0


def _queue(now: "QueueSnapshot", out: Output) -> None:
    others = [process for process in now.processes if not process.here]  # this one is here to look
    rows = [
        [
            f"{process.host}:{process.pid}",
            f"{process.busy:,} of {process.workers:,}",
            f"{process.waiting:,} of {process.queue_size:,}",
            f"{seconds(process.heard_seconds)} ago",
        ]
        for process in others
    ]
    if rows:
        out.table(["process", "workers busy", "waiting", "heard of"], rows, whole=["process"])
    out.line(f"{now.running_total:,} running, {now.waiting_total:,} waiting; `queue` lists them.")
    out.line()


def _servers(now: "Health") -> Iterator[list[str]]:
    for info in now.providers:
        yield [info.name, _state(info), f"{info.in_use} of {info.max_concurrency}", _left(info.limits) or "no limits"]
        for endpoint in info.endpoints:
            state = endpoint.state + _again(endpoint.retry_in_seconds)
            yield [f"  {endpoint.base_url}", state, count(endpoint.in_use), ""]
    for room in now.actors:
        yield [f"(asked by {room.subject})", "", "", _left((room,))]


def _state(info: "ProviderInfo") -> str:
    words = info.state + _again(info.retry_in_seconds)
    if info.outage_until is not None:
        words += f", outage simulated until {info.outage_until:%H:%M:%S} UTC"
    return words


def _again(retry_in_seconds: float | None) -> str:
    return "" if retry_in_seconds is None else f", tried again in {seconds(retry_in_seconds)}"


def _left(limits: "tuple[Headroom, ...]") -> str:
    return "; ".join(
        f"{room.subject}: {max(0.0, room.left):,.0f} {room.what} at once, {room.per_minute:,} a minute"
        for room in limits
    )


def _machine(found: "Machine") -> Iterator[tuple[str, str]]:
    yield "memory", f"{file_size(found.memory_free_bytes)} of {file_size(found.memory_total_bytes)} free"
    yield "this process", file_size(found.process_bytes)
    yield "processes it started", file_size(found.children_bytes)
    yield "processors", f"{found.processors}, {ratio(found.processor_ratio)} busy"
    if found.disk_free_bytes is not None:
        yield "disk", f"{file_size(found.disk_free_bytes)} of {file_size(found.disk_total_bytes)} free"
    yield "threads", f"{found.thread_count} ({', '.join(f'{number} {name}' for name, number in found.threads.items())})"
    if found.open_files is not None:
        yield "open files", count(found.open_files)
