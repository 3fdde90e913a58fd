"""Runs as files."""

import csv
import io
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_core.api.exports import COLUMNS, defuse, export, flat
from mcp_core.models import CacheOutcome, Run, RunError, RunOutput, RunStatus, Usage

pytestmark = pytest.mark.unit


def made(**fields: object) -> Run:
    base = {"id": "r1", "type": "llm_prompt", "status": RunStatus.SUCCEEDED, "cost_usd": Decimal("0.0012")}
    return Run.model_validate({**base, **fields})


@given(st.text())
def test_no_cell_begins_a_formula(text: str) -> None:
    cell = defuse(text)
    assert isinstance(cell, str)
    assert not cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"))
    assert cell.removeprefix("'") == text or cell == text


@pytest.mark.parametrize("value", [None, -3, 1.5])
def test_numbers_are_no_formulas(value: object) -> None:
    assert defuse(value) is value


def test_a_row_has_what_is_known_and_nothing_for_what_is_not() -> None:
    row = flat(
        made(
            tags=("a", "b"),
            usage=Usage(input_tokens=3),
            cache=CacheOutcome(outcome="hit", saved_usd=Decimal("0.5")),
            variables={"text": "grün"},
            error=RunError(type="APIError", message="No."),
        )
    )
    assert tuple(row) == COLUMNS
    assert (row["tags"], row["input_tokens"], row["cache"], row["saved_usd"]) == ("a b", 3, "hit", "0.5")
    assert (row["variables"], row["error_type"], row["error"]) == ('{"text": "grün"}', "APIError", "No.")
    assert (row["started_at"], row["duration_seconds"], row["cost_usd"]) == (None, None, "0.0012")


@given(st.lists(st.text(), max_size=3))
def test_every_format_gives_back_every_text(texts: list[str]) -> None:
    runs = [made(id=f"r{number}", output=RunOutput(text=text)) for number, text in enumerate(texts)]
    lines = [json.loads(line) for line in "".join(export(runs, "jsonl")).split("\n") if line]
    assert [line["output"]["text"] for line in lines] == texts
    document = json.loads("".join(export(runs, "json")))
    assert document["next"] is None
    assert [run["output"]["text"] for run in document["runs"]] == texts
    rows = list(csv.DictReader(io.StringIO("".join(export(runs, "csv")), newline="")))
    assert [row["id"] for row in rows] == [run.id for run in runs]
    assert [row["output"] for row in rows] == [str(defuse(text)) for text in texts]


def test_what_json_has_no_word_for_is_null() -> None:
    (line,) = export([made(output=RunOutput(data={"ratio": float("nan")}))], "jsonl")
    assert json.loads(line)["output"]["data"] == {"ratio": None}
