"""Secrets are masked: known ones by value, others by shape, and ordinary text stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_core.models import RunOutput
from mcp_core.security.redaction import MASK, Redactor

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
