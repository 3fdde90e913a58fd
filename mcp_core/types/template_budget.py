"""What one rendering of a template may cost: steps of evaluation and letters of text.

A step is about a microsecond of work, a letter a character that is made or copied. Both are counted before the work is
done, so that a template which asks for too much ends at once, whatever it does with the result.
"""

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from contextvars import ContextVar
from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.utils import Namespace

__all__ = [
    "MAX_LETTERS",
    "MAX_NUMBER_BITS",
    "MAX_RENDERED",
    "MAX_STEPS",
    "Budget",
    "counted",
    "current",
    "spend",
    "weigh",
]

MAX_RENDERED = 2_000_000
"""Longest text a template may render to, and longest value it may make on the way, in characters or items."""

MAX_STEPS = 500_000
"""Most steps of a rendering: one for a turn of a loop, four for a call or filter, one for 8 values looked through."""

MAX_LETTERS = 20 * MAX_RENDERED
"""Most characters one rendering may make or copy, the discarded ones included."""

MAX_NUMBER_BITS = 16_384
"""Longest whole number, in bits."""

_MOST_VALUES = 500_000
_OTHER_LETTERS = 24  # a number with a point, a moment, the name of an object


class Budget:
    """What is left to one rendering."""

    __slots__ = ("letters", "steps")

    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.letters = MAX_LETTERS

    def spend(self, steps: int = 0, letters: int = 0) -> None:
        """Count work that is about to be done. Raises `SecurityError` where too little is left for it."""
        self.steps -= steps
        self.letters -= letters
        if self.steps < 0:
            raise SecurityError(f"take more than {MAX_STEPS:,} steps")
        if self.letters < 0:
            raise SecurityError(f"make more than {MAX_LETTERS:,} characters of text")


current: ContextVar[Budget] = ContextVar("template_budget")
"""The budget of the rendering under way."""


def spend(steps: int = 0, letters: int = 0) -> None:
    """Count work of the rendering under way. Raises `SecurityError` where too little is left for it."""
    current.get().spend(steps, letters)


def weigh(value: Any) -> int:
    """How many letters `value` has when written out, with all it holds; looking through it costs steps.

    Raises:
        SecurityError: it is too large to be looked through.
    """
    if isinstance(value, str):
        return len(value)
    if value is None or isinstance(value, bool | float):
        return _OTHER_LETTERS
    letters = 0
    seen = 0
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        seen += 1
        if isinstance(item, str):
            letters += len(item) + 4
        elif isinstance(item, int):
            letters += item.bit_length() // 3 + 4
        elif isinstance(item, range):
            seen += len(item)
            letters += _OTHER_LETTERS
        else:
            letters += _OTHER_LETTERS
            held = _held(item)
            if seen + len(stack) + len(held) > _MOST_VALUES:
                raise SecurityError("look through a value that holds too much")
            stack.extend(held)
        if seen % 65_536 == 0:
            spend(8192)
    spend(seen % 65_536 // 8)
    return letters


def _held(item: Any) -> list[Any]:
    if isinstance(item, Mapping):
        return [*item.keys(), *item.values()]
    if isinstance(item, list | tuple | set | frozenset | KeysView | ValuesView | ItemsView):
        return [*item]
    if isinstance(item, Namespace):
        # Written out with all it holds, though it is no mapping.
        return _held(object.__getattribute__(item, "_Namespace__attrs"))
    return []


def counted(items: Iterable[Any]) -> Iterator[Any]:
    """`items`, each of which costs a step when it is taken."""
    budget = current.get()
    for item in items:
        budget.spend(1)
        yield item
