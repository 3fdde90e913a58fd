"""Hits and pins beside a cache that has no place of its own for them."""

import json
import threading
from pathlib import Path

import pytest

from mcp_core.cache.notes import Notes
from tests.cache.helpers import said

__all__ = ["said"]

pytestmark = [pytest.mark.cache, pytest.mark.unit]


def test_two_processes_add_up_their_hits(tmp_path: Path) -> None:
    one, other = Notes(tmp_path / "below" / "notes.json"), Notes(tmp_path / "below" / "notes.json")
    for notes in (one, other, one):
        notes.hit("a")
    other.hit("b")
    one.flush()
    assert other.hits() == {"a": 3, "b": 1}
    assert one.hits() == {"a": 3, "b": 1}
    one.pin("a")
    assert other.pinned() == {"a"}
    other.gone("a")
    assert one.pinned() == frozenset()
    assert one.hits() == {"b": 1}
    one.keep({"c"})
    assert other.hits() == {}


def test_many_hits_are_written_by_themselves(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    notes = Notes(path)
    notes.hit("a")
    assert not path.exists()
    for number in range(600):
        notes.hit(str(number))
    assert len(json.loads(path.read_text())["hits"]) >= 512
    assert Notes(path).hits()["a"] == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"hits": 3}', '{"hits": {"a": "x"}, "pinned": []}'])
def test_a_damaged_file_is_said_and_begun_anew(tmp_path: Path, content: str, said: list[str]) -> None:
    path = tmp_path / "notes.json"
    path.write_text(content)
    notes = Notes(path)
    assert notes.pinned() == frozenset()
    assert any("cannot be read" in line for line in said)
    notes.pin("a")
    assert Notes(path).pinned() == {"a"}


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path, said: list[str]) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    notes = Notes(blocked / "notes.json")
    notes.hit("a")
    notes.flush()
    notes.pin("a")
    assert any("were not noted" in line for line in said)


def test_threads_count_every_hit(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "notes.json")

    def work() -> None:
        for number in range(300):
            notes.hit("a")
            if number % 100 == 0:
                notes.flush()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notes.hits() == {"a": 1500}
    assert Notes(tmp_path / "notes.json").hits() == {"a": 1500}
