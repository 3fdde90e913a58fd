"""docs/cli.md names every command, every option and every name of a run as JSON, and no others."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_core.cli.parser import build_parser
from mcp_core.models import Run

pytestmark = pytest.mark.unit

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text("utf-8")
UNIVERSAL = {"-h", "--help", "--version"}


def commands(parser: argparse.ArgumentParser, *names: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that can be given, with its parser."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if parser.get_default("handler"):
        yield " ".join(names), parser
    for group in groups:
        for name, child in group.choices.items():
            yield from commands(child, *names, name)


def test_every_command_is_described() -> None:
    rows = re.findall(r"^\| `([a-z ]+?)(?: [A-Z.]+)?` \| ", GUIDE.partition("## Exit codes")[0], re.MULTILINE)
    assert rows == [name for name, _ in commands(build_parser())]


def test_every_option_is_described_and_exists() -> None:
    options = {
        text for _, parser in commands(build_parser()) for action in parser._actions for text in action.option_strings
    }
    named = set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)\b", GUIDE))
    assert options - UNIVERSAL <= named
    assert named - UNIVERSAL - {"--server", "-m"} <= options


def test_a_command_has_help_for_everything() -> None:
    for name, parser in commands(build_parser()):
        assert parser.description, name
        for action in parser._actions:
            assert action.help, (name, action.dest)


def test_a_run_as_json_is_described() -> None:
    section = GUIDE.partition("## A run as JSON")[2]
    named = [
        name
        for row in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section, re.MULTILINE)
        for name in re.findall(r"\w+", row)
    ]
    assert sorted(named) == sorted(Run(id="r", type="t").as_json())
