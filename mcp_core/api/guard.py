"""Budgets around a run: money is held before it begins and before every call, and settled when it ends.

Which budgets there are is known to the process, so that a run which counts for none costs nothing more.
"""

import threading
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from loguru import logger

from mcp_core.api.live import LiveRun
from mcp_core.errors import ConfigurationError, PermissionDeniedError, StoreError
from mcp_core.formats import moment, money
from mcp_core.models import Run
from mcp_core.providers.base import CallScope, ChatRequest
from mcp_core.providers.registry import Providers
from mcp_core.store import Store
from mcp_core.store.budget_shapes import Budget, BudgetRule, Settlement, Shortfall, to_nano
from mcp_core.types.base import BaseMCPConfig

__all__ = ["RULES_SECONDS", "BudgetGuard", "refusal", "subject"]

RULES_SECONDS = 1.0
"""How long a process may not know of a budget that another one has set or deleted."""


class BudgetGuard:
    """Keeps runs within the budgets. Thread-safe.

    Raises:
        StoreError: the budgets cannot be read.
    """

    def __init__(self, store: Store, providers: Providers) -> None:
        self._store = store
        self._providers = providers
        self._lock = threading.Lock()
        self._rules: tuple[BudgetRule, ...] = ()
        self._due = 0.0
        self.refresh()

    def refresh(self) -> None:
        """Read anew which budgets there are."""
        with self._lock:
            self._read()

    def rules_of(self, run: Run) -> tuple[BudgetRule, ...]:
        """The budgets a run counts for."""
        if time.monotonic() >= self._due:
            self._look_again()
        if not self._rules:
            return ()
        subjects = {"actor": run.actor_id, "team": run.team, "task": run.name}
        return tuple(rule for rule in self._rules if subjects[rule.scope] == rule.name)

    def admit(self, run: Run, config: BaseMCPConfig, variables: Mapping[str, Any]) -> int:
        """Hold what a run may cost, before it is stored; returns how much that is, in nano-dollars.

        What the cache is going to answer holds nothing, nor what has no known price, nor what nobody can foresee:
        `cover` sees to these before anything is sent.

        Raises:
            PermissionDeniedError: a budget has not enough left; nothing is held then.
        """
        rules = self.rules_of(run)
        if not rules:
            return 0
        nano = to_nano(self.foreseen(run, config, variables), up=True)
        if nano:
            self._hold(run, rules, nano)
        return nano

    def foreseen(self, run: Run, config: BaseMCPConfig, variables: Mapping[str, Any]) -> Decimal:
        """What a run may cost at most, in dollars, as far as it is known beforehand."""
        policy = config.cache.policy()
        if policy.mode == "only":
            return Decimal(0)
        scope = CallScope(tenant=run.team, policy=policy)
        total = Decimal(0)
        try:
            for request in config.planned_requests(variables):
                most = self._providers.price(request.model, self._providers.estimate(request).most)
                if most and not self._providers.would_hit(request, scope):
                    total += most
        except ConfigurationError:
            return Decimal(0)  # the run itself says what is wrong with it, before it sends anything
        return total

    def cover(self, live: LiveRun, request: ChatRequest) -> None:
        """Hold what a run may cost with the call it is about to make, where that is more than is held already.

        Raises:
            PermissionDeniedError: a budget has not enough left.
        """
        rules = self.rules_of(live.run)
        if not rules:
            return
        most = self._providers.price(request.model, self._providers.estimate(request).most)
        if not most:
            return
        nano = to_nano(live.tally.stake(request, most), up=True)
        if nano > live.reserved_nano:
            self._hold(live.run, rules, nano)
            live.reserved_nano, live.may_hold = nano, True

    def count_broken(self, live: LiveRun, request: ChatRequest, text: str) -> None:
        """Count about what an answer cost of which `text` had come when it broke off: its server bills it anyway."""
        live.tally.add_broken(self._about(request, text))

    def settlement(self, live: LiveRun) -> Settlement | None:
        """What is left to do about the money of a run that has just ended; None for nothing."""
        rules = self.rules_of(live.run)
        if not rules:
            return None
        nano = to_nano(live.tally.known_cost_usd() + self._broken_off(live))
        unpriced = live.tally.unpriced
        return Settlement(rules, nano, unpriced) if nano or unpriced or live.may_hold else None

    def release(self, run: Run) -> Settlement | None:
        """What is left to do about the money of a run that never began; None for nothing."""
        return Settlement() if self.rules_of(run) else None

    def give_back(self, live: LiveRun) -> None:
        """Give back what is held for a run that is another process's after all, unless that one still needs it."""
        if live.may_hold:
            stored = self._store.get_run(live.run.id)
            if stored is None or stored.status.is_final:
                self._store.budgets.release([live.run.id])

    def _broken_off(self, live: LiveRun) -> Decimal:
        """About what an answer cost that was stopped while it came: its server has not said, and bills it anyway."""
        stopped = live.tally.broken_off()
        if stopped is None:
            return Decimal(0)
        request, before = stopped
        came = live.events.text_so_far()[before:]
        if not came:
            return Decimal(0)  # nobody can tell whether the model had begun
        return self._about(request, came)

    def _about(self, request: ChatRequest, came: str) -> Decimal:
        return self._providers.price(request.model, self._providers.estimate(request).stopped_after(came)) or Decimal(0)

    def _look_again(self) -> None:
        if not self._lock.acquire(blocking=False):
            return  # somebody reads them already; until then what was known is in force
        try:
            self._read()
        except StoreError as error:
            # A run that has to be recorded fails by itself.
            logger.warning("The budgets cannot be read anew; those that were known stay in force: {}", error)
        finally:
            self._lock.release()

    def _read(self) -> None:
        self._due = time.monotonic() + RULES_SECONDS
        self._rules = self._store.budgets.rules()

    def _hold(self, run: Run, rules: tuple[BudgetRule, ...], nano: int) -> None:
        short = self._store.budgets.reserve(run.id, run.owner or "", rules, nano)
        if short is not None:
            raise refusal(short)


def refusal(short: Shortfall) -> PermissionDeniedError:
    """The error of a run that a budget does not allow."""
    budget = short.budget
    left, wanted = money(budget.left_usd), money(short.wanted_usd)
    if left == wanted:
        left, wanted = f"${budget.left_usd:f}", f"${short.wanted_usd:f}"
    held = f", of which {money(budget.reserved_usd)} is held by runs under way" if budget.reserved_usd else ""
    return PermissionDeniedError(
        f"The budget of {subject(budget)}, {money(budget.limit_usd)} a {budget.period}, has {left} left; "
        f"this may cost up to {wanted} more.",
        hint=f"{money(budget.spent_usd + budget.reserved_usd)} is used{held}. It resets at {moment(budget.resets_at)}. "
        "Allow a shorter answer (`max_tokens`), choose a cheaper model, or ask an admin to raise the budget.",
    )


def subject(budget: Budget) -> str:
    """Whose budget it is, as part of a sentence."""
    return f"the {budget.scope} {budget.name}"
