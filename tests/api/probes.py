"""Small types that behave in every way an executor can: for tests of the engine."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from pydantic import Field

from mcp_core.errors import ExecutionError
from mcp_core.models import RunOutput
from mcp_core.types.base import BaseMCPConfig, RunContext, executor
from mcp_core.types.registry import Registry, default_registry

__all__ = ["AsyncProbe", "Probe", "gate", "probe_registry"]

_gates: dict[str, threading.Event] = {}


@contextmanager
def gate(name: str) -> Iterator[threading.Event]:
    """A gate that probes of this name wait at; opened at the latest at the end of the block."""
    _gates[name] = threading.Event()
    try:
        yield _gates[name]
    finally:
        _gates[name].set()


class Probe(BaseMCPConfig):
    """Does what its `act` says."""

    type: Literal["probe"] = "probe"
    act: Literal["succeed", "fail", "crash", "wait", "stubborn", "talk", "artifact"] = "succeed"
    gate: str = ""
    words: list[str] = Field(default_factory=list)


@executor(Probe)
def run_probe(config: Probe, ctx: RunContext) -> RunOutput:
    if config.act == "fail":
        raise ExecutionError("The probe failed.", hint="It was told to.")
    if config.act == "crash":
        raise ZeroDivisionError("with sk-proj-abcdefghijklmnopqrstuvwxyz inside")
    if config.act == "wait":
        opened = _gates[config.gate]
        while not opened.is_set():
            ctx.cancel.sleep(0.01)
    if config.act == "stubborn":
        _gates[config.gate].wait(60)
        ctx.emit("progress", {"text": "too late"})
    for word in config.words:
        ctx.emit("token", {"text": word})
    if config.act == "talk":
        ctx.cancel.sleep(60)
    if config.act == "artifact":
        ctx.save_artifact("table.csv", b"a,b\n1,2\n", "text/csv")
    return RunOutput(text=" ".join(config.words) or "done", data={"given": dict(ctx.variables)})


class AsyncProbe(BaseMCPConfig):
    """Waits asynchronously, then answers."""

    type: Literal["async_probe"] = "async_probe"
    seconds: float = 0.0


@executor(AsyncProbe)
async def run_async_probe(config: AsyncProbe, ctx: RunContext) -> RunOutput:
    await asyncio.sleep(config.seconds)
    return RunOutput(text="awaited")


def probe_registry() -> Registry:
    """The built-in types and the probes."""
    registry = default_registry()
    registry.register(run_probe)
    registry.register(run_async_probe)
    return registry
