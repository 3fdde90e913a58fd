import copy
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_core.cache.keys import cache_key, changed_parts, fingerprint, part_digests
from mcp_core.errors import ConfigurationError

pytestmark = [pytest.mark.cache, pytest.mark.unit]

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
PARTS = st.dictionaries(st.text(max_size=6), JSON, max_size=5)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything that is neither list nor object."""
    if isinstance(value, dict):
        return [found for name, item in value.items() for found in leaves(item, (*path, name))]
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in leaves(item, (*path, index))]
    return [path]


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def shuffled(value: Any, dice: random.Random) -> Any:
    if isinstance(value, dict):
        names = list(value)
        dice.shuffle(names)
        return {name: shuffled(value[name], dice) for name in names}
    return [shuffled(item, dice) for item in value] if isinstance(value, list) else value


def same_json(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return (type(one) in (int, float) and type(other) in (int, float) and one == other) or (
        type(one) is type(other) and one == other
    )


@given(PARTS, st.randoms(use_true_random=False))
def test_the_order_of_names_never_matters(parts: dict[str, Any], dice: random.Random) -> None:
    assert cache_key(shuffled(parts, dice)) == cache_key(parts)


@given(PARTS.filter(leaves), LEAVES, st.data())
def test_any_changed_leaf_changes_the_key(parts: dict[str, Any], new: Any, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(leaves(parts)))
    changed = copy.deepcopy(parts)
    at(changed, path[:-1])[path[-1]] = new
    assert (cache_key(changed) == cache_key(parts)) is same_json(at(parts, path), new)


@given(PARTS)
def test_a_number_is_the_same_as_int_and_float(parts: dict[str, Any]) -> None:
    def as_float(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: as_float(item) for name, item in value.items()}
        if isinstance(value, list):
            return [as_float(item) for item in value]
        return float(value) if type(value) is int and int(float(value)) == value else value

    assert cache_key(as_float(parts)) == cache_key(parts)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (0, False),
        (0, None),
        ("1", 1),
        ("", None),
        ([], {}),
        ([1, [2]], [[1], 2]),
        ("a.0", "a"),
        (1e300, 1e301),
    ],
)
def test_what_differs_in_json_differs(one: Any, other: Any) -> None:
    assert cache_key({"x": one}) != cache_key({"x": other})


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (0, -0.0), (10**22, 1e22), ((1, 2), [1, 2.0])])
def test_what_is_equal_in_json_is_equal(one: Any, other: Any) -> None:
    assert cache_key({"x": one, "text": "1.0 e+"}) == cache_key({"text": "1.0 e+", "x": other})


def test_text_that_looks_like_a_number_is_left_alone() -> None:
    assert cache_key({"x": "version 1.0"}) != cache_key({"x": "version 1"})


def test_a_key_is_stable_across_versions_of_the_program() -> None:
    parts: dict[str, Any] = {"body": {"model": "m", "temperature": 1.0, "text": "ä\ud800"}, "provider": "acme"}
    assert cache_key(parts) == "ae5fad658573160bdf6832d0556b0e9bb4b9d8ac19665ff99f0b331469e64bd6"


@pytest.mark.parametrize("bad", [math.nan, math.inf, b"bytes", {1, 2}, object()])
def test_what_json_cannot_say_is_refused(bad: Any) -> None:
    tried: list[dict[str, Any]] = [{"x": bad}, {"x": [1.0, {"y": bad}]}]
    for parts in tried:
        with pytest.raises(ConfigurationError, match="cannot be part of a cache key"):
            cache_key(parts)


def test_a_circle_is_refused() -> None:
    circle: dict[str, Any] = {"pi": 3.0}
    circle["self"] = circle
    with pytest.raises(ConfigurationError):
        cache_key(circle)


def test_read_only_mappings_are_objects() -> None:
    from types import MappingProxyType

    assert cache_key(MappingProxyType({"a": MappingProxyType({"b": 1.0})})) == cache_key({"a": {"b": 1}})


@given(PARTS)
def test_digests_are_short_and_follow_the_parts(parts: dict[str, Any]) -> None:
    digests = part_digests(parts)
    assert digests.keys() == parts.keys()
    assert all(len(digest) == 8 and int(digest, 16) >= 0 for digest in digests.values())
    assert changed_parts(digests, part_digests(copy.deepcopy(parts))) == []


def test_changed_parts_names_what_differs_is_new_or_is_gone() -> None:
    old = part_digests({"prompt": "a", "model": "m", "seed": 1})
    new = part_digests({"prompt": "b", "model": "m", "schema": {}})
    assert changed_parts(old, new) == ["prompt", "schema", "seed"]


def test_a_fingerprint_depends_on_secret_and_key_and_shows_neither() -> None:
    one = fingerprint("sk-secret", key=b"k1")
    assert one == fingerprint("sk-secret", key=b"k1")
    assert len({one, fingerprint("sk-secret", key=b"k2"), fingerprint("sk-secret2", key=b"k1")}) == 3
    assert len(one) == 16
    assert int(one, 16) >= 0


def test_a_fingerprint_without_key_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        fingerprint("sk-secret", key=b"")
    assert caught.value.field == "MCP_MASTER_KEY"
    assert "sk-secret" not in str(caught.value)
