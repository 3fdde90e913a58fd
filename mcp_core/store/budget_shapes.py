"""What a budget is, to those who set, watch or enforce one. Money is whole nano-dollars where it is added up."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from typing import Any, Literal, get_args

__all__ = [
    "PERIODS",
    "SCOPES",
    "Budget",
    "BudgetPeriod",
    "BudgetRule",
    "BudgetScope",
    "Settlement",
    "Shortfall",
    "period_of",
    "to_nano",
    "to_usd",
]

BudgetScope = Literal["actor", "team", "task"]
"""Whose runs count: those of one actor (by id), of one team, or of one task (by name)."""

BudgetPeriod = Literal["day", "month"]
"""How long a budget lasts before it begins anew, in UTC."""

SCOPES: tuple[BudgetScope, ...] = get_args(BudgetScope)
PERIODS: tuple[BudgetPeriod, ...] = get_args(BudgetPeriod)

_NANO = 1_000_000_000


def to_nano(usd: Decimal, *, up: bool = False) -> int:
    """Dollars as whole nano-dollars; `up` rounds up, for what must not turn out too small."""
    return int((usd * _NANO).to_integral_value(ROUND_CEILING if up else ROUND_HALF_EVEN))


def to_usd(nano: int) -> Decimal:
    """Nano-dollars as dollars, without zeros at the end."""
    usd = (Decimal(nano) / _NANO).normalize()
    # 100 is normalized to 1E+2.
    return usd.quantize(Decimal(1)) if usd == usd.to_integral_value() else usd


def period_of(period: BudgetPeriod, at: datetime) -> tuple[datetime, datetime]:
    """Beginning and end, in UTC, of the day or month that `at` falls into."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return day, day + timedelta(days=1)
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1)


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """Which runs a budget is for: what has to be known of it before every run."""

    id: str
    scope: BudgetScope
    name: str
    period: BudgetPeriod


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget and how it stands.

    Attributes:
        name: id of the actor, name of the team, or name of the task.
        limit_usd: what may be spent in one period.
        spent_usd: what finished runs cost in this period; reserved_usd: what open ones may still cost.
        unpriced_runs: runs of this period that a model of unknown price answered; they are not in `spent_usd`.
        starts_at, resets_at: the present period, in UTC.
    """

    scope: BudgetScope
    name: str
    period: BudgetPeriod
    limit_usd: Decimal
    spent_usd: Decimal
    reserved_usd: Decimal
    unpriced_runs: int
    starts_at: datetime
    resets_at: datetime

    @property
    def left_usd(self) -> Decimal:
        """What a new run may cost at most, not below 0."""
        return max(Decimal(0), self.limit_usd - self.spent_usd - self.reserved_usd)

    def as_json(self) -> dict[str, Any]:
        """The budget as JSON-compatible data; money is a decimal text."""
        return {
            "scope": self.scope,
            "name": self.name,
            "period": self.period,
            "limit_usd": str(self.limit_usd),
            "spent_usd": str(self.spent_usd),
            "reserved_usd": str(self.reserved_usd),
            "left_usd": str(self.left_usd),
            "unpriced_runs": self.unpriced_runs,
            "starts_at": self.starts_at.isoformat(),
            "resets_at": self.resets_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why money could not be reserved: the budget that has too little, and what was wanted on top of what is held."""

    budget: Budget
    wanted_usd: Decimal


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is left to do about the money of a run that ends.

    Attributes:
        rules: budgets the run counts for, whether or not anything was reserved there.
        cost_nano: what it cost.
        unpriced: whether a model of unknown price answered it.
    """

    rules: tuple[BudgetRule, ...] = ()
    cost_nano: int = 0
    unpriced: bool = False
