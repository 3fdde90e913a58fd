"""Prompt templates: Jinja2 in a sandbox, strict about what is undefined, bounded in time and memory."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError, TemplateSyntaxError, UndefinedError, meta
from jinja2.exceptions import SecurityError

from mcp_core.errors import ConfigurationError
from mcp_core.types.template_budget import MAX_RENDERED, Budget, current
from mcp_core.types.template_sandbox import environment, with_counting

__all__ = ["MAX_RENDERED", "find_variables", "render"]

_EVALUATION_ERRORS = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    MemoryError,
    RecursionError,
)
_WORD = re.compile(r"[^\W\d]\w*")


@lru_cache(maxsize=256)
def _compiled(source: str) -> tuple[Template, tuple[str, ...]]:
    tree = environment.parse(source)
    found = meta.find_undeclared_variables(tree) - set(environment.globals)
    positions: dict[str, int] = {}
    for word in _WORD.finditer(source):
        positions.setdefault(word[0], word.start())
    in_order = sorted(found, key=lambda name: (positions.get(name, len(source)), name))
    template = environment.from_string(with_counting(tree))
    # Every rendering copies them, and copying the chain of mappings they come as takes longer than the rendering.
    template.globals = dict(template.globals)
    return template, tuple(in_order)


def _compile(source: str, field: str) -> tuple[Template, tuple[str, ...]]:
    try:
        return _compiled(source)
    except TemplateSyntaxError as error:
        raise ConfigurationError(
            f"The {field} has an error in line {error.lineno}: {str(error.message).rstrip('.')}.",
            hint="Variables are written {{ name }}, blocks {% if name %}...{% endif %}.",
            field=field,
        ) from None
    except ValueError:
        raise ConfigurationError(f"The {field} has a number that is too long.", field=field) from None
    except (RecursionError, MemoryError, OverflowError) as error:
        raise ConfigurationError(f"The {field} is too deeply nested: {type(error).__name__}.", field=field) from None


def find_variables(source: str, *, field: str = "template") -> list[str]:
    """Names the template takes from outside, in the order of their first appearance.

    Raises:
        ConfigurationError: the template has a syntax error; names the line.
    """
    _, found = _compile(source, field)
    return list(found)


def render(
    source: str, variables: Mapping[str, Any], *, field: str = "template", check: Callable[[], None] | None = None
) -> str:
    """The template with its variables put in.

    Args:
        check: called for every piece rendered; raises to stop a template that takes too long.

    Raises:
        ConfigurationError: a variable is undefined, an expression fails or is not allowed, the result is longer
            than `MAX_RENDERED`, or it would take more work than `mcp_core.types.template_budget` allows; it names the
            line and, where there is one, the variable.
    """
    template, _ = _compile(source, field)
    pieces: list[str] = []
    length = 0
    budget = current.set(Budget())
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
    except _EVALUATION_ERRORS as error:
        raise ConfigurationError(
            f"The {field}, line {_line(error)}, fails: {type(error).__name__}: {str(error)[:200]}.", field=field
        ) from None
    finally:
        current.reset(budget)
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
