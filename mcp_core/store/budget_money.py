"""Reserving money before a run and settling it afterwards, inside the transactions of the one writer.

`reserved_nano_usd` of a period is the sum of the reservations made in it. It changes together with them, under a lock
on the period's row, and only where the limit allows: whoever comes second, in this process or another, sees the first.
Periods are locked in the order of their budgets, so that two runs with several budgets cannot lock each other out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, and_, bindparam, delete, exists, select, update

from mcp_core.errors import StoreError
from mcp_core.models import utcnow
from mcp_core.store.budget_shapes import Budget, BudgetRule, Settlement, Shortfall, period_of, to_usd
from mcp_core.store.codec import from_micros, to_micros
from mcp_core.store.runs import OPEN
from mcp_core.store.schema import budget_periods, budget_reservations, budgets, leases, runs
from mcp_core.store.statements import Statement, Transaction, insert, now_micros

__all__ = ["BudgetMoney", "as_budget"]


@dataclass(frozen=True, slots=True)
class _Claim:
    """What one budget is asked to hold for a run, on top of what it holds."""

    rule: BudgetRule
    starts_at: int
    more: int
    limit: int


class BudgetMoney:
    """The statements of reserving and settling, compiled once, and what they add up to."""

    def __init__(self, engine: Engine) -> None:
        periods, held = budget_periods, budget_reservations
        this_period = and_(periods.c.budget_id == bindparam("in_budget"), periods.c.starts_at == bindparam("in_period"))
        new_hold = insert(held, engine)
        # Neither deleting the budget nor changing its limit may come between this look and the end of the transaction.
        self._limit = Statement(
            select(budgets.c.limit_nano_usd).where(budgets.c.id == bindparam("in_budget")).with_for_update(read=True),
            engine,
        )
        self._open_period = Statement(
            insert(periods, engine).on_conflict_do_nothing(index_elements=list(periods.primary_key.columns)), engine
        )
        self._period = Statement(select(periods).where(this_period).with_for_update(), engine)
        self._reserve = Statement(
            update(periods)
            .where(this_period)
            .where(periods.c.spent_nano_usd + periods.c.reserved_nano_usd + bindparam("more") <= bindparam("most"))
            .values(reserved_nano_usd=periods.c.reserved_nano_usd + bindparam("more")),
            engine,
        )
        self._hold = Statement(
            new_hold.on_conflict_do_update(
                index_elements=list(held.primary_key.columns),
                set_={"nano_usd": held.c.nano_usd + new_hold.excluded.nano_usd, "owner": new_hold.excluded.owner},
            ),
            engine,
        )
        self._held = Statement(select(held).where(held.c.run_id == bindparam("run")).order_by(held.c.budget_id), engine)
        self._spend = Statement(
            update(periods)
            .where(this_period)
            .values(
                reserved_nano_usd=periods.c.reserved_nano_usd - bindparam("released"),
                spent_nano_usd=periods.c.spent_nano_usd + bindparam("spent"),
                unpriced_runs=periods.c.unpriced_runs + bindparam("unpriced"),
            ),
            engine,
        )
        self._release = Statement(delete(held).where(held.c.run_id == bindparam("run")), engine)
        now = now_micros(engine)
        run_is_open = exists().where(
            runs.c.id == held.c.run_id,
            runs.c.status.in_([bindparam(f"open_{i}", value, unique=False) for i, value in enumerate(OPEN)]),
        )
        owner_lives = exists().where(
            leases.c.owner == held.c.owner,
            leases.c.heartbeat_at >= now - bindparam("age"),
            leases.c.heartbeat_at <= now + bindparam("age"),
        )
        self.orphans = select(held.c.run_id).where(~run_is_open, ~owner_lives).distinct()

    def reserve(
        self, transaction: Transaction, run_id: str, owner: str, rules: Sequence[BudgetRule], nano: int
    ) -> Shortfall | None:
        """Hold at least `nano` for the run in every budget of `rules`, or, where one has too little, change nothing.

        A run keeps to the period in which it first held anything.
        """
        now = utcnow()
        held = {row["budget_id"]: row for row in transaction.fetch(self._held, {"run": run_id})}
        claims: list[_Claim] = []
        for rule in sorted(rules, key=lambda rule: rule.id):
            limits = transaction.fetch(self._limit, {"in_budget": rule.id})
            has = held.get(rule.id)
            more = nano - (has["nano_usd"] if has else 0)
            if not limits or more <= 0:
                continue  # the budget is gone, or holds enough
            starts_at = has["starts_at"] if has else to_micros(period_of(rule.period, now)[0])
            limit: int = limits[0]["limit_nano_usd"]
            row = self._locked_period(transaction, rule.id, starts_at)
            if row["spent_nano_usd"] + row["reserved_nano_usd"] + more > limit:
                return Shortfall(as_budget(rule, limit, row, from_micros(starts_at)), to_usd(more))
            claims.append(_Claim(rule, starts_at, more, limit))
        for claim in claims:
            place = {"in_budget": claim.rule.id, "in_period": claim.starts_at}
            if not transaction.execute(self._reserve, {**place, "more": claim.more, "most": claim.limit}):
                raise StoreError("A budget changed while it was locked.", hint="Run it again.")
            transaction.execute(
                self._hold,
                {
                    "run_id": run_id,
                    "budget_id": claim.rule.id,
                    "starts_at": claim.starts_at,
                    "nano_usd": claim.more,
                    "owner": owner,
                },
            )
        return None

    def settle(self, transaction: Transaction, run_id: str, created_at: datetime, what: Settlement) -> None:
        """Release what the run holds and count what it cost, in the period in which it was reserved.

        A budget that holds nothing for it counts the cost in the period in which the run was created.
        """
        cost = {"spent": what.cost_nano, "unpriced": int(what.unpriced)}
        held = {row["budget_id"]: row for row in transaction.fetch(self._held, {"run": run_id})}
        rules = {rule.id: rule for rule in what.rules} if what.cost_nano or what.unpriced else {}
        for budget_id in sorted({*held, *rules}):
            if has := held.get(budget_id):
                place = {"in_period": has["starts_at"], "released": has["nano_usd"]}
            elif transaction.fetch(self._limit, {"in_budget": budget_id}):
                starts_at = to_micros(period_of(rules[budget_id].period, created_at)[0])
                self._locked_period(transaction, budget_id, starts_at)
                place = {"in_period": starts_at, "released": 0}
            else:
                continue  # deleted meanwhile
            transaction.execute(self._spend, {"in_budget": budget_id, **place, **cost})
        if held:
            transaction.execute(self._release, {"run": run_id})

    def _locked_period(self, transaction: Transaction, budget_id: str, starts_at: int) -> dict[str, Any]:
        row = {"budget_id": budget_id, "starts_at": starts_at}
        transaction.execute(self._open_period, {**row, "spent_nano_usd": 0, "reserved_nano_usd": 0, "unpriced_runs": 0})
        return transaction.fetch(self._period, {"in_budget": budget_id, "in_period": starts_at})[0]


def as_budget(rule: BudgetRule, limit: int, row: Any, starts_at: datetime) -> Budget:
    """A budget as it stands, from its row of the period that began at `starts_at`; None where nothing happened."""
    figures = row or {"spent_nano_usd": 0, "reserved_nano_usd": 0, "unpriced_runs": 0}
    return Budget(
        scope=rule.scope,
        name=rule.name,
        period=rule.period,
        limit_usd=to_usd(limit),
        spent_usd=to_usd(figures["spent_nano_usd"]),
        reserved_usd=to_usd(figures["reserved_nano_usd"]),
        unpriced_runs=figures["unpriced_runs"],
        starts_at=starts_at,
        resets_at=period_of(rule.period, starts_at)[1],
    )
