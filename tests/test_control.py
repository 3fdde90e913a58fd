"""The cancel token: the first reason wins, callbacks unblock, sleeps end."""

import threading
import time

import pytest

from mcp_core.control import CancelReason, CancelToken
from mcp_core.errors import RunCancelledError, RunInterruptedError, RunTimeoutError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("reason", "error"),
    [("cancelled", RunCancelledError), ("timed_out", RunTimeoutError), ("shutdown", RunInterruptedError)],
)
def test_check_raises_the_error_of_the_first_reason(reason: CancelReason, error: type[Exception]) -> None:
    token = CancelToken()
    token.check()
    assert token.cancel(reason)
    assert not token.cancel("cancelled")
    with pytest.raises(error):
        token.check()


def test_callbacks_are_called_inside_the_block_only() -> None:
    token = CancelToken()
    called: list[str] = []
    with token.on_cancel(lambda: called.append("before")):
        pass
    with token.on_cancel(lambda: called.append("inside")):
        token.cancel()
    with token.on_cancel(lambda: called.append("late")):
        pass
    assert called == ["inside", "late"]


def test_a_sleep_ends_when_cancelled() -> None:
    token = CancelToken()
    ended: list[BaseException] = []

    def sleep() -> None:
        try:
            token.sleep(3600)
        except RunCancelledError as error:
            ended.append(error)

    sleeper = threading.Thread(target=sleep, daemon=True)
    sleeper.start()
    token.cancel()
    sleeper.join(60)
    assert len(ended) == 1


def test_remaining_counts_down_to_zero() -> None:
    assert CancelToken().remaining() is None
    assert CancelToken(time.monotonic() - 5).remaining() == 0
    left = CancelToken(time.monotonic() + 100).remaining()
    assert left is not None
    assert 90 < left <= 100
