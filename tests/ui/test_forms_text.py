"""Words on a form: labels, harmless text, durations. No Streamlit here."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from mcp_core.ui.forms.text import (
    duration_from_text,
    duration_to_iso,
    duration_to_text,
    label_from_name,
    plain,
    quoted,
    sentences,
)
from tests.ui.forms_kit import open_form

pytestmark = pytest.mark.unit

ACTIVE = re.compile(r"(?<!\\)[`*_\[\]<>$#|~]|:[\w+-]+[:\[]|:material/\w+:|https?://|www\.|@\w|(?<!\\)!\[")


FOUND_LATER = re.compile(r"https?://|www\.|\w@\w|--|->|<-|[<>~]=|:[\w+-]*[a-z][\w+-]*:")


def pieces(shown: str) -> Iterator[tuple[bool, str]]:
    """What Markdown takes apart: code (True) and the rest, in order, still escaped."""
    at = begin = 0
    while at < len(shown):
        run = re.compile(r"`+").match(shown, at)
        if run is None:
            at += 2 if shown[at] == "\\" else 1
            continue
        closing = re.compile(rf"(?<!`){run[0]}(?!`)").search(shown, run.end())
        assert closing is not None, "a fence that is not closed"
        yield False, shown[begin:at]
        yield True, shown[run.end() + 1 : closing.start() - 1]
        at = begin = closing.end()
    yield False, shown[begin:]


def outside_code(shown: str) -> str:
    return " ".join(text.replace("\\\\", "") for is_code, text in pieces(shown) if not is_code)


def as_read(shown: str) -> str:
    return "".join(text if is_code else re.sub(r"\\(.)", r"\1", text) for is_code, text in pieces(shown))


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("max_tokens", "Max tokens"),
        ("api_url", "API URL"),
        ("top_p", "Top p"),
        ("maxRetries", "Maxretries"),
        ("__x", "X"),
        ("_", "_"),
    ],
)
def test_labels_are_in_sentence_case(name: str, label: str) -> None:
    assert label_from_name(name) == label


@pytest.mark.parametrize(
    "text",
    [
        "[link](http://evil.example)",
        "![x](http://evil.example/p.png)",
        "<b onclick=x>bold</b>",
        ":material/home:",
        ":smile: :red[x] :red-badge[y]",
        "$x^2$ and $$y$$",
        "`code` **bold** _em_ ~~gone~~",
        "see https://evil.example or www.evil.example or me@evil.example",
        "a | b",
        "# heading",
        "\\[x](y)",
        "a -> b <- c <-> d -- e >= f",
    ],
)
def test_nothing_in_foreign_text_is_interpreted(text: str) -> None:
    shown = plain(text)
    assert not ACTIVE.search(outside_code(shown))
    assert not FOUND_LATER.search(re.sub(r"\\\\", "", outside_code(shown)))
    assert as_read(shown) == text, "what is read and copied is what was meant, with nothing invisible in it"


@given(st.text() | st.text("ab:/@.-<>=~` \\[]w1", max_size=40))
def test_plain_is_one_line_without_live_markup(text: str) -> None:
    shown = plain(text)
    assert "\n" not in shown
    assert not ACTIVE.search(outside_code(shown))
    assert not FOUND_LATER.search(re.sub(r"\\\\", "", outside_code(shown)))
    assert as_read(shown) == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("See https://a.example/x.", "See ` https://a.example/x `\\."),
        ("(http://127.0.0.1:8080/v1)", "\\(` http://127.0.0.1:8080/v1 `\\)"),
        ("write to 'ann@a.example'", "write to '` ann@a.example `'"),
        ("Say --yes if it is meant.", "Say ` --yes ` if it is meant\\."),
        ("at 12:30:00", "at 12\\:30\\:00"),
        ("http://a`b", "`` http://a`b ``"),
    ],
)
def test_addresses_and_options_are_code(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text() | st.text("ab:/@.-<>=~` \\[]w1()", max_size=40) | st.from_regex(r"(`:?[a-z/:]*`[ .(]*){1,4}"))
def test_what_a_message_names_leaves_no_live_markup(text: str) -> None:
    shown = sentences(text)
    assert not ACTIVE.search(outside_code(shown))
    assert not FOUND_LATER.search(re.sub(r"\\\\", "", outside_code(shown)))
    assert as_read(shown).replace("`", "").split() == text.replace("`", "").split()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Raise `max_tokens`.", "Raise ` max_tokens `\\."),
        ("The variable `text` is missing.", "The variable ` text ` is missing\\."),
        ("`a` `b`, (`c: {d: ...}`)", "` a ` ` b `, \\(` c: {d: ...} `\\)"),
        ("one ` alone and a`b`c", "one \\` alone and a\\`b\\`c"),
        ("`:material/home:`", plain("`:material/home:`")),
    ],
)
def test_what_a_message_names_is_code(text: str, shown: str) -> None:
    assert sentences(text) == shown


def test_help_keeps_its_paragraphs() -> None:
    assert plain("one\ntwo\n\n\nthree", paragraphs=True) == "one two\n\nthree"


@pytest.mark.parametrize(
    ("value", "shown"),
    [("a", "` a `"), ("a`b", "`` a`b ``"), ("```", "```` ``` ````"), ("", "an empty text"), (5, "` 5 `")],
    ids=repr,
)  # fmt: skip
def test_values_are_quoted_as_code(value: object, shown: str) -> None:
    assert quoted(value) == shown


def test_long_values_are_shortened() -> None:
    assert quoted("x" * 100) == f"` {'x' * 59}… `"


@given(st.timedeltas())
def test_durations_come_back_exactly(value: timedelta) -> None:
    assert duration_from_text(duration_to_text(value)) == value


@given(st.timedeltas(timedelta(days=-(10**8)), timedelta(days=10**8)))
def test_durations_are_exact_in_iso_too(value: timedelta) -> None:
    from pydantic import TypeAdapter

    assert TypeAdapter(timedelta).validate_python(duration_to_iso(value)) == value


@pytest.mark.parametrize("text", ["", "-", "soon", "1x", "1h nonsense", "0.0000001s", "99999999999w"])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert duration_from_text(text) is None


class Hostile(BaseModel):
    field: int = Field(
        1,
        title="[x](http://evil.example) :material/home:",
        description="![p](http://evil.example/q) <script>",
        json_schema_extra={"unit": "$s$", "group": "**g** :smile:"},
    )


def test_hostile_words_reach_widgets_escaped() -> None:
    app = open_form(Hostile, loaded={"field": "![x](http://evil.example) `c`"})
    field = app.text_input(key="run.field")
    for text in (field.label.replace(" :gray[", " ").removesuffix("]"), field.help or ""):
        assert not ACTIVE.search(outside_code(text))
    assert app.error[0].value.endswith("Given: `` ![x](http://evil.example) `c` ``")
