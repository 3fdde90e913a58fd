"""What the run in the form would take, told before Run is pressed."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from mcp_core.api.client import MCPClient
from mcp_core.api.preflight import Preflight
from mcp_core.errors import MCPError
from mcp_core.formats import age
from mcp_core.store.budget_shapes import Budget
from mcp_core.types.base import BaseMCPConfig
from mcp_core.ui import text
from mcp_core.ui.client import current_actor

__all__ = ["forecast", "words_of"]

_HELP = """Nobody is asked for this.

- **Tokens in** are estimated: one for four bytes of text.
- **Tokens out** are the median of like runs, else the longest answer the task allows.
- **Cost** is of these tokens; *at most* is what the longest answer could cost, and what budgets hold for the run.
- **Time** is the median of the last like runs that the cache did not answer, and what 95 % of them stayed below.
"""


def forecast(client: MCPClient, config: BaseMCPConfig | None, variables: Mapping[str, Any] | None) -> None:
    """One line about what a run would take, and a warning where it would be refused; always there, so nothing jumps."""
    if config is None or variables is None:
        st.caption("Fill in what is missing, and what the run would take shows here.")
        return
    try:
        look = client.preflight(config, variables, actor=current_actor())
    except MCPError as error:
        st.caption(f":material/error: {text.sentences(str(error))}")
        return
    st.caption(" · ".join(words_of(look)), help=_HELP)
    if look.outlook:
        st.caption(f":material/cloud_off: {text.escape(look.outlook)}")
    if look.refusal is not None:
        st.warning(text.sentences(look.refusal.message), title="It would be refused", icon=":material/block:")
        if look.refusal.hint:
            st.caption(f":material/lightbulb: {text.sentences(look.refusal.hint)}")


def words_of(look: Preflight) -> list[str]:
    """What is known, each in a few words, as Markdown."""
    if look.cache in ("hit", "stale"):
        state = "" if look.cache == "hit" else ", outdated"
        words = [f":material/bolt: The cache has the answer, {age(look.cache_age_seconds)} old{state}: free, at once"]
    elif look.calls is None:
        words = ["Tokens and cost are not known before it runs", *_time(look)]
    else:
        words = [
            _tokens(look),
            _cost(look),
            *_time(look),
            "cache not asked" if look.cache == "bypass" else "not cached",
        ]
    return words if look.budget is None else [*words, _left(look.budget)]


def _tokens(look: Preflight) -> str:
    most = "" if look.output_tokens == look.most_output_tokens else f", at most {text.count(look.most_output_tokens)}"
    about = "at most" if not most and look.bounded else "about"
    return f"About {text.count(look.input_tokens, 'tokens')} in, {about} {text.count(look.output_tokens)} out{most}"


def _cost(look: Preflight) -> str:
    if look.cost_usd is None:
        return "price unknown"
    if look.most_cost_usd == 0:
        return "free"
    return text.escape(f"about {text.money(look.cost_usd)}, at most {text.money(look.most_cost_usd)}")


def _time(look: Preflight) -> list[str]:
    if not look.like_runs:
        return ["time unknown"]
    if look.like_runs == 1:
        return [f"about {text.seconds(look.expected_seconds)}"]
    return [f"about {text.seconds(look.expected_seconds)}, 95 % below {text.seconds(look.p95_seconds)}"]


def _left(budget: Budget) -> str:
    left = f"{text.money(budget.left_usd)} of {text.money(budget.limit_usd)} left"
    when = "today" if budget.period == "day" else "this month"
    return text.escape(f"{left} {when} for the {budget.scope} {budget.name}")
