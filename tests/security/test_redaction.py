"""Secrets are masked: known ones by value, others by shape, and ordinary text stays."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_core.models import RunOutput
from mcp_core.security.redaction import MASK, MaskedStream, Redactor

pytestmark = pytest.mark.unit

CANARIES = [
    "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789",
    "sk-ant-api03-abcdefghijklmnopqrstuvwxyz-0123456789",
    "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    "ghp_" + "a" * 36,
    "AKIA" + "ABCDEFGHIJKLMNOP",
    "hf_" + "b" * 34,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
]


@pytest.mark.parametrize("canary", CANARIES)
def test_key_shaped_text_is_masked(canary: str) -> None:
    masked = Redactor().shapes(f"the key {canary} was refused")
    assert canary not in masked
    assert masked.startswith("the key ")
    assert masked.endswith(" was refused")


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdef123456789",
        "api-key: 0123456789abcdef0123456789abcdef",
        '{"x-goog-api-key": "0123456789abcdef"}',
        "password=hunter2hunter2",
        "postgresql://user:hunter2hunter2@db/panel",
    ],
)
def test_named_credentials_are_masked(text: str) -> None:
    masked = Redactor().shapes(text)
    assert MASK in masked
    assert "hunter2" not in masked
    assert "0123456789abcdef" not in masked
    assert "abcdef123456789" not in masked


@pytest.mark.parametrize("text", ["The task took 3 tokens.", "skiing in the sk-y", "see https://host/a?b=c", ""])
def test_ordinary_text_stays(text: str) -> None:
    assert Redactor().shapes(text) == text


@given(st.text(min_size=6, max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_a_known_secret_never_gets_through(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.learn([secret])
    if secret not in MASK:
        assert secret not in redactor.known(before + secret + after).replace(MASK, "")


def test_data_is_masked_everywhere() -> None:
    redactor = Redactor()
    data = {"a": ["hunter2hunter2"], "hunter2hunter2": ("x hunter2hunter2", 3, None)}
    assert redactor.data(data) == data
    redactor.learn(["hunter2hunter2", None, "", "short"])
    assert redactor.data(data) == {"a": [MASK], MASK: [f"x {MASK}", 3, None]}
    output = redactor.output(RunOutput(text="is hunter2hunter2", data=data))
    assert "hunter2" not in output.model_dump_json()


def test_the_longer_of_two_nested_secrets_is_masked_whole() -> None:
    redactor = Redactor()
    redactor.learn(["secret-one", "secret-one-and-two"])
    assert redactor.known("x secret-one-and-two y") == f"x {MASK} y"


@pytest.mark.parametrize(
    "unit",
    ["a-", "a", "-", "eyJ-", "eyJabcdefgh", "secret-", "secret ", "api-key:", "-----BEGIN PRIVATE KEY-----", "://a:"],
)
def test_the_time_it_takes_grows_with_the_text_and_no_faster(unit: str) -> None:
    # It takes some ten milliseconds; the square of the length would take minutes.
    began = time.process_time()
    Redactor().shapes(unit * (200_000 // len(unit)))
    assert time.process_time() - began < 5


def test_a_private_key_is_masked_whole_and_so_is_one_that_was_cut() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC\n\nMIIabc+/=\n"
    whole = f"before {key}-----END RSA PRIVATE KEY----- after"
    assert Redactor().shapes(whole) == f"before {MASK} after"
    assert Redactor().shapes(f"before {key}") == f"before {MASK}"


@pytest.mark.parametrize(
    "text", ["--api-key=0123456789", "x --my-api-key: 0123456789", "{'token':1,'api_key':'0123456789'"]
)
def test_a_name_with_hyphens_is_read_from_its_beginning(text: str) -> None:
    assert "0123456789" not in Redactor().shapes(text)


@given(st.text(min_size=6, max_size=40), st.booleans())
def test_a_known_secret_is_found_within_json(secret: str, ascii_only: bool) -> None:
    redactor = Redactor()
    redactor.learn([secret])
    written = json.dumps({"a": f"<{secret}>"}, ensure_ascii=ascii_only)
    assert json.loads(redactor.known(written)) == {"a": f"<{MASK}>"}


def _streamed(stream: MaskedStream, pieces: list[str]) -> str:
    return "".join([*(stream.feed(piece) for piece in pieces), stream.flush()])


@given(
    st.lists(st.text("abc", min_size=6, max_size=9), max_size=4),
    st.lists(st.text("abc", max_size=8), max_size=12),
)
def test_a_stream_is_masked_as_its_whole_text_is(secrets: list[str], pieces: list[str]) -> None:
    redactor = Redactor()
    redactor.learn(secrets)
    stream = redactor.stream()
    whole = "".join(pieces)
    assert _streamed(stream, pieces) == redactor.known(whole)
    assert stream.found == any(secret in whole for secret in secrets)


def test_a_stream_holds_back_what_may_be_a_secret_and_nothing_else() -> None:
    redactor = Redactor()
    redactor.learn(["hunter2hunter2"])
    stream = redactor.stream()
    assert [stream.feed(piece) for piece in ("say hunt", "er, or hunter2", "hunter2", " now")] == [
        "say ",
        "hunter, or ",
        MASK,
        " now",
    ]
    assert stream.flush() == ""
