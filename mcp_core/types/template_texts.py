"""What a template may do with texts: every way a text can grow is counted before it does."""

import re
from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any

from jinja2 import Environment
from jinja2.exceptions import SecurityError
from jinja2.sandbox import SandboxedFormatter
from markupsafe import EscapeFormatter, Markup

from mcp_core.types.template_budget import MAX_RENDERED, counted, spend, weigh

__all__ = ["bound_text_method", "check_percent", "grow", "sandboxed_format", "wide"]

_LONGEST_WIDTH = 1000
_LONGEST_SPEC = 100
_PERCENT = re.compile(r"%(?:\([^()]*\))?[-+ #0]*(\*|[0-9]*)(?:\.(\*|[0-9]*))?[hlL]?(.|$)", re.DOTALL)
_LONG_NUMBER = re.compile(r"\d{4}")
# fmt: off
_SAME_SIZE = frozenset({
    "capitalize", "casefold", "count", "endswith", "find", "index", "isalnum", "isalpha", "isascii", "isdecimal",
    "isdigit", "isidentifier", "islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper", "lower",
    "lstrip", "partition", "removeprefix", "removesuffix", "rfind", "rindex", "rpartition", "rsplit", "rstrip",
    "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper",
})
# fmt: on

# They compare every letter with every other at worst.
_SLOW = frozenset({"rfind", "rindex", "rpartition", "rsplit", "lstrip", "rstrip", "strip"})


def grow(letters: int) -> None:
    """Count a value of that many letters or items that is about to be made. Raises `SecurityError`: too long."""
    if letters > MAX_RENDERED:
        raise SecurityError(f"make a value of more than {MAX_RENDERED:,} characters or items")
    spend(letters=letters)


def wide(width: Any, most: int = _LONGEST_WIDTH) -> None:
    """Refuse a width that makes any text long. Raises `SecurityError`."""
    if isinstance(width, int) and abs(width) > most:
        raise SecurityError(f"ask for a width above {most:,}")


def check_percent(text: str, values: Any) -> None:
    """Count what `text % values` makes. Raises `SecurityError`: a width is too large or not written in the text."""
    fields = 0
    for found in _PERCENT.finditer(text):
        if found[3] == "%":
            continue
        fields += 1
        if "*" in (found[1], found[2]) or found[3] == "(":
            raise SecurityError("format with a width that is not written in the text")
        for digits in (found[1], found[2]):
            if digits and len(digits) > 3:
                raise SecurityError(f"ask for a width above {_LONGEST_WIDTH:,}")
        spend(1, letters=int(found[1] or 0) + int(found[2] or 0))
    # A mapping's value may be put in by every field, a tuple's by one.
    grow(len(text) + weigh(values) * (fields if isinstance(values, Mapping) else 1))


def bound_text_method(text: str, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Count a call of a text's method; returns the arguments to call it with.

    Raises:
        SecurityError: the method is not for templates, or makes too much.
    """
    given = (*args, *kwargs.values())
    others = max((len(item) for item in given if isinstance(item, str)), default=0)
    if name in ("center", "ljust", "rjust", "zfill"):
        grow(max(len(text), *(item for item in given if isinstance(item, int)), 0))
    elif name == "expandtabs":
        sizes = [item for item in given if isinstance(item, int)]
        grow(len(text) + text.count("\t") * max([8, *sizes]))
    elif name == "replace" and len(args) >= 2:
        old, new = args[:2]
        if isinstance(old, str) and isinstance(new, str):
            grow(len(text) + (text.count(old) * max(0, len(new) - len(old)) if old else (len(text) + 1) * len(new)))
    elif name == "replace":
        raise SecurityError("call `replace` with anything but two texts in their order")
    elif name == "join" and len(args) == 1:
        items = list(counted(args[0]))
        grow(weigh(items) + len(text) * len(items))
        return (items,)
    elif name in ("format", "format_map"):
        spend(1 + len(text) // 4, letters=len(text))
    elif name in _SAME_SIZE:
        spend(1 + len(text) // 64, letters=len(text) // 4)
        if name in _SLOW:
            spend(letters=len(text) * others // 64)
    else:
        raise SecurityError(f"call `{name}` of a text")
    return args


class _Counted(Formatter):
    """Fields of `str.format`, counted."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        if _LONG_NUMBER.search(format_spec):
            raise SecurityError(f"ask for a width above {_LONGEST_WIDTH:,}")
        if len(format_spec) > _LONGEST_SPEC:
            raise SecurityError(f"describe a format in more than {_LONGEST_SPEC} characters")
        spend(1, letters=_LONGEST_WIDTH if any(map(str.isdigit, format_spec)) else 0)
        grow(weigh(value))
        return super().format_field(value, format_spec)


class _TextFormatter(_Counted, SandboxedFormatter):
    pass


class _MarkupFormatter(_Counted, SandboxedFormatter, EscapeFormatter):
    pass


def sandboxed_format(environment: Environment, text: str, *, is_map: bool) -> Callable[..., str]:
    """`text.format`, or `text.format_map`, in the sandbox and counted."""
    if isinstance(text, Markup):
        formatter: SandboxedFormatter = _MarkupFormatter(environment, escape=text.escape)
    else:
        formatter = _TextFormatter(environment)

    def format_text(*args: Any, **kwargs: Any) -> str:
        if is_map:
            (kwargs,) = args
            args = ()
        bound_text_method(text, "format", (), {})
        return type(text)(formatter.vformat(text, args, kwargs))

    return format_text
