"""Prompt templates: what they take, what they render to, and what they may not do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_core.errors import ConfigurationError, RunCancelledError
from mcp_core.types.templates import MAX_RENDERED, find_variables, render

pytestmark = pytest.mark.unit


def test_variables_come_in_order_of_appearance() -> None:
    assert find_variables("{{ zeta }} {{ alpha }} {% for x in items %}{{ x }}{% endfor %}") == [
        "zeta",
        "alpha",
        "items",
    ]


@given(st.text())
def test_a_value_is_put_in_as_it_is(value: str) -> None:
    assert render("[{{ text }}]", {"text": value}) == f"[{value}]"


@given(st.text(alphabet=st.characters(blacklist_characters="{}#%", blacklist_categories=["Cs"])))
def test_text_without_marks_stays(text: str) -> None:
    # Jinja reads every kind of line end as one, and drops a last one.
    expected = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
    assert render(text, {}) == expected


def test_a_missing_variable_names_line_and_variable() -> None:
    with pytest.raises(ConfigurationError, match=r"line 2.*'city' is undefined"):
        render("Hello\n{{ city }}", {})


def test_a_syntax_error_names_the_line() -> None:
    with pytest.raises(ConfigurationError, match="line 3"):
        find_variables("a\nb\n{% if %}")


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ x.append(1) }}",
        "{{ 'a' * 10**9 }}",
        "{{ [0] * 10**9 }}",
        "{{ 9**99999 }}",
        "{% for i in range(10**9) %}x{% endfor %}",
    ],
)
def test_what_a_template_may_not_do(template: str) -> None:
    with pytest.raises(ConfigurationError):
        render(template, {"x": []})


def test_the_result_is_bounded() -> None:
    with pytest.raises(ConfigurationError, match="more than"):
        render("{% for i in range(1000) %}{{ text }}{% endfor %}", {"text": "x" * (MAX_RENDERED // 500)})


def test_a_failing_expression_is_one_sentence() -> None:
    with pytest.raises(ConfigurationError, match="line 1, fails: ZeroDivisionError"):
        render("{{ 1 / 0 }}", {})


def test_a_deeply_nested_template_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        render("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", {})


def test_rendering_can_be_stopped() -> None:
    def stop() -> None:
        raise RunCancelledError("stop")

    with pytest.raises(RunCancelledError):
        render("{% for i in range(10) %}{{ i }}{% endfor %}", {}, check=stop)
