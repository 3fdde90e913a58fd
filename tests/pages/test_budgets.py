from decimal import Decimal
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from mcp_core.models import Actor
from mcp_core.types.llm_prompt import LLMPromptConfig
from tests.made_runs import made_run, seed
from tests.pages.conftest import Panel, shown

pytestmark = pytest.mark.integration

VARIABLE = "run.summarise.variables.v_text"
SET = '{"model": "acme/m", "max_retries": 0}'


@pytest.fixture
def priced(panel: Panel, tmp_path: Path) -> Panel:
    """A panel whose model `acme/m` costs a dollar a token answered."""
    file = tmp_path / "data" / "providers.toml"
    prices = 'prices = [{ model = "m", input_usd_per_million = 0, output_usd_per_million = 1000000 }]\n'
    file.write_text(file.read_text("utf-8") + prices, "utf-8")
    return panel


def select(page: AppTest, row: int) -> None:
    """Tick a row of the table, as a browser does."""
    page.session_state[str(page.dataframe[0].key)] = {"selection": {"rows": [row], "columns": [], "cells": []}}
    page.run()


def test_without_budgets_the_page_says_what_to_do(panel: Panel) -> None:
    page = panel.open("budgets")
    assert not page.exception
    assert "There are no budgets" in shown(page)
    assert page.button(key="budget_edit").disabled
    assert page.button(key="budget_delete").disabled


def test_a_budget_is_set_changed_and_deleted(panel: Panel) -> None:
    page = panel.open("budgets")
    page.button(key="budget_add").click().run()
    page.selectbox(key="budget_name_actor").set_value("local")
    page.number_input(key="budget_limit").set_value(2.5)
    page.button(key="budget_save").click().run()
    assert not page.exception
    (budget,) = panel.client.budgets.list()
    assert (budget.scope, budget.name, budget.period) == ("actor", "local", "month")
    assert budget.limit_usd == Decimal("2.5")
    page.run()
    select(page, 0)
    assert "of $2.50 a month left" in shown(page).replace("\\", "")
    page.button(key="budget_edit").click().run()
    page.number_input(key="budget_limit_actor_local_month").set_value(4.0)
    page.button(key="budget_save").click().run()
    assert panel.client.budgets.list()[0].limit_usd == Decimal(4)
    page.run()
    select(page, 0)
    page.button(key="budget_delete").click().run()
    assert panel.client.budgets.list(), "nothing is deleted before it is confirmed"
    page.button(key="budget_delete_yes").click().run()
    assert not page.exception
    assert panel.client.budgets.list() == []


def test_a_budget_of_nobody_is_refused_where_it_is_typed(panel: Panel) -> None:
    page = panel.open("budgets")
    page.button(key="budget_add").click().run()
    page.button(key="budget_save").click().run()
    assert "Give the id of the actor" in page.session_state["budget_trouble"]
    assert panel.client.budgets.list() == []


def test_the_table_shows_what_is_enforced(priced: Panel) -> None:
    priced.open()
    client = priced.client
    seed(client.store, [made_run(hours_ago=0, actor_id="local", cost_usd=Decimal(5))])
    client.budgets.set("actor", "local", "month", 20)
    client.execute(LLMPromptConfig(template="hi", model="acme/m", max_tokens=7))
    page = priced.open("budgets")
    row = page.dataframe[0].value.iloc[0]
    (budget,) = client.budgets.list()
    assert (row["spent"], row["limit"]) == (f"${budget.spent_usd:.2f}", "$20.00")
    assert row["used"] == pytest.approx(float(budget.spent_usd / 20))
    assert budget.spent_usd >= 7


def test_a_page_that_stays_open_follows_what_is_spent(priced: Panel) -> None:
    priced.open()
    priced.client.budgets.set("actor", "local", "month", 20)
    page = priced.open("budgets")
    assert page.dataframe[0].value.iloc[0]["spent"] == "$0"
    priced.client.execute(LLMPromptConfig(template="hi", model="acme/m", max_tokens=7))
    page.run()
    assert page.dataframe[0].value.iloc[0]["spent"] == "$7.00"
    assert not page.exception


def test_answers_of_unknown_price_are_told(panel: Panel) -> None:
    panel.open()
    panel.client.budgets.set("actor", "local", "month", 1)
    panel.client.execute(LLMPromptConfig(template="hi", model="acme/m"))
    words = shown(panel.open("budgets")).replace("\\", "")
    assert "the price of their model is unknown: 1 run of the actor local (month)" in words


def test_the_form_says_what_a_run_would_take(priced: Panel) -> None:
    page = priced.open("run", task="summarise", set=SET)
    assert "Fill in what is missing, and what the run would take" in shown(page)
    page.text_area(key=VARIABLE).set_value("It rained.").run()
    words = shown(page).replace("\\", "")
    assert "tokens in, at most 120 out" in words
    assert "about $120.00, at most $120.00" in words
    assert "time unknown" in words
    assert "not cached" in words
    assert priced.server.calls == 0
    page.button(key="run.start").click().run()
    priced.finished(page)
    page.run()
    assert "The cache has the answer" in shown(page)


def test_the_form_warns_of_a_run_that_would_be_refused(priced: Panel) -> None:
    priced.open()
    priced.client.budgets.set("task", "Summarise a text", "month", 10)
    page = priced.open("run", task="summarise", set=SET, var_text="It rained.")
    assert [warning.proto.title for warning in page.warning] == ["It would be refused"]
    assert "$10.00 of $10.00 left this month" in shown(page).replace("\\", "")
    page.button(key="run.start").click().run()
    words = shown(page)
    assert "The run was not started" in words
    assert "It would be refused" not in words, "the reason is told once"
    assert "The answer shows here" not in words
    assert "It is in the history" in [link.value for link in page.page_link]
    (run,), _ = priced.client.runs.list()
    assert run.id in str([link.proto for link in page.page_link])
    assert priced.server.calls == 0


def test_who_may_not_set_budgets_is_told(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    panel.open()
    monkeypatch.setattr(panel.client, "actor", Actor(id="eve", name="Eve", role="editor"))
    page = panel.open("budgets")
    assert "Admins set, change and delete budgets" in shown(page)
    assert not [button for button in page.button if button.key == "budget_add"]
