"""A run's event log: ordered, followed live, silent once closed, coalesced for the store."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_core.api.events import EventLog

pytestmark = pytest.mark.unit


def test_events_are_numbered_and_nothing_comes_after_the_end() -> None:
    log = EventLog("r")
    log.append("queued")
    log.append("token", {"text": "a"})
    log.close()
    log.append("token", {"text": "late"})
    assert [(e.seq, e.kind) for e in log.follow()] == [(1, "queued"), (2, "token")]
    assert [e.kind for e in log.after(1)] == ["token"]
    assert [e.kind for e in log.durable()] == ["queued"]


def test_a_follower_gets_everything_while_it_comes() -> None:
    log = EventLog("r")
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.extend(e.data["text"] for e in log.follow()))
    reader.start()
    for index in range(200):
        log.append("token", {"text": str(index)})
    log.close()
    reader.join(60)
    assert seen == [str(index) for index in range(200)]


@given(st.lists(st.one_of(st.text(max_size=5), st.none()), max_size=30), st.integers(0, 30))
def test_joined_tokens_lose_nothing(texts: list[str | None], cut: int) -> None:
    log = EventLog("r")
    collected = []
    for index, text in enumerate(texts):
        if index == cut:
            collected += log.unstored()
        log.append("progress" if text is None else "token", {} if text is None else {"text": text})
    collected += log.unstored()
    assert log.unstored() == []
    assert "".join(e.data.get("text", "|") for e in collected) == "".join("|" if t is None else t for t in texts)
    assert [e.seq for e in collected] == sorted({e.seq for e in collected})
    if texts:
        assert collected[-1].seq == len(texts)
