"""What Jinja's own filters cost, counted before they run."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jinja2.exceptions import SecurityError

from mcp_core.types.template_budget import counted, spend, weigh
from mcp_core.types.template_texts import check_percent, grow, wide

__all__ = ["FORBIDDEN_FILTERS", "LIGHT_FILTERS", "count_filter"]

LIGHT_FILTERS = frozenset(
    {"length", "count", "first", "last", "default", "d", "attr", "items", "random", "safe", "abs", "reverse"}
)
"""Filters that do not look through what they are given."""

FORBIDDEN_FILTERS = frozenset({"urlize", "xmlattr", "striptags"})
"""Filters for web pages, whose work nothing bounds."""

_SLOW = frozenset(
    {"sort", "dictsort", "unique", "groupby", "sum", "min", "max", "pprint", "tojson", "urlencode", "wordwrap"}
)
_BY_ATTRIBUTE = frozenset({"sort", "unique", "groupby", "sum", "min", "max"})
_MOST_ITEMS = 10_000


def count_filter(
    name: str, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, tuple[Any, ...]]:
    """Count a filter; returns the value and the arguments to call it with.

    Raises:
        SecurityError: it would make or take too much.
    """
    letters = weigh(value)
    given = (*args, *kwargs.values())
    spend(letters=letters + sum(map(weigh, given)))
    if name in _SLOW:
        spend(_length(value) + (letters // 16 if isinstance(value, str) else 0))
    _check_attribute(name, args, kwargs)
    texts = [item for item in given if isinstance(item, str)]
    numbers = [item for item in given if isinstance(item, int)]
    longest = max(map(len, texts), default=0)
    if name == "center":
        grow(max([letters, *numbers]))
    elif name == "indent":
        lines = str(value).count("\n") + 1
        grow(letters + lines * max([4, longest, *numbers]))
    elif name == "replace":
        _count_replace(str(value), *texts[:2])
    elif name == "format":
        check_percent(str(value), dict(kwargs) if kwargs else args)
    elif name == "join":
        value = list(counted(value))
        grow(weigh(value) + longest * len(value))
    elif name == "wordwrap":
        _count_wrap(str(value), min([79, *numbers]), longest)
    elif name in ("truncate", "trim"):
        spend(letters=letters * longest // 64)
    elif name in ("batch", "slice"):
        for number in numbers:
            wide(number, _MOST_ITEMS)
    elif name in ("round", "tojson"):
        for number in numbers:
            wide(number, 100)
    elif name == "int" and letters > _MOST_ITEMS:
        raise SecurityError("read a number that is too large")
    elif name == "sum" and any(isinstance(item, list | tuple) for item in given):
        value = list(counted(value))
        spend(letters=len(value) * sum(map(_length, value)) // 64)
    elif name == "list" and isinstance(value, str):
        spend(letters // 4)
    return value, args


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list | tuple | Mapping | range) else 0


def _check_attribute(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """A name with very many parts is looked up part by part, for every item."""
    names: Iterable[Any] = [kwargs.get("attribute")]
    if name in _BY_ATTRIBUTE:
        names = [*names, *args]
    elif name in ("selectattr", "rejectattr"):
        names = [*names, *args[:1]]
    elif name == "join":
        names = [*names, *args[1:2]]
    for attribute in names:
        if isinstance(attribute, str) and attribute.count(".") + attribute.count(",") > 50:
            raise SecurityError("name an attribute of so many parts")


def _count_replace(text: str, old: str = "", new: str = "") -> None:
    found = text.count(old) if old else len(text) + 1
    grow(len(text) + found * max(0, len(new) - len(old)))


def _count_wrap(text: str, width: int, separator: int) -> None:
    words = 0
    lines = text.count("\n") + 1
    for word in _words(text):
        words += 1
        pieces = len(word) // max(1, width)
        lines += 1 + pieces
        # A word longer than the line is cut off piece by piece, and the rest copied each time.
        spend(letters=pieces * len(word) // 64)
    spend(words // 2)
    grow(len(text) + lines * max(1, separator))


def _words(text: str) -> Iterator[str]:
    return iter(text.split())
