from datetime import timedelta
from typing import Any

import pytest

from mcp_core.models import RunEvent, utcnow
from mcp_core.ui.follow import Following

pytestmark = pytest.mark.unit

BEGAN = utcnow()


def event(seq: int, kind: str, **data: Any) -> RunEvent:
    return RunEvent(run_id="r", seq=seq, kind=kind, at=BEGAN + timedelta(seconds=seq), data=data)


def test_tokens_add_up_and_overlaps_do_no_harm() -> None:
    reading = Following()
    events = [event(1, "queued"), event(2, "token", text="It "), event(3, "token", text="rains."), event(4, "token")]
    reading.take(events[:3])
    assert (reading.text, reading.tokens, reading.token_seconds) == ("It rains.", 2, 1.0)
    reading.take(events)
    assert (reading.text, reading.tokens, reading.seq) == ("It rains.", 2, 4)


def test_there_is_no_speed_before_the_second_token() -> None:
    reading = Following()
    reading.take([event(1, "token", text="a")])
    assert reading.token_seconds is None


def test_a_wait_is_told() -> None:
    reading = Following()
    reading.take([event(1, "wait", seconds=3.0, message="This call waits.")])
    assert reading.note == "This call waits."


def test_another_model_begins_the_answer_anew() -> None:
    reading = Following()
    reading.take([event(1, "token", text="half"), event(2, "fallback", error="down", to="beta/b")])
    assert (reading.text, reading.retries) == ("", [{"error": "down", "to": "beta/b"}])


def test_a_retry_begins_the_answer_anew() -> None:
    reading = Following()
    reading.take([event(1, "token", text="half"), event(2, "retry", error="cut", wait_seconds=1.0)])
    assert (reading.text, reading.tokens, len(reading.retries)) == ("", 0, 1)
    reading.take([event(3, "token", text="whole")])
    assert reading.text == "whole"


def test_each_sample_has_an_answer_of_its_own() -> None:
    reading = Following()
    reading.take([event(1, "progress", done=0, total=2), event(2, "token", text="one")])
    reading.take([event(3, "progress", done=1, total=2), event(4, "token", text="two")])
    assert reading.text == "two"
    assert reading.progress == {"done": 1, "total": 2}


def test_cache_and_notes_are_kept() -> None:
    reading = Following()
    reading.take([event(1, "cache", outcome="miss"), event(2, "log", message="cell 3")])
    assert reading.cache == {"outcome": "miss"}
    assert reading.note == "cell 3"


@pytest.mark.parametrize(("count", "tokens"), [(7, 8), (1, 2), (0, 2), ("many", 2), (None, 2)])
def test_an_event_that_joins_tokens_counts_as_many(count: object, tokens: int) -> None:
    reading = Following()
    reading.take([event(1, "token", text="It "), event(2, "token", text="rains all day", count=count)])
    assert reading.tokens == tokens
