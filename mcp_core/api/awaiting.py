"""Executors that are `async def`, run from a worker thread."""

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any

from mcp_core.control import CancelToken
from mcp_core.errors import ExecutionError
from mcp_core.models import RunOutput

__all__ = ["awaited"]


def awaited(awaitable: Awaitable[RunOutput], token: CancelToken) -> RunOutput:
    """Run an executor's coroutine to its end on a loop of its own; cancelling the token cancels it."""

    async def bridge() -> RunOutput:
        task = asyncio.ensure_future(awaitable)
        loop = asyncio.get_running_loop()
        with token.on_cancel(lambda: loop.call_soon_threadsafe(task.cancel)):
            return await task

    coroutine: Coroutine[Any, Any, RunOutput] = bridge()
    try:
        return asyncio.run(coroutine)
    except asyncio.CancelledError:
        token.check()
        raise ExecutionError("The task cancelled itself.") from None
