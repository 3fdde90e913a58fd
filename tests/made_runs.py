"""Finished runs as tests need them: made, not run, so that a history of hundreds takes no time."""

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from mcp_core.models import CacheOutcome, Run, RunError, RunOutput, RunStatus, Usage, new_id, utcnow
from mcp_core.store import Store

__all__ = ["made_run", "seed", "week_of_runs"]


def made_run(*, hours_ago: float = 1.0, seconds: float = 1.0, **fields: Any) -> Run:
    """A succeeded run that began `hours_ago` and took `seconds`; `fields` say otherwise."""
    began = utcnow() - timedelta(hours=hours_ago)
    made: dict[str, Any] = {
        "id": new_id(),
        "type": "llm_prompt",
        "name": "Greet",
        "model": "acme/m",
        "status": RunStatus.SUCCEEDED,
        "created_at": began,
        "started_at": began + timedelta(milliseconds=10),
        "finished_at": began + timedelta(seconds=seconds, milliseconds=10),
        "output": RunOutput(text="Hello."),
        "usage": Usage(input_tokens=7, output_tokens=3),
        "cost_usd": Decimal("0.001"),
        "cache": CacheOutcome(outcome="miss", key="k" * 64),
    }
    return Run(**{**made, **fields})


def week_of_runs(count: int) -> list[Run]:
    """`count` runs over the last six days: of every four one is a hit, of every ten one failed."""
    runs = []
    for number in range(count):
        fields: dict[str, Any] = {"hours_ago": 1 + 140 * number / count, "seconds": 0.5 + number % 5}
        if number % 10 == 9:
            fields["status"] = RunStatus.FAILED
            fields["error"] = RunError(type="APIError", message="acme answered 500.", hint="Try again.")
        elif number % 4 == 0:
            fields["seconds"] = 0.01
            fields["cost_usd"] = Decimal(0)
            fields["cache"] = CacheOutcome(
                outcome="hit", age_seconds=60.0, saved_usd=Decimal("0.001"), saved_seconds=2.0, key="k" * 64
            )
        runs.append(made_run(**fields))
    return runs


def seed(store: Store, runs: Iterable[Run]) -> None:
    """Store them all in one go."""
    for run in runs:
        store.save_run(run, wait=False)
    store.flush()
