import pytest

from mcp_core.errors import ConfigurationError
from mcp_core.store import NEWEST_FIRST, SORTS, RunSort
from mcp_core.store.sorting import _KEYS, _SURE

pytestmark = pytest.mark.unit


def test_every_order_reads_as_it_is_written() -> None:
    for name in SORTS:
        for descending in (True, False):
            sort = RunSort(name, descending)
            assert RunSort.parse(str(sort)) == sort
            assert sort.reversed.reversed == sort
    assert RunSort.parse("created") == NEWEST_FIRST
    assert RunSort.parse("task") == RunSort("task", False)
    assert str(RunSort("cost")) == "cost"
    assert str(RunSort("cost", False)) == "cost:asc"


@pytest.mark.parametrize("text", ["", "price", "cost:", "cost:up", "COST", "cost:asc:asc", ":asc"])
def test_another_order_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"allowed are created, .* each also with :asc or :desc") as caught:
        RunSort.parse(text)
    assert repr(text) in str(caught.value)
    assert caught.value.field == "sort"


def test_every_order_is_one_the_database_knows() -> None:
    assert set(_KEYS) == set(SORTS)
    for name, (key, _) in _KEYS.items():
        if name in _SURE:
            assert key.nullable is False
