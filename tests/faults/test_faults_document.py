"""docs/faults.md names every fault that is tried here, and none that is not."""

import ast
import re

import pytest

from tests.faults.conftest import ROOT

pytestmark = pytest.mark.unit


def test_the_list_of_faults_is_that_of_the_tests() -> None:
    text = (ROOT / "docs/faults.md").read_text("utf-8")
    named = re.findall(r"\| `(test_\w+)` \|$", text, re.MULTILINE)
    there = {
        node.name
        for path in (ROOT / "tests/faults").glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    assert sorted(named) == sorted(there - {"test_the_list_of_faults_is_that_of_the_tests"})
