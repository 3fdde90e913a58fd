import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_core.cache.base import Entry
from mcp_core.cache.codec import FORMAT_VERSION, decode, encode, read_head
from mcp_core.errors import CacheError
from tests.cache.helpers import entry, key_of, noise

pytestmark = [pytest.mark.cache, pytest.mark.unit]

TIMES = st.floats(0, 4e9)
ENTRIES = st.builds(
    Entry,
    key=st.text(min_size=1),
    body=st.binary(max_size=200) | st.builds(lambda piece: piece * 3000, st.binary(min_size=8, max_size=20)),
    content_type=st.text(),
    created_at=TIMES,
    expires_at=st.none() | TIMES,
    latency_seconds=TIMES,
    cost_usd=st.none() | st.decimals(0, 1000, allow_nan=False, places=9),
    run_id=st.text(),
    labels=st.dictionaries(st.text(), st.text(), max_size=3),
)


@given(ENTRIES)
def test_an_entry_survives(stored: Entry) -> None:
    assert decode(encode(stored)) == stored
    assert decode(encode(stored), stored.key) == stored


@given(ENTRIES, st.data())
def test_a_changed_byte_is_noticed(stored: Entry, data: st.DataObject) -> None:
    raw = bytearray(encode(stored))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert decode(bytes(raw)) is None


@pytest.mark.parametrize("body", [b"", b"short", b"words and words " * 5000])
def test_a_changed_bit_before_the_body_is_noticed_whatever_it_says(body: bytes) -> None:
    raw = encode(entry(body=body))
    for bit in range(8 * (len(raw) if len(raw) < 1000 else 200)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        assert decode(bytes(changed)) is None, f"bit {bit % 8} of byte {bit // 8}"


@given(ENTRIES, st.data())
def test_a_missing_end_is_noticed(stored: Entry, data: st.DataObject) -> None:
    raw = encode(stored)
    assert decode(raw[: data.draw(st.integers(0, len(raw) - 1))]) is None


@given(st.binary(max_size=300))
def test_anything_else_is_missing_not_an_error(raw: bytes) -> None:
    assert decode(raw) is None


def test_another_version_is_missing() -> None:
    raw = bytearray(encode(entry()))
    raw[4] = FORMAT_VERSION + 1
    assert decode(bytes(raw)) is None


def test_an_entry_under_the_wrong_key_is_missing() -> None:
    assert decode(encode(entry("a")), key_of("b")) is None


def test_long_text_is_compressed_and_short_or_dense_is_not() -> None:
    assert len(encode(entry(body=b"words and words " * 5000))) < 10_000
    assert b"words and words" in encode(entry(body=b"words and words " * 10))
    dense = noise(50_000)
    assert dense in encode(entry(body=dense))


@pytest.mark.parametrize(
    ("name", "value"),
    [("created_at", "yesterday"), ("created_at", True), ("cost_usd", "cheap"), ("labels", {"a": 1}), ("run_id", None)],
)
def test_a_header_of_wrong_types_is_missing(name: str, value: Any) -> None:
    assert decode(encode(entry(**{name: value}))) is None


def test_what_cannot_be_written_is_a_cache_error() -> None:
    with pytest.raises(CacheError, match="cannot be remembered"):
        encode(entry(latency_seconds=float("nan")))


def test_the_benchmark_of_compression_tells_what_it_measured() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/compression.py", "--json", "--rounds", "1"],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    figures = {figure["name"]: figure for figure in json.loads(done.stdout)["figures"]}
    left = figures["zlib 1, 64 kB: bytes left"]
    assert left["ok"] is True
    assert figures["zlib 6, 64 kB: bytes left"]["value"] < left["value"]
    assert figures["zlib 1, 16 kB: pack"]["unit"] == "ms"


@pytest.mark.parametrize("cost", ["NaN", "Infinity", "-Infinity"])
def test_a_cost_that_is_no_amount_makes_it_no_entry(cost: str) -> None:
    stored = encode(entry(cost_usd=Decimal(cost)))
    assert decode(stored) is None
    assert read_head(stored) is None


@pytest.mark.parametrize("moment", [-1.0, 1e15, 1e300])
def test_an_entry_from_outside_the_calendar_is_missing(moment: float) -> None:
    assert decode(encode(entry("a", created_at=moment))) is None
