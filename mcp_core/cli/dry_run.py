"""`run --dry-run`: what a run would take."""

from typing import TYPE_CHECKING

from mcp_core.cli.output import Output, seconds
from mcp_core.cli.program import FAILED
from mcp_core.errors import ConfigurationError
from mcp_core.formats import UNKNOWN, age, count, moment, money

if TYPE_CHECKING:
    from mcp_core.api.preflight import Preflight

__all__ = ["dry_run"]

_CACHE = {
    "hit": "answers, {age} old",
    "stale": "answers, outdated, {age} old",
    "miss": "has no answer",
    "bypass": "is not asked",
    "unknown": UNKNOWN,
}


def dry_run(look: "Preflight", out: Output) -> int:
    """Print what a run would take; returns the exit code that the run would end with where it would be refused."""
    if out.as_json:
        out.document(look.as_json())
    else:
        out.table(["the run", "would take"], _rows(look))
    if look.refusal is not None:
        out.note(f"it would be refused: {look.refusal.message}")
        if look.refusal.hint:
            out.note(f"hint: {look.refusal.hint}")
    if look.outlook:
        out.note(look.outlook)
    if look.refusal is None:
        return 0
    return 2 if look.refusal.type == ConfigurationError.__name__ else FAILED


def _rows(look: "Preflight") -> list[tuple[str, str]]:
    rows = [("model", look.model or "-")]
    if look.calls is None:
        rows.append(("tokens and cost", "not known before it runs"))
    else:
        bound = "" if look.bounded else " (assumed: the task sets no limit)"
        cost = money(look.cost_usd)
        rows += [
            ("tokens in", f"about {count(look.input_tokens)}"),
            ("tokens out", f"about {count(look.output_tokens)}, at most {count(look.most_output_tokens)}{bound}"),
            ("cost", cost if look.cost_usd in (None, 0) else f"about {cost}, at most {money(look.most_cost_usd)}"),
            ("cache", _CACHE[look.cache].format(age=age(look.cache_age_seconds))),
        ]
    if look.like_runs:
        like = f"of the last {count(look.like_runs, 'runs')} without the cache"
        rows.append(("time", f"{seconds(look.expected_seconds)} (median), {seconds(look.p95_seconds)} (95 %), {like}"))
    else:
        rows.append(("time", "unknown: no like run is in the history"))
    if budget := look.budget:
        left = f"{money(budget.left_usd)} of {money(budget.limit_usd)} a {budget.period} left"
        rows.append((f"budget of {budget.scope}", f"{budget.name}: {left}, resets at {moment(budget.resets_at)}"))
    return rows
