"""However the network cuts the bytes, the events are the same."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_core.providers.failures import AnswerError
from mcp_core.providers.sse import EventDecoder, decode_events

pytestmark = pytest.mark.unit

LINES = st.one_of(
    st.text(alphabet="aä€😀 :\t", max_size=12).map(lambda text: f"data:{text}".encode()),
    st.text(alphabet="xyz ", max_size=8).map(lambda text: f"data: {text}".encode()),
    st.sampled_from([b"", b"", b": keep-alive", b"event: message", b"id: 7", b"retry: 10", b"data", b"datax", b"junk"]),
    st.binary(max_size=8).map(lambda raw: b"data: " + raw.replace(b"\r", b"").replace(b"\n", b"")),
)


@given(
    lines=st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=20),
    cuts=st.lists(st.integers(0, 400), max_size=30),
    bom=st.booleans(),
)
def test_any_split_gives_the_same_events(lines: list[tuple[bytes, bytes]], cuts: list[int], bom: bool) -> None:
    body = (b"\xef\xbb\xbf" if bom else b"") + b"".join(line + end for line, end in lines)
    at = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    split = [body[a:b] for a, b in itertools.pairwise(at)]
    whole = list(decode_events([body]))
    assert list(decode_events(split)) == whole
    assert list(decode_events([body[i : i + 1] for i in range(len(body))])) == whole


def test_what_an_event_is() -> None:
    body = (
        b": comment\r\nevent: x\r\nid: 1\r\ndata: one\r\n\r\n"
        b"\n\n\n"  # empty events are none
        b"data:two\ndata:  three\n\n"
        b"data\r\r"
        b"data: caf\xc3\xa9 \xff\n\n"
        b"data: unfinished, but its line is whole\n"
        b"data: not even that"
    )
    assert list(decode_events([body])) == [
        "one",
        "two\n three",
        "",
        "café \ufffd",
        "unfinished, but its line is whole",
    ]


def test_events_come_as_soon_as_they_are_complete() -> None:
    decoder = EventDecoder()
    assert decoder.feed(b"data: a\r\n\r") == ["a"]
    assert decoder.feed(b"\ndata: b\r\n") == []
    assert decoder.feed(b"\r") == ["b"]
    assert decoder.feed(b"\n") == []
    assert decoder.close() == []


@pytest.mark.parametrize("body", [b"data: " + b"x" * 200, b"data: 1234567890\n" * 20, b"x" * 200])
def test_an_event_without_end_is_refused(body: bytes) -> None:
    decoder = EventDecoder(max_event_bytes=100)
    pieces = [body[start : start + 7] for start in range(0, len(body), 7)]
    with pytest.raises(AnswerError, match=r"more than 0\.0001 MB"):
        list(map(decoder.feed, pieces))


def test_many_small_events_have_no_limit_together() -> None:
    decoder = EventDecoder(max_event_bytes=100)
    assert sum(len(decoder.feed(b"data: 1234567890\n\n")) for _ in range(100)) == 100
