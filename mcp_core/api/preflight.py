"""What a run would take, before it is started: nobody is asked, nothing is counted, nothing is reserved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

from mcp_core.api.budgets import BudgetService
from mcp_core.api.endings import error_of
from mcp_core.api.guard import BudgetGuard, refusal
from mcp_core.errors import ConfigurationError, ExecutionError, MCPError, PermissionDeniedError
from mcp_core.models import Actor, Run, RunError, Usage
from mcp_core.providers.base import CachePolicy, CallScope, ChatRequest
from mcp_core.providers.registry import Providers
from mcp_core.security.permissions import check
from mcp_core.store import Store
from mcp_core.store.budget_shapes import Budget, Shortfall, to_nano, to_usd
from mcp_core.types.base import BaseMCPConfig

__all__ = ["Preflight", "PreflightService"]

CacheForecast = Literal["hit", "stale", "miss", "bypass", "unknown"]


@dataclass(frozen=True, slots=True)
class Preflight:
    """What a run would take.

    Attributes:
        model: `provider/model` asked first; None for types without one.
        calls: model calls the run plans; None where its type does not know them beforehand. The figures below are then
            None too.
        cache: what the cache would do: `hit` or `stale` (it answers every call), `miss`, `bypass` (it is not asked), or
            `unknown`.
        cache_age_seconds: age of the answer; None unless the cache has it.
        input_tokens: about so many, by the length of the text.
        output_tokens: about so many: the median of like runs, else `most_output_tokens`.
        most_output_tokens: the longest answers the task allows (`max_tokens`).
        bounded: whether the task allows no longer ones; else `most_output_tokens` is an assumption.
        cost_usd: of about these tokens, 0 where the cache answers; None where the price is unknown.
        most_cost_usd: what the budgets hold for the run: with the longest answers, and a token a byte sent.
        expected_seconds, p95_seconds: median and 95th percentile of the last like runs without the cache; None where
            there were none.
        like_runs: how many of them there were.
        budget: of those the run counts for, the one with the least left; None where there is none.
        refusal: why the run would be refused or fail at once; None where it would begin.
        outlook: that the model is known to be down, and what would happen then; empty where it would be asked.
    """

    model: str | None
    calls: int | None = None
    cache: CacheForecast = "unknown"
    cache_age_seconds: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    most_output_tokens: int | None = None
    bounded: bool = True
    cost_usd: Decimal | None = None
    most_cost_usd: Decimal | None = None
    expected_seconds: float | None = None
    p95_seconds: float | None = None
    like_runs: int = 0
    budget: Budget | None = None
    refusal: RunError | None = None
    outlook: str = ""

    def as_json(self) -> dict[str, Any]:
        """The same as JSON-compatible data; money is a decimal text."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("cost_usd", "most_cost_usd"):
            data[name] = None if data[name] is None else f"{data[name]:f}"
        data["budget"] = None if self.budget is None else self.budget.as_json()
        data["refusal"] = None if self.refusal is None else self.refusal.model_dump(mode="json")
        return data


@dataclass(frozen=True, slots=True)
class _Calls:
    """What the planned calls come to."""

    figures: dict[str, Any]
    held_usd: Decimal = Decimal(0)
    trouble: MCPError | None = None


class PreflightService:
    """Looks ahead on behalf of the client."""

    def __init__(self, store: Store, providers: Providers, budgets: BudgetService, guard: BudgetGuard) -> None:
        self._store = store
        self._providers = providers
        self._budgets = budgets
        self._guard = guard

    def look(self, config: BaseMCPConfig, variables: Mapping[str, Any], actor: Actor) -> Preflight:
        """What a run of `config` with these variables, as the client has checked them, would take."""
        model = config.asked_model()
        run = Run(id="preflight", type=config.type, name=config.name, actor_id=actor.id, team=actor.team, model=model)
        typical = self._store.typical(config.type, config.name, model)
        found = self._calls(run, config, variables, typical.output_tokens)
        budgets = self._budgets.of_run(run)
        trouble = _refused(actor) or found.trouble
        short = next((budget for budget in budgets if budget.left_usd < found.held_usd), None)
        if trouble is None and short is not None:
            trouble = refusal(Shortfall(short, found.held_usd))
        return Preflight(
            model=model,
            expected_seconds=typical.median_seconds,
            p95_seconds=typical.p95_seconds,
            like_runs=typical.runs,
            budget=budgets[0] if budgets else None,
            refusal=None if trouble is None else error_of(trouble),
            **found.figures,
        )

    def _calls(
        self, run: Run, config: BaseMCPConfig, variables: Mapping[str, Any], usual_output: float | None
    ) -> _Calls:
        try:
            requests = config.planned_requests(variables)
            if not requests:
                return _Calls({})
            figures = self._figures(requests, run, config, usual_output)
            held = self._guard.foreseen(run, config, variables)
        except ConfigurationError as error:
            return _Calls({}, trouble=error)
        trouble = None
        if config.cache.mode == "only" and figures["cache"] == "miss":
            trouble = ExecutionError(
                "The cache has no answer to this request, and the task may not ask the model.",
                hint="Set the task's `cache` to `use`, or run it once with that.",
            )
        return _Calls(figures, to_usd(to_nano(held, up=True)), trouble)

    def _figures(
        self, requests: Sequence[ChatRequest], run: Run, config: BaseMCPConfig, usual_output: float | None
    ) -> dict[str, Any]:
        policy = config.cache.policy()
        asks = policy.mode != "only"
        scope = CallScope(tenant=run.team, policy=policy)
        entries = [self._providers.would_hit(request, scope) for request in requests]
        estimates = [self._providers.estimate(request) for request in requests]
        longest = sum(one.most.output_tokens for one in estimates)
        usual = longest if usual_output is None else min(longest, round(usual_output))
        costs: list[Decimal | None] = []
        most_costs: list[Decimal | None] = []
        for request, one, entry in zip(requests, estimates, entries, strict=True):
            if entry is None and asks:
                about = Usage(input_tokens=one.input_tokens, output_tokens=-(-usual // len(requests)))
                costs.append(self._providers.price(request.model, about))
                most_costs.append(self._providers.price(request.model, one.most))
        answered = [entry for entry in entries if entry is not None]
        cache: CacheForecast = "bypass" if policy.mode in ("bypass", "refresh") else "miss"
        if len(answered) == len(requests):
            cache = "hit" if all(entry.is_fresh() for entry in answered) else "stale"
        return {
            "calls": len(requests),
            "cache": cache,
            "cache_age_seconds": max((entry.age_seconds() for entry in answered), default=None),
            "input_tokens": sum(one.input_tokens for one in estimates),
            "output_tokens": usual,
            "most_output_tokens": longest,
            "bounded": all(one.bounded for one in estimates),
            "cost_usd": _sum(costs),
            "most_cost_usd": _sum(most_costs),
            "outlook": self._outlook(requests, scope) if asks and cache not in ("hit", "stale") else "",
        }

    def _outlook(self, requests: Sequence[ChatRequest], scope: CallScope) -> str:
        """What would come of calls whose model is known to be down; empty where it would be asked."""
        why = self._providers.trouble(requests[0].provider)
        if not why:
            return ""
        for model in requests[0].fallbacks:
            if not self._providers.trouble(model.partition("/")[0]):
                return f"{why} {model} would be asked instead."
        remembered = replace(scope, policy=CachePolicy("only"))
        if scope.policy.mode == "use" and all(self._providers.would_hit(one, remembered) for one in requests):
            return f"{why} The expired answer that the cache has would be given."
        return f"{why} The run would fail while that lasts."


def _sum(costs: Sequence[Decimal | None]) -> Decimal | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None


def _refused(actor: Actor) -> PermissionDeniedError | None:
    try:
        check(actor, "run")
    except PermissionDeniedError as error:
        return error
    return None
