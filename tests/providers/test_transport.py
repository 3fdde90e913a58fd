"""Failures below HTTP that no server of a test can bring about."""

import errno
import socket
import ssl

import pytest
import requests
import urllib3.exceptions as urllib3_errors

from mcp_core.errors import APIError, ConfigurationError
from mcp_core.providers.failures import Target
from mcp_core.providers.redact import excerpt, quote
from mcp_core.providers.transport import transport_failure

pytestmark = pytest.mark.unit

KEY = "sk-proj-canary0123456789abcdefABCDEF0123456789"
TARGET = Target("acme", "m", "https://acme.example/v1", "ACME_KEY", KEY)


def wrapped(error: Exception) -> Exception:
    """`error` as it comes out of requests: inside urllib3's, inside its own."""
    inner = urllib3_errors.MaxRetryError(None, "/v1", urllib3_errors.ProtocolError("Connection aborted.", error))  # type: ignore[arg-type]
    return requests.ConnectionError(inner)


@pytest.mark.parametrize(
    ("error", "said", "transient"),
    [
        (wrapped(OSError(errno.ENETUNREACH, "Network is unreachable")), "cannot be reached", True),
        (wrapped(OSError(errno.EHOSTUNREACH, "No route to host")), "cannot be reached", True),
        (wrapped(ConnectionResetError(104, "reset")), "broke off", True),
        (wrapped(BrokenPipeError(32, "pipe")), "broke off", True),
        (wrapped(socket.gaierror(socket.EAI_AGAIN, "try again")), "cannot be resolved", True),
        (wrapped(socket.gaierror(socket.EAI_NONAME, "unknown")), "cannot be resolved", False),
        (wrapped(ssl.SSLError(1, "wrong version number")), "secure connection", False),
        (wrapped(ssl.SSLEOFError(8, "EOF")), "broke off", True),
        (requests.RequestException(f"odd, with {KEY}"), "could not be asked (RequestException)", False),
        (OSError(errno.ENOSPC, "full"), "could not be asked (OSError)", False),
    ],
    ids=lambda value: None,
)
def test_a_sentence_for_each(error: Exception, said: str, transient: bool) -> None:
    found = transport_failure(error, TARGET, 5.0)
    assert isinstance(found, APIError)
    assert said in found.message
    assert "acme/m" in found.message
    assert "acme.example" in found.message
    assert found.hint
    assert found.transient is transient
    assert KEY not in str(found)


def test_what_cannot_even_be_sent_is_a_matter_of_configuration() -> None:
    found = transport_failure(ValueError(f"Invalid header value b'Bearer {KEY}'"), TARGET, 5.0)
    assert isinstance(found, ConfigurationError)
    assert KEY not in str(found)


def test_an_error_that_is_its_own_cause_is_no_endless_loop() -> None:
    error = requests.ConnectionError("a")
    error.__context__ = wrapped(error)
    assert isinstance(transport_failure(error, TARGET, 5.0), APIError)


def test_quotes_are_short_plain_and_without_keys() -> None:
    said = quote(f"<b>No</b>\x1b[31m {KEY}\n\n<script>alert(1)</script> " + "x" * 500, TARGET.secrets)
    assert said.startswith("No [31m [redacted] xxx")
    assert len(said) == 200
    assert said.endswith("…")


def test_a_key_across_the_limit_of_an_excerpt_is_masked() -> None:
    body = b"x" * 90 + KEY.encode() + b"y" * 100
    shown = excerpt(body, KEY, limit=100)
    assert "sk-proj" not in shown
    assert shown.endswith(f"({len(body)} bytes in all)")
    assert excerpt(b"short", KEY, limit=100) == "short"
