"""What a run remembers besides the answers of models: `ctx.remember`."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic import JsonValue

from mcp_core.api.live import LiveRun
from mcp_core.cache.results import Results, ResultScope
from mcp_core.security.redaction import redactor
from mcp_core.types.base import Remember

__all__ = ["remembering"]


def remembering(live: LiveRun, results: Results, emit: Callable[[str, Mapping[str, Any]], None]) -> Remember:
    """`ctx.remember` of one run: as its task's cache policy says, and counted in its record."""
    return partial(_remember, live, results, emit)


def _remember(
    live: LiveRun,
    results: Results,
    emit: Callable[[str, Mapping[str, Any]], None],
    key_parts: Mapping[str, JsonValue],
    make: Callable[[], Any],
    *,
    ttl: float | None = None,
) -> Any:
    run, config = live.run, live.config
    scope = ResultScope(
        owner={"type": run.type, "version": config.current_version, "tenant": run.team},
        labels={"type": run.type, "provider": "", "model": run.model or "", "task": run.name},
        run_id=run.id,
        mode=config.cache.mode,
        ttl_seconds=ttl if config.cache.ttl is None else config.cache.ttl,
        cancel=live.token,
        emit=emit,
        mask=redactor.known,
    )
    result, outcome = results.remember(key_parts, make, scope)
    live.tally.add_remembered(outcome)
    return result
