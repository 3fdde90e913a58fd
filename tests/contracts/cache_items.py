"""What every cache answers to a person who searches it, counts, pins and forgets."""

import json
import time
from decimal import Decimal

import pytest

from mcp_core.cache.base import Cache, CacheSize, EntryFilter, Order
from mcp_core.cache.ledger import Ledger
from tests.cache.helpers import entry, key_of, noise

__all__ = ["ItemsContract", "LastingItemsContract"]


def _labels(**changes: str) -> dict[str, str]:
    return {"type": "llm_prompt", "provider": "acme", "model": "acme/large", "task": "Greet", **changes}


def _fill(cache: Cache) -> None:
    """Three entries: old and small, new and large, and one of another provider in between."""
    now = time.time()
    cache.set(entry("old", b"x" * 100, created_at=now - 9000, labels=_labels(), latency_seconds=1.0))
    cache.set(
        entry(
            "other",
            noise(3000, 1),
            created_at=now - 500,
            labels=_labels(provider="umbra", model="umbra/small", task="Sum up"),
            latency_seconds=5.0,
            about=json.dumps({"messages": "Wie hieß die Straße?", "temperature": "0.5"}),
        )
    )
    cache.set(entry("new", noise(9000, 2), created_at=now - 10, labels=_labels(), latency_seconds=1.0))


def _keys(cache: Cache, wanted: EntryFilter, order: Order = "newest") -> list[str]:
    return [item.key for item in cache.find(wanted, order=order)]


class ItemsContract:
    """Mixed into the contract of all caches, which brings the fixtures `cache` and `small`."""

    def test_a_list_shows_all_but_the_answer(self, cache: Cache) -> None:
        stored = entry(labels=_labels(), cost_usd=Decimal("0.25"), latency_seconds=2.0, expires_at=4e9)
        cache.set(stored)
        (item,) = cache.find()
        assert (item.key, item.created_at, item.expires_at) == (stored.key, stored.created_at, stored.expires_at)
        assert (item.cost_usd, item.latency_seconds, item.run_id) == (Decimal("0.25"), 2.0, "run-1")
        assert (dict(item.labels), item.content_type) == (_labels(), "application/json")
        assert (item.hits, item.pinned, item.saved_usd, item.saved_seconds) == (0, False, Decimal(0), 0.0)
        assert item.size_bytes > 0
        assert cache.item(stored.key) == item
        assert cache.item(key_of("nobody")) is None

    @pytest.mark.parametrize(
        ("order", "expected"),
        [
            ("newest", ["new", "other", "old"]),
            ("oldest", ["old", "other", "new"]),
            ("largest", ["new", "other", "old"]),
            ("useful", ["other", "new", "old"]),
        ],
    )
    def test_entries_are_listed_in_every_order_and_in_pages(
        self, cache: Cache, order: Order, expected: list[str]
    ) -> None:
        _fill(cache)
        for name, uses in (("new", 2), ("other", 1)):
            for _ in range(uses):
                assert cache.get(key_of(name)) is not None
        keys = [key_of(name) for name in expected]
        assert _keys(cache, EntryFilter(), order) == keys
        paged = [cache.find(order=order, limit=1, offset=at)[0].key for at in range(3)]
        assert paged == keys
        assert cache.find(limit=0) == []
        assert cache.find(offset=3) == []

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (EntryFilter(), {"new", "other", "old"}),
            (EntryFilter(provider="umbra"), {"other"}),
            (EntryFilter(model="acme/large", task="Greet", type="llm_prompt"), {"new", "old"}),
            (EntryFilter(task="greet"), set()),
            (EntryFilter(older_than_seconds=100), {"other", "old"}),
            (EntryFilter(older_than_seconds=1000, provider="umbra"), set()),
            (EntryFilter(never_hit=True), {"other", "new"}),
            (EntryFilter(pinned=True), {"new"}),
            (EntryFilter(pinned=False), {"other", "old"}),
            (EntryFilter(text="STRASSE"), {"other"}),
            (EntryFilter(text="umbra/S"), {"other"}),
            (EntryFilter(text="strasse", provider="acme"), set()),
            (EntryFilter(text=key_of("old")[:12]), {"old"}),
            (EntryFilter(text="'; DROP TABLE entries; --"), set()),
        ],
    )
    def test_a_filter_means_the_same_to_all_that_take_one(
        self, cache: Cache, wanted: EntryFilter, expected: set[str]
    ) -> None:
        _fill(cache)
        assert cache.get(key_of("old")) is not None
        assert cache.pin(key_of("new")) is True
        keys = {key_of(name) for name in expected}
        assert set(_keys(cache, wanted)) == keys
        assert {item.key for item in cache.items(wanted)} == keys
        assert cache.count(wanted).entries == len(keys)
        assert cache.count(wanted).size_bytes == sum(item.size_bytes for item in cache.items(wanted))
        assert cache.forget(wanted) == len(keys)
        assert {item.key for item in cache.find()} == {key_of(name) for name in ("new", "other", "old")} - keys
        assert cache.size().entries == 3 - len(keys)
        assert all(cache.get(key) is None for key in keys)

    def test_hits_are_counted_and_looking_is_none(self, cache: Cache) -> None:
        cache.set(entry("a", cost_usd=Decimal("0.5"), latency_seconds=2.0))
        cache.set(entry("b"))
        for _ in range(3):
            assert cache.get(key_of("a")) is not None
            assert cache.peek(key_of("b")) is not None
        cache.touch(key_of("a"))
        cache.touch(key_of("nobody"))
        (item,) = [item for item in cache.items() if item.key == key_of("a")]
        assert (item.hits, item.saved_seconds, item.saved_usd) == (4, 8.0, Decimal("2.0"))
        assert _keys(cache, EntryFilter(never_hit=True)) == [key_of("b")]
        assert cache.peek(key_of("nobody")) is None

    def test_another_answer_has_no_hits_yet_but_stays_pinned(self, cache: Cache) -> None:
        cache.set(entry("a"))
        assert cache.get(key_of("a")) is not None
        assert cache.pin(key_of("a"))
        cache.set(entry("a", b"another"))
        (item,) = cache.find()
        assert (item.hits, item.pinned) == (0, True)

    def test_a_pinned_entry_is_never_pushed_out(self, small: Cache) -> None:
        small.set(entry("kept", noise(10_000, 99)))
        assert small.pin(key_of("kept")) is True
        for number in range(30):
            small.set(entry(number, noise(10_000, number), created_at=1_700_000_000.0 + number))
        assert small.peek(key_of("kept")) is not None
        assert small.peek(key_of(0)) is None
        assert small.size().size_bytes <= 200_000
        assert small.pin(key_of("kept"), pinned=False) is True
        for number in range(30, 60):
            small.set(entry(number, noise(10_000, number), created_at=1_700_000_000.0 + number))
        assert small.peek(key_of("kept")) is None

    def test_where_pinned_ones_fill_the_cache_a_new_one_is_not_kept(self, small: Cache) -> None:
        for number in range(9):
            small.set(entry(number, noise(20_000, number)))
            assert small.pin(key_of(number))
        small.set(entry("new", noise(30_000, 77)))
        assert small.peek(key_of("new")) is None
        assert small.size().size_bytes <= 200_000
        assert small.size().entries == 9
        assert small.count(EntryFilter(pinned=True)).entries == small.pins() == 9

    def test_a_pinned_entry_that_grows_stays_even_past_the_cap(self, small: Cache) -> None:
        for number in range(9):
            small.set(entry(number, noise(20_000, number)))
            assert small.pin(key_of(number))
        small.set(entry(0, noise(60_000, 77)))
        found = small.peek(key_of(0))
        assert found is not None
        assert found.body == noise(60_000, 77)
        assert small.size().entries == small.pins() == 9

    def test_a_pin_goes_with_its_entry(self, cache: Cache) -> None:
        assert cache.pin(key_of("nobody")) is False
        cache.set(entry("a"))
        assert cache.pin(key_of("a")) is True
        assert cache.delete(key_of("a")) is True
        cache.set(entry("a"))
        assert cache.find()[0].pinned is False
        assert cache.pins() == 0
        cache.pin(key_of("a"))
        assert cache.pins() == 1
        assert cache.clear() == 1
        assert cache.pins() == 0
        cache.set(entry("a"))
        assert cache.find()[0].pinned is False

    def test_what_is_pushed_out_is_counted_by_its_labels(self, small: Cache) -> None:
        small.ledger = Ledger()
        for number in range(30):
            small.set(entry(number, noise(10_000, number), labels=_labels(task=f"Task {number % 2}")))
        rows = small.ledger.drain()
        assert sum(row.evicted for row in rows) == small.evictions > 0
        if small.name not in ("plain", "awaited"):  # a plugin's own need not say which ones they were
            assert {row.labels[3] for row in rows} == {"Task 0", "Task 1"}
            assert sum(row.evicted_bytes for row in rows) >= 10_000 * small.evictions
        assert small.ledger.drain() == []

    def test_the_parts_of_a_key_come_back(self, cache: Cache) -> None:
        stored = entry(about=json.dumps({"model": "large", "messages": "Grüße 🗼"}))
        cache.set(stored)
        found = cache.get(stored.key)
        assert found == stored
        assert found is not None
        assert found.parts() == {"model": "large", "messages": "Grüße 🗼"}

    def test_an_empty_cache_has_nothing_to_show(self, cache: Cache) -> None:
        assert cache.find() == []
        assert list(cache.items()) == []
        assert cache.count() == CacheSize(0, 0)
        assert cache.forget(EntryFilter()) == 0

    def test_a_lock_is_granted_to_whoever_is_alone(self, cache: Cache) -> None:
        with cache.lock(key_of("a")) as attempt:
            assert attempt() is True
            assert attempt() is True
        with cache.lock(key_of("a")) as attempt:
            assert attempt() is True


class LastingItemsContract(ItemsContract):
    """Of those whose entries outlive the object; `make` is the contract's."""

    def make(self, max_bytes: int) -> Cache:
        raise NotImplementedError

    def test_hits_and_pins_outlive_the_object(self) -> None:
        first = self.make(1_000_000)
        first.set(entry())
        for _ in range(5):
            first.get(key_of("a"))
        assert first.pin(key_of("a"))
        first.close()
        second = self.make(1_000_000)
        assert second.get(key_of("a")) is not None
        (item,) = second.find()
        assert (item.hits, item.pinned) == (6, True)
        second.close()

    def test_hits_are_seen_by_others_once_they_are_written_down(self) -> None:
        one, other = self.make(1_000_000), self.make(1_000_000)
        one.set(entry())
        for _ in range(3):
            one.get(key_of("a"))
        one.flush()
        assert other.find()[0].hits == 3
        one.close()
        other.close()

    def test_two_objects_exclude_each_other_from_a_key_alone(self) -> None:
        one, other = self.make(1_000_000), self.make(1_000_000)
        with one.lock(key_of("a")) as first, other.lock(key_of("a")) as second, other.lock(key_of("b")) as third:
            assert first() is True
            assert second() is False
            assert third() is True
            assert second() is False
        with other.lock(key_of("a")) as attempt:
            assert attempt() is True
        one.close()
        other.close()
