"""Variables: conversion from text, defaults, choices, and errors that name them all."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mcp_core.errors import ConfigurationError
from mcp_core.types.variables import VariableSpec, validate_variables, variables_model

pytestmark = pytest.mark.unit


def test_text_from_the_command_line_becomes_the_declared_type() -> None:
    specs = {
        "count": VariableSpec(type="integer"),
        "share": VariableSpec(type="number"),
        "loud": VariableSpec(type="boolean"),
        "day": VariableSpec(type="date"),
        "word": VariableSpec(type="string"),
    }
    given_values = {"count": "3", "share": "0.5", "loud": "yes", "day": "2026-02-28", "word": "3"}
    checked = validate_variables(specs, given_values)
    assert checked == {"count": 3, "share": 0.5, "loud": True, "day": dt.date(2026, 2, 28), "word": "3"}


def test_a_number_given_for_a_text_is_that_text() -> None:
    specs = {"n": VariableSpec(), "w": VariableSpec(type="string")}
    assert validate_variables(specs, {"n": 1, "w": 2.5}) == {"n": "1", "w": "2.5"}
    with pytest.raises(ConfigurationError, match="allowed is text"):
        validate_variables(specs, {"n": [1], "w": ""})


def test_defaults_fill_in() -> None:
    assert validate_variables({"tone": VariableSpec(default="calm")}, {}) == {"tone": "calm"}


def test_all_that_is_wrong_is_named() -> None:
    specs = {"a": VariableSpec(), "b": VariableSpec(type="integer"), "c": VariableSpec(choices=("x", "y"))}
    with pytest.raises(ConfigurationError) as caught:
        validate_variables(specs, {"b": "many", "c": "z", "d": "extra"})
    message = caught.value.message
    assert "`a` is missing" in message
    assert "`b` is 'many', allowed is a whole number." in message
    assert "`c` is 'z', allowed is one of x, y." in message
    assert "no variable `d`" in message
    assert caught.value.hint == "Give: a (text), b (a whole number), c (one of x, y)."


@given(st.dictionaries(st.text(min_size=1, max_size=30), st.text(max_size=50), max_size=6))
def test_any_name_may_be_a_variable(values: dict[str, str]) -> None:
    specs = {name: VariableSpec(type="string") for name in values}
    assert validate_variables(specs, values) == values


def test_the_model_is_built_once() -> None:
    specs = {"a": VariableSpec()}
    assert variables_model(specs) is variables_model({"a": VariableSpec()})


def test_a_default_outside_the_choices_is_refused() -> None:
    with pytest.raises(ValidationError, match="not one of the choices"):
        VariableSpec(choices=("a", "b"), default="c")
