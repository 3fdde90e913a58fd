"""Budgets on a page: how each stands, and setting, changing and deleting them."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from hashlib import sha256

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.errors import MCPError
from mcp_core.models import Actor
from mcp_core.security.permissions import may
from mcp_core.store.budget_shapes import PERIODS, SCOPES, Budget, BudgetScope
from mcp_core.ui import text
from mcp_core.ui.bulk import confirm
from mcp_core.ui.choices import tasks_of
from mcp_core.ui.client import current_actor
from mcp_core.ui.notes import leave_note, show_notes
from mcp_core.ui.trouble import fragment

__all__ = [
    "budget_buttons",
    "budget_table",
    "delete_budget",
    "save_limit",
    "save_new_budget",
    "watch_budgets",
]

_TROUBLE = "budget_trouble"
_WATCH_SECONDS = 3.0

_NAMED = {"actor": "Id of the actor", "team": "Name of the team", "task": "Name of the task"}


def budget_table(found: Sequence[Budget]) -> Budget | None:
    """Draw how budgets stand, or what to do where there is none; returns the one that is selected."""
    show_notes()
    if not found:
        st.info(
            "Runs may cost anything. A budget limits what an actor, a team or a task may spend in a day or a month; "
            "runs it does not allow are refused before they begin.",
            title="There are no budgets",
            icon=":material/savings:",
        )
        return None
    chosen = _table(found)
    unpriced = [
        f"{text.count(budget.unpriced_runs, 'runs')} of the {budget.scope} {budget.name} ({budget.period})"
        for budget in found
        if budget.unpriced_runs
    ]
    if unpriced:
        st.caption(
            ":material/help: Not counted, since the price of their model is unknown: "
            f"{text.escape(', '.join(unpriced))}. State it in the providers file to have them counted."
        )
    return chosen


def budget_buttons(client: MCPClient, chosen: Budget | None) -> bool:
    """Draw what can be done by whoever may: set a budget, and change or delete the one that is selected.

    Returns:
        Whether a dialog is open.
    """
    actor = current_actor()
    if not may(actor, "set_budgets"):
        st.caption(_sentence(chosen) if chosen else "Admins set, change and delete budgets.")
        return False
    with st.container(horizontal=True, vertical_alignment="center"):
        add = st.button("Set a budget", icon=":material/add:", type="primary", key="budget_add")
        edit = st.button("Change the limit", icon=":material/edit:", key="budget_edit", disabled=chosen is None)
        delete = st.button("Delete", icon=":material/delete:", key="budget_delete", disabled=chosen is None)
        st.caption(_sentence(chosen) if chosen else "Select a budget to change or delete it.")
    if add:
        _add(client, actor)
    elif edit:
        _edit(client, chosen, actor)
    elif delete:
        _confirm_delete(client, chosen, actor)
    return add or edit or delete


def watch_budgets(client: MCPClient, drawn: Sequence[Budget]) -> None:
    """Draw the page anew when budgets are not as `drawn` any more. It would close a dialog that is open."""
    fragment(_watch, every=_WATCH_SECONDS)(client, list(drawn))


def _watch(client: MCPClient, drawn: list[Budget]) -> None:
    if client.budgets.list() != drawn:
        st.rerun()


def _table(found: Sequence[Budget]) -> Budget | None:
    import pandas as pd

    frame = pd.DataFrame(
        {
            "whose": [budget.scope.capitalize() for budget in found],
            "name": [budget.name for budget in found],
            "period": [budget.period for budget in found],
            "used": [_share(budget) for budget in found],
            "left": [text.money(budget.left_usd) for budget in found],
            "limit": [text.money(budget.limit_usd) for budget in found],
            "spent": [text.money(budget.spent_usd) for budget in found],
            "reserved": [text.money(budget.reserved_usd) for budget in found],
            "resets": [budget.resets_at for budget in found],
        }
    )
    names = " ".join(f"{budget.scope} {budget.name} {budget.period}" for budget in found)
    event = st.dataframe(
        frame,
        hide_index=True,
        column_config={
            "whose": "Budget of",
            "name": "Name",
            "period": "Period",
            "used": st.column_config.ProgressColumn(
                "Used", format="percent", min_value=0, max_value=1, help="Spent and reserved, of the limit."
            ),
            "left": st.column_config.TextColumn("Left", help="What a new run may cost at most."),
            "limit": "Limit",
            "spent": st.column_config.TextColumn("Spent", help="What finished runs cost."),
            "reserved": st.column_config.TextColumn("Reserved", help="What runs under way may still cost."),
            "resets": st.column_config.DatetimeColumn("Resets", format="distance", help="Begins anew, at 00:00 UTC."),
        },
        on_select="rerun",
        selection_mode="single-row",
        # Other budgets are another table: a selection never points at one it was not made on.
        key=f"budgets_{sha256(names.encode()).hexdigest()[:12]}",
        alt=f"{text.count(len(found), 'budgets')} with what is used and left of each",
    )
    rows = [row for row in event.selection.rows if row < len(found)]
    return found[rows[0]] if rows else None


def _share(budget: Budget) -> float:
    used = budget.spent_usd + budget.reserved_usd
    return min(1.0, float(used / budget.limit_usd)) if budget.limit_usd else 1.0


def _sentence(budget: Budget) -> str:
    return text.escape(
        f"The {budget.scope} {budget.name}: {text.money(budget.left_usd)} of {text.money(budget.limit_usd)} "
        f"a {budget.period} left, until {text.moment(budget.resets_at)}."
    )


@st.dialog("Set a budget", on_dismiss="rerun")
def _add(client: MCPClient, actor: Actor) -> None:
    scope: BudgetScope = st.segmented_control(
        "Budget of", SCOPES, default="actor", required=True, format_func=str.capitalize, key="budget_scope"
    )
    st.selectbox(
        _NAMED[scope],
        _known(client, scope, actor),
        index=None,
        accept_new_options=True,
        placeholder="Choose or type",
        key=f"budget_name_{scope}",
    )
    st.segmented_control(
        "Period", PERIODS, default="month", required=True, format_func=str.capitalize, key="budget_period"
    )
    st.number_input("Limit in dollars", min_value=0.0, value=10.0, step=1.0, format="%.2f", key="budget_limit")
    st.caption(
        "It counts what this day or month has cost already, and starts anew at 00:00 UTC. One that is there gets the "
        "new limit."
    )
    _save_button(save_new_budget, client, actor)


@st.dialog("Change the limit", on_dismiss="rerun")
def _edit(client: MCPClient, budget: Budget | None, actor: Actor) -> None:
    if budget is None:
        return
    st.markdown(_sentence(budget))
    st.number_input(
        "Limit in dollars",
        min_value=0.0,
        value=float(budget.limit_usd),
        step=1.0,
        format="%.2f",
        key=f"budget_limit_{_place(budget)}",
    )
    _save_button(save_limit, client, budget, actor)


def _save_button(save: Callable[..., None], *args: object) -> None:
    """A button that saves what the dialog's fields hold, and closes the dialog, or says in it why that cannot be."""
    with st.container(horizontal=True, horizontal_alignment="right"):
        pressed = st.button("Save", type="primary", icon=":material/save:", key="budget_save", on_click=save, args=args)
    if trouble := st.session_state.pop(_TROUBLE, ""):
        st.error(trouble)
    elif pressed:
        st.rerun()


@st.dialog("Delete a budget", on_dismiss="rerun")
def _confirm_delete(client: MCPClient, budget: Budget | None, actor: Actor) -> None:
    if budget is None:
        return
    confirm(
        f"{_sentence(budget)} Delete it? Nothing is limited by it any more, and what it counted is forgotten. "
        "The history stays.",
        "Delete the budget",
        icon=":material/delete:",
        act=lambda: delete_budget(client, budget, actor),
        key="budget_delete",
    )


def _known(client: MCPClient, scope: BudgetScope, actor: Actor) -> list[str]:
    if scope == "task":
        return sorted({str(task.config["name"]) for task in tasks_of(client) if task.config.get("name")})
    return [actor.id if scope == "actor" else actor.team]


def save_new_budget(client: MCPClient, actor: Actor) -> None:
    """Set the budget that the fields of the dialog describe."""
    fields = st.session_state
    scope = fields["budget_scope"]
    _save(client, scope, fields[f"budget_name_{scope}"] or "", fields["budget_period"], fields["budget_limit"], actor)


def save_limit(client: MCPClient, budget: Budget, actor: Actor) -> None:
    """Give a budget the limit that the field of the dialog holds."""
    limit = st.session_state[f"budget_limit_{_place(budget)}"]
    _save(client, budget.scope, budget.name, budget.period, limit, actor)


def _save(client: MCPClient, scope: str, name: str, period: str, limit_usd: float, actor: Actor) -> None:
    try:
        budget = client.budgets.set(scope, name, period, Decimal(str(limit_usd)), actor=actor)
    except MCPError as error:
        st.session_state[_TROUBLE] = text.sentences(str(error))
    else:
        leave_note(_sentence(budget), icon=":material/savings:")


def _place(budget: Budget) -> str:
    return f"{budget.scope}_{budget.name}_{budget.period}"


def delete_budget(client: MCPClient, budget: Budget, actor: Actor) -> None:
    """Delete a budget, and say so."""
    try:
        there = client.budgets.delete(budget.scope, budget.name, budget.period, actor=actor)
    except MCPError as error:
        leave_note(text.sentences(str(error)), icon=":material/error:")
    else:
        leave_note("The budget is deleted." if there else "The budget was gone already.", icon=":material/delete:")
