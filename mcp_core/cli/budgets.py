"""`budgets list`, `budgets set` and `budgets delete`."""

from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mcp_core.api.guard import subject
from mcp_core.cli.output import Output, money
from mcp_core.cli.session import open_client
from mcp_core.formats import count, moment

if TYPE_CHECKING:
    from mcp_core.store.budget_shapes import Budget

__all__ = ["delete_budget", "list_budgets", "set_budget"]


def list_budgets(namespace: Namespace, out: Output) -> int:
    """Print all budgets and how they stand."""
    with open_client(namespace) as client:
        found = client.budgets.list()
    if out.as_json:
        out.document({"budgets": [budget.as_json() for budget in found]})
    elif found:
        _table(found, out)
    else:
        out.note("There are no budgets: runs may cost anything. `budgets set` sets one.")
    return 0


def set_budget(namespace: Namespace, out: Output) -> int:
    """Set a budget and print how it stands."""
    with open_client(namespace) as client:
        budget = client.budgets.set(namespace.scope, namespace.name, namespace.period, namespace.limit_usd)
    if out.as_json:
        out.document(budget.as_json())
    else:
        _table([budget], out)
    return 0


def delete_budget(namespace: Namespace, out: Output) -> int:
    """Delete a budget, once a person has said so."""
    with open_client(namespace) as client:
        budget = client.budgets.get(namespace.scope, namespace.name, namespace.period)
        question = (
            f"Delete the budget of the {budget.scope} {budget.name}, {money(budget.limit_usd)} a {budget.period}?"
        )
        if not out.confirm(question, yes=namespace.yes):
            out.note("Nothing was deleted.")
            return 1
        client.budgets.delete(budget.scope, budget.name, budget.period)
    if out.as_json:
        out.document({"deleted": 1})
    else:
        out.line("The budget is deleted.")
    return 0


def _table(budgets: "Sequence[Budget]", out: Output) -> None:
    figures = ["limit", "spent", "reserved", "left"]
    rows = [
        (
            budget.scope,
            budget.name,
            budget.period,
            money(budget.limit_usd),
            money(budget.spent_usd),
            money(budget.reserved_usd),
            money(budget.left_usd),
            moment(budget.resets_at),
        )
        for budget in budgets
    ]
    out.table(
        ["scope", "name", "period", *figures, "resets at"],
        rows,
        right=figures,
        whole=["scope", "period", *figures],
        drop=["resets at"],
    )
    for budget in budgets:
        if budget.unpriced_runs:
            out.note(
                f"note: {count(budget.unpriced_runs, 'runs')} of {subject(budget)} ({budget.period}) not counted: "
                "the price of the model is unknown."
            )
