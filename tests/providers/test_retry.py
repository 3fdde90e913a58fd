"""When to ask again, and how long to wait first."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_core.errors import APIError
from mcp_core.providers.base import CallScope
from mcp_core.providers.failures import Target, retry_after_seconds
from mcp_core.providers.retry import backoff_seconds, with_retries
from tests.providers.conftest import Ears

pytestmark = pytest.mark.unit

TARGET = Target("acme", "m", "http://acme.example/v1")


@given(failures=st.integers(1, 10_000), spread=st.floats(0, 1))
def test_waits_grow_up_to_a_limit(failures: int, spread: float) -> None:
    wait = backoff_seconds(failures, None, lambda: spread)
    assert 0 <= wait <= min(20, 0.5 * 2 ** min(failures - 1, 16))
    assert backoff_seconds(failures, None, lambda: 1.0) >= wait


@given(asked=st.floats(0, 60), spread=st.floats(0, 1))
def test_the_server_is_obeyed(asked: float, spread: float) -> None:
    wait = backoff_seconds(1, asked, lambda: spread)
    assert asked <= wait <= min(60, asked * 1.1)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("4000", 60.0),
        ("inf", 60.0),
        ("nan", None),
        ("", None),
        (None, None),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 9999 07:28:00 GMT", 60.0),
        ("Wed, 21 Oct 2015 07:28:00", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header) == seconds


def test_retry_after_as_a_date() -> None:
    seconds = retry_after_seconds(format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True))
    assert seconds is not None
    assert 25 < seconds <= 30


class Failing:
    """Fails as told, then gives 7."""

    def __init__(self, *errors: APIError) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return 7


def passing(**fields: float) -> APIError:
    return APIError("It failed.", transient=True, retry_after=0.0, **fields)  # type: ignore[arg-type]


def test_every_try_is_recorded() -> None:
    result, attempts = with_retries(Failing(passing(status=500), passing()), CallScope(max_retries=2), TARGET)
    assert result == 7
    assert [(a.number, a.status, a.error) for a in attempts] == [
        (1, 500, "It failed."),
        (2, None, "It failed."),
        (3, 200, None),
    ]
    assert {(a.provider, a.model) for a in attempts} == {("acme", "m")}
    assert all(a.duration_seconds >= 0 for a in attempts)
    assert attempts[0].started_at <= attempts[1].started_at <= attempts[2].started_at


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_so_many_repeats_and_no_more(retries: int) -> None:
    attempt = Failing(*[passing() for _ in range(9)])
    with pytest.raises(APIError) as caught:
        with_retries(attempt, CallScope(max_retries=retries), TARGET)
    assert attempt.calls == len(caught.value.attempts) == retries + 1


def test_a_mended_failure_is_repeated_once_beside_the_count() -> None:
    attempt = Failing(passing(), passing(), passing())
    with pytest.raises(APIError):
        with_retries(attempt, CallScope(max_retries=0), TARGET, revive=lambda _: True)
    assert attempt.calls == 2


def test_repeats_are_told(ears: Ears) -> None:
    with_retries(Failing(passing()), CallScope(max_retries=1, emit=ears), TARGET, shown=lambda: True)
    assert ears.heard == [("retry", {"attempt": 1, "wait_seconds": 0.0, "error": "It failed.", "restart": True})]
