"""What people see: tables, numbers, progress, and texts that cannot steer a terminal."""

import io
import re
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_core.cli.display import Display
from mcp_core.cli.output import Output, cost, money, plain, seconds
from mcp_core.cli.table import fit
from mcp_core.models import Attempt, Run, RunEvent, utcnow
from tests.cli.conftest import Result
from tests.cli.server import ModelServer

pytestmark = pytest.mark.unit


class Terminal(io.StringIO):
    """A terminal, as far as a program can tell."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], tuple[Terminal, Terminal]]:
    """Puts a person before standard output and standard error."""

    def sit_down(columns: int = 100) -> tuple[Terminal, Terminal]:
        out, err = Terminal(), Terminal()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("NO_COLOR", "1")
        return out, err

    return sit_down


SitDown = Callable[..., tuple[Terminal, Terminal]]


def event(kind: str, **data: object) -> RunEvent:
    return RunEvent(run_id="r", seq=1, kind=kind, at=utcnow(), data=data)


@pytest.mark.parametrize(
    ("write", "value", "expected"),
    [
        (seconds, None, "-"),
        (seconds, 0.0034, "3 ms"),
        (seconds, 12.34, "12.3 s"),
        (seconds, 185, "3 min 05 s"),
        (seconds, 7260, "2 h 01 min"),
        (money, None, "unknown"),
        (money, "0", "$0"),
        (money, Decimal("0.0012"), "$0.0012"),
        (money, Decimal("0.00001234"), "$0.000012"),
        (money, Decimal("1234.5"), "$1,234.50"),
    ],
)
def test_numbers_are_written_with_their_units(write: Callable[[object], str], value: object, expected: str) -> None:
    assert write(value) == expected


def test_an_unknown_price_is_not_that_nothing_was_asked() -> None:
    run = Run(id="r", type="t")
    tried = Attempt(number=1, provider="p", model="m", started_at=utcnow(), duration_seconds=1)
    assert cost(run) == "-"
    assert cost(run.model_copy(update={"attempts": (tried,)})) == "unknown"
    assert cost(run.model_copy(update={"cost_usd": Decimal(0)})) == "$0"


@given(st.text())
def test_plain_text_is_one_line_without_control_codes(text: str) -> None:
    assert plain(text).isprintable() or not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in plain(text))
    assert "\n" not in plain(text)
    assert plain(plain(text, lines=True)) == plain(text)


def test_plain_text_keeps_its_lines_where_it_may() -> None:
    assert plain("a\tb\n\x1b[2Jc\u202ed", lines=True) == "a\tb\n[2Jcd"
    assert plain("a\tb\r\nc") == "a b  c"


def test_a_document_is_json_whatever_the_terminal_can_write(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Output(as_json=True).document({"text": "grün \ud800", "ratio": float("inf")})
    Output().line("grün")
    Output().flush()
    assert raw.getvalue().decode("ascii").splitlines() == [
        "{",
        '  "text": "gr\\u00fcn \\ud800",',
        '  "ratio": null',
        "}",
        "gr?n",
    ]


@given(
    st.lists(st.tuples(st.text("x", max_size=40), st.text("y", max_size=40), st.text("z", max_size=40)), max_size=3),
    st.integers(10, 150),
)
def test_a_table_fits_or_is_as_narrow_as_it_may(rows: list[tuple[str, str, str]], width: int) -> None:
    shown = fit(["id", "name", "note"], rows, width, whole=["id"], drop=["note"])
    wide = sum(shown.values()) + 3 * (len(shown) - 1)
    assert shown["id"] == max([2, *(len(row[0]) for row in rows)])
    if wide > width:
        assert "note" not in shown
        assert shown["name"] <= 8


def test_a_table_on_a_terminal_keeps_what_must_be_whole(terminal: SitDown) -> None:
    out, _ = terminal(40)
    rows = [["0123456789abcdef", "a long name that does not fit", "gone"]]
    Output().table(["id", "name", "note"], rows, whole=["id"], drop=["note"])
    lines = re.sub(r"\x1b\[\d*m", "", out.getvalue()).splitlines()
    assert all(len(line.rstrip()) <= 40 for line in lines)
    assert "0123456789abcdef" in lines[2]
    assert "…" in lines[2]
    assert "gone" not in out.getvalue()


def test_an_answer_streams_and_begins_again_after_a_retry(terminal: SitDown) -> None:
    out, err = terminal()
    with Display(Output()) as display:
        display.show(event("token", text="Half an "))
        display.show(event("retry", wait_seconds=1.5, error="The stream was cut."))
        display.show(event("token", text="answer\x1b[2J."))
        display.show(event("log", text="nothing to show"))
    assert out.getvalue() == "Half an \nanswer[2J.\n"
    assert "Asking again in 1.5 s: The stream was cut." in err.getvalue()
    assert display.shown == "answer\x1b[2J."


def test_an_answer_begins_again_where_another_model_is_asked(terminal: SitDown) -> None:
    out, err = terminal()
    with Display(Output()) as display:
        display.show(event("token", text="Half an "))
        display.show(event("fallback", **{"from": "acme/m", "to": "beta/b", "error": "acme/m failed."}))
        display.show(event("token", text="answer."))
    assert out.getvalue() == "Half an \nanswer.\n"
    assert "acme/m failed. Asking beta/b instead." in err.getvalue()


def test_progress_is_a_bar_until_the_answer_begins(terminal: SitDown) -> None:
    out, err = terminal()
    with Display(Output()) as display:
        display.show(event("progress", done=1_000_000, total=4_000_000, unit="bytes", what="Fetching the local model"))
        display.show(event("progress", done=2, unit="bytes"))
        display.show(event("progress", text="no number"))
        display.show(event("token", text="one"))
        before = err.getvalue()
        display.show(event("progress", done=1, total=2, unit="samples"))
        display.show(event("token", text="two"))
    assert "Fetching the local model" in before
    assert "1.0 MB of 4.0 MB" in before
    assert err.getvalue() == before
    assert out.getvalue() == "one\ntwo\n"


def test_a_pipe_is_told_of_retries_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(Output()) as display:
        for happened in (event("token", text="x"), event("progress", done=1, total=2), event("retry", error="e")):
            display.show(happened)
    assert capsys.readouterr() == ("", "Asking again: e\n")


def test_a_run_on_a_terminal_is_shown_once(
    terminal: SitDown, cli: Callable[..., Result], task: Path, model_server: ModelServer
) -> None:
    from mcp_core.cli import main

    out, err = terminal()
    assert main(["run", "shorten", "--var", "text=x"]) == 0
    assert out.getvalue() == "A short answer.\n"
    assert "cache miss" in err.getvalue()
    model_server.status = 404
    out, err = terminal()
    assert main(["run", "shorten", "--var", "text=y"]) == 1
    assert out.getvalue() == ""
    message = next(line for line in err.getvalue().splitlines() if line.startswith("failed: "))
    assert err.getvalue().count(message.removeprefix("failed: ")) == 1
