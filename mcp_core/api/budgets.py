"""Budgets as callers see them: what may be spent, what is, and what is left."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import cast

from loguru import logger

from mcp_core.api.guard import BudgetGuard, subject
from mcp_core.errors import ConfigurationError
from mcp_core.formats import money
from mcp_core.models import Actor, Run
from mcp_core.security.permissions import check
from mcp_core.store import Store
from mcp_core.store.budget_shapes import PERIODS, SCOPES, Budget, BudgetPeriod, BudgetScope

__all__ = ["BudgetService"]

_LONGEST_NAME = 200
_EACH: Mapping[str, str] = {"day": "daily", "month": "monthly"}


class BudgetService:
    """The budgets of actors, teams and tasks, in dollars a day or month. Reached as `client.budgets`."""

    def __init__(self, store: Store, guard: BudgetGuard, actor: Actor) -> None:
        self._store = store
        self._guard = guard
        self._actor = actor

    def list(self) -> list[Budget]:
        """All budgets as they stand now, by scope, name and period. What is shown is what is enforced."""
        return self._store.budgets.states()

    def get(self, scope: str, name: str, period: str) -> Budget:
        """One budget as it stands now.

        Raises:
            ConfigurationError: there is none such.
        """
        scope, name, period = _checked(scope, name, period)
        for budget in self.list():
            if (budget.scope, budget.name, budget.period) == (scope, name, period):
                return budget
        raise ConfigurationError(
            f"There is no {_EACH[period]} budget for the {scope} {name!r}.",
            hint="`budgets list` names those there are.",
        )

    def of_run(self, run: Run) -> "list_[Budget]":
        """The budgets a run counts for, as they stand now, the one with the least left first."""
        counted = {(rule.scope, rule.name, rule.period) for rule in self._guard.rules_of(run)}
        if not counted:
            return []
        found = [budget for budget in self.list() if (budget.scope, budget.name, budget.period) in counted]
        return sorted(found, key=lambda budget: budget.left_usd)

    def set(
        self, scope: str, name: str, period: str, limit_usd: Decimal | float | str, *, actor: Actor | None = None
    ) -> Budget:
        """Set a budget, or change its limit; returns it as it then stands.

        A new budget counts what finished runs have cost in the present day or month. It binds runs of this process at
        once, and those of others within a second.

        Args:
            scope: `actor`, `team` or `task`.
            name: id of the actor, name of the team, or name of the task.
            period: `day` or `month`, in UTC.
            limit_usd: what may be spent in one period, in dollars; 0 for nothing.

        Raises:
            ConfigurationError: one of these is none.
            PermissionDeniedError: the actor may not set budgets.
        """
        who = actor or self._actor
        check(who, "set_budgets")
        its_scope, its_name, its_period = _checked(scope, name, period)
        limit = _dollars(limit_usd)
        self._store.budgets.set(its_scope, its_name, its_period, limit)
        self._guard.refresh()
        budget = self.get(its_scope, its_name, its_period)
        logger.info("{} set the budget of {} to {} a {}.", who.name, subject(budget), money(limit), its_period)
        return budget

    def delete(self, scope: str, name: str, period: str, *, actor: Actor | None = None) -> bool:
        """Delete a budget: nothing is limited by it any more. Returns whether it was there.

        Raises:
            ConfigurationError: scope or period is none.
            PermissionDeniedError: the actor may not set budgets.
        """
        who = actor or self._actor
        check(who, "set_budgets")
        its_scope, its_name, its_period = _checked(scope, name, period)
        there = self._store.budgets.delete(its_scope, its_name, its_period)
        self._guard.refresh()
        if there:
            logger.info("{} deleted the budget of the {} {} a {}.", who.name, its_scope, its_name, its_period)
        return there


list_ = list
"""`list` inside the class is the method."""


def _checked(scope: str, name: str, period: str) -> tuple[BudgetScope, str, BudgetPeriod]:
    for field, found, allowed in (("scope", scope, SCOPES), ("period", period, PERIODS)):
        if found not in allowed:
            raise ConfigurationError(f"{field}: found {found!r}, allowed is {' or '.join(allowed)}.", field=field)
    name = str(name).strip()
    if not 0 < len(name) <= _LONGEST_NAME:
        raise ConfigurationError(
            f"name: found {len(name)} characters, allowed are 1 to {_LONGEST_NAME}.",
            hint=f"Give the {'id' if scope == 'actor' else 'name'} of the {scope}.",
            field="name",
        )
    return cast(BudgetScope, scope), name, cast(BudgetPeriod, period)


def _dollars(value: Decimal | float | str) -> Decimal:
    try:
        found = Decimal(str(value).strip().removeprefix("$"))
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise ConfigurationError(
            f"limit_usd: found {str(value)[:40]!r}, allowed is a number of dollars.",
            hint="Write it as 12.50.",
            field="limit_usd",
        )
    return found
