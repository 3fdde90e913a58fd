"""Prompt templates: Jinja2 in a sandbox, strict about what is undefined, bounded in size."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, UndefinedError, meta
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mcp_core.errors import ConfigurationError

__all__ = ["MAX_RENDERED", "find_variables", "render"]

_EVALUATION_ERRORS = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
)

MAX_RENDERED = 2_000_000
"""Longest text a template may render to, in characters."""


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with repetition and powers bounded: `"a" * 10**12` would take the machine's memory."""

    intercepted_binops = frozenset(["*", "**"])

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and (abs(left) > 10_000 or abs(right) > 64):
            raise SecurityError("a power is too large")
        if operator == "*":
            for value, times in ((left, right), (right, left)):
                repeated = isinstance(value, str | list | tuple) and isinstance(times, int)
                if repeated and len(value) * times > MAX_RENDERED:
                    raise SecurityError("a repetition is too long")
        return super().call_binop(context, operator, left, right)


_environment = _Environment(undefined=StrictUndefined, keep_trailing_newline=False, autoescape=False)


@lru_cache(maxsize=256)
def _compiled(source: str) -> tuple[Template, tuple[str, ...]]:
    tree = _environment.parse(source)
    found = meta.find_undeclared_variables(tree) - set(_environment.globals)
    in_order = sorted(found, key=lambda name: (_position(source, name), name))
    return _environment.from_string(tree), tuple(in_order)


def _compile(source: str, field: str) -> tuple[Template, tuple[str, ...]]:
    try:
        return _compiled(source)
    except TemplateSyntaxError as error:
        raise ConfigurationError(
            f"The {field} has an error in line {error.lineno}: {error.message}.",
            hint="Variables are written {{ name }}, blocks {% if name %}...{% endif %}.",
            field=field,
        ) from None
    except (RecursionError, MemoryError, OverflowError) as error:
        raise ConfigurationError(f"The {field} is too deeply nested: {type(error).__name__}.", field=field) from None


def find_variables(source: str, *, field: str = "template") -> list[str]:
    """Names the template takes from outside, in the order of their first appearance.

    Raises:
        ConfigurationError: the template has a syntax error; names the line.
    """
    _, found = _compile(source, field)
    return list(found)


def _position(source: str, name: str) -> int:
    match = re.search(rf"\b{re.escape(name)}\b", source)
    return match.start() if match else len(source)


def render(
    source: str, variables: Mapping[str, Any], *, field: str = "template", check: Callable[[], None] | None = None
) -> str:
    """The template with its variables put in.

    Args:
        check: called for every piece rendered; raises to stop a template that takes too long.

    Raises:
        ConfigurationError: a variable is undefined, an expression fails or is not allowed, or the result is longer
            than `MAX_RENDERED`; it names the line and, where there is one, the variable.
    """
    template, _ = _compile(source, field)
    pieces: list[str] = []
    length = 0
    try:
        for piece in template.generate(variables):
            length += len(piece)
            if length > MAX_RENDERED:
                raise ConfigurationError(
                    f"The {field} renders to more than {MAX_RENDERED:,} characters.", hint="Shorten it.", field=field
                )
            if check is not None:
                check()
            pieces.append(piece)
    except UndefinedError as error:
        raise ConfigurationError(
            f"The {field}, line {_line(error)}: {error.message}.", hint="Give the variable a value.", field=field
        ) from None
    except SecurityError as error:
        raise ConfigurationError(
            f"The {field}, line {_line(error)}, does what a template may not: {error.message}.", field=field
        ) from None
    except (
        TemplateError,
        TypeError,
        ValueError,
        ArithmeticError,
        LookupError,
        AttributeError,
        RecursionError,
    ) as error:
        raise ConfigurationError(
            f"The {field}, line {_line(error)}, fails: {type(error).__name__}: {str(error)[:200]}.", field=field
        ) from None
    return "".join(pieces)


def _line(error: BaseException) -> int | str:
    """The template's line: Jinja rewrites tracebacks so that template frames carry the template's own lines."""
    line: int | str = "?"
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename in ("<template>", "<unknown>"):
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
