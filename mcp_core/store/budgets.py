"""Budgets: setting, listing and deleting them, and the door to their money."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import Engine, bindparam, case, delete, func, select

from mcp_core.errors import ConfigurationError
from mcp_core.models import RunStatus, new_id, utcnow
from mcp_core.store.budget_money import BudgetMoney, as_budget
from mcp_core.store.budget_shapes import (
    PERIODS,
    SCOPES,
    Budget,
    BudgetPeriod,
    BudgetRule,
    BudgetScope,
    Settlement,
    Shortfall,
    period_of,
    to_nano,
)
from mcp_core.store.codec import plain, to_micros
from mcp_core.store.engine import Database
from mcp_core.store.rollups import Rollups
from mcp_core.store.schema import budget_periods, budgets, runs
from mcp_core.store.statements import Statement, Transaction, insert
from mcp_core.store.writer import Operation, Writer

__all__ = ["MOST_USD", "Budgets"]

MOST_USD = Decimal(1_000_000_000)
"""Largest limit of a budget, in dollars."""

_COLUMNS = {"actor": runs.c.actor_id, "team": runs.c.team, "task": runs.c.name}
_FINAL = tuple(status.value for status in RunStatus if status.is_final)


class Budgets:
    """The budgets there are. Several processes may change and use them at the same time."""

    def __init__(self, database: Database, writer: Writer[Rollups]) -> None:
        engine = database.engine
        self._database = database
        self._writer = writer
        self.money = BudgetMoney(engine)
        same = [getattr(budgets.c, part) == bindparam(f"its_{part}") for part in ("scope", "name", "period")]
        new = insert(budgets, engine)
        self._set = Statement(
            new.on_conflict_do_update(
                index_elements=[budgets.c.scope, budgets.c.name, budgets.c.period],
                set_={"limit_nano_usd": new.excluded.limit_nano_usd},
            ),
            engine,
        )
        self._find = Statement(select(budgets.c.id).where(*same), engine)
        self._delete = Statement(delete(budgets).where(*same), engine)
        self._begin_period = Statement(insert(budget_periods, engine), engine)
        self._costs = {scope: _costs_of(scope, engine) for scope in SCOPES}

    def rules(self) -> tuple[BudgetRule, ...]:
        """Which runs the budgets are for."""
        wanted = select(budgets.c.id, budgets.c.scope, budgets.c.name, budgets.c.period)
        with self._database.reading() as connection:
            return tuple(BudgetRule(*row) for row in connection.execute(wanted))

    def states(self) -> list[Budget]:
        """All budgets as they stand, by scope, name and period."""
        now = utcnow()
        begins = {period: period_of(period, now)[0] for period in PERIODS}
        begun = case({period: to_micros(at) for period, at in begins.items()}, value=budgets.c.period)
        wanted = (
            select(budgets, budget_periods)
            .outerjoin(
                budget_periods, (budget_periods.c.budget_id == budgets.c.id) & (budget_periods.c.starts_at == begun)
            )
            .order_by(budgets.c.scope, budgets.c.name, budgets.c.period)
        )
        with self._database.reading() as connection:
            rows = connection.execute(wanted).mappings().all()
        return [
            as_budget(
                BudgetRule(row["id"], row["scope"], row["name"], row["period"]),
                row["limit_nano_usd"],
                None if row["budget_id"] is None else row,
                begins[cast(BudgetPeriod, row["period"])],
            )
            for row in rows
        ]

    def set(self, scope: BudgetScope, name: str, period: BudgetPeriod, limit_usd: Decimal) -> None:
        """Set a budget, or change the limit of the one there is. A new one counts what this period's runs have cost."""
        if not 0 <= limit_usd <= MOST_USD:
            raise ConfigurationError(f"limit_usd: found {limit_usd}, allowed is 0 to {MOST_USD:,}.", field="limit_usd")
        its = {"its_scope": scope, "its_name": plain(name), "its_period": period}
        row: dict[str, Any] = {
            "id": new_id(),
            "scope": scope,
            "name": plain(name),
            "period": period,
            "limit_nano_usd": to_nano(limit_usd),
        }
        starts_at = to_micros(period_of(period, utcnow())[0])

        def apply(transaction: Transaction, _: Rollups) -> None:
            transaction.execute(self._set, row)
            if transaction.fetch(self._find, its)[0]["id"] == row["id"]:
                spent = self._spent_since(transaction, scope, row["name"], starts_at)
                figures = {"spent_nano_usd": spent, "reserved_nano_usd": 0, "unpriced_runs": 0}
                transaction.execute(self._begin_period, {"budget_id": row["id"], "starts_at": starts_at, **figures})

        self._writer.run(Operation(apply))

    def delete(self, scope: BudgetScope, name: str, period: BudgetPeriod) -> bool:
        """Delete a budget with all it counted; returns whether it was there."""
        its = {"its_scope": scope, "its_name": plain(name), "its_period": period}

        def apply(transaction: Transaction, _: Rollups) -> bool:
            return transaction.execute(self._delete, its) > 0

        return self._writer.run(Operation(apply))

    def reserve(self, run_id: str, owner: str, rules: Sequence[BudgetRule], nano: int) -> Shortfall | None:
        """Hold at least `nano` for a run in each of the budgets, or nothing more in any; returns why not."""

        def apply(transaction: Transaction, _: Rollups) -> Shortfall | None:
            return self.money.reserve(transaction, run_id, owner, rules, nano)

        return self._writer.run(Operation(apply, prepared=False))

    def release(self, run_ids: Sequence[str]) -> None:
        """Give back what these runs hold."""

        def apply(transaction: Transaction, _: Rollups) -> None:
            for run_id in run_ids:
                self.money.settle(transaction, run_id, utcnow(), Settlement())

        self._writer.run(Operation(apply))

    def release_orphans(self, older_than_seconds: float) -> list[str]:
        """Give back what is held for runs that never began by processes that are dead; returns their ids."""
        age = {"age": round(older_than_seconds * 1e6)}
        with self._database.reading() as connection:
            found = [str(run_id) for run_id in connection.execute(self.money.orphans, age).scalars()]
        if found:
            self.release(found)
        return found

    def _spent_since(self, transaction: Transaction, scope: BudgetScope, name: str, since: int) -> int:
        rows: list[dict[str, Any]] = transaction.fetch(self._costs[scope], {"whose": name, "since": since})
        return to_nano(sum((Decimal(row["cost_usd"]) * row["many"] for row in rows), Decimal(0)))


def _costs_of(scope: str, engine: Engine) -> Statement:
    """How often each cost occurs among the finished runs of one subject: costs are texts, which no database adds up."""
    return Statement(
        select(runs.c.cost_usd, func.count().label("many"))
        .where(
            _COLUMNS[scope] == bindparam("whose"),
            runs.c.created_at >= bindparam("since"),
            runs.c.cost_usd.is_not(None),
            runs.c.status.in_([bindparam(f"final_{i}", value, unique=False) for i, value in enumerate(_FINAL)]),
        )
        .group_by(runs.c.cost_usd),
        engine,
    )
