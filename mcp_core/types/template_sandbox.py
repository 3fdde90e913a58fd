"""The environment templates run in: Jinja2's sandbox, in which every kind of work is counted.

Loops, macros and blocks count at the beginning of their bodies, by as much as the body is long. Operators, calls and
filters count what they make before they make it. Nothing is computed when a template is compiled.
"""

from collections.abc import Callable, Iterator
from functools import update_wrapper
from types import BuiltinMethodType, MethodType
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import _PassArg
from jinja2.visitor import NodeTransformer

from mcp_core.types.template_budget import MAX_NUMBER_BITS, counted, spend, weigh
from mcp_core.types.template_filters import FORBIDDEN_FILTERS, LIGHT_FILTERS, count_filter
from mcp_core.types.template_texts import bound_text_method, check_percent, grow, sandboxed_format

__all__ = ["environment", "with_counting"]

_MOST_TOKENS = 30_000
_CALL_STEPS = 4
# fmt: off
_COMPARING_TESTS = frozenset({
    "in", "eq", "==", "equalto", "ne", "!=", "gt", ">", "greaterthan", "ge", ">=", "lt", "<", "lessthan", "le",
    "<=", "lower", "upper",
})
# fmt: on
_LIGHT_METHODS = frozenset({"get", "keys", "values", "items", "cycle", "next", "reset", "bit_length"})
_NUMBER_METHODS = frozenset({"bit_length", "bit_count", "conjugate", "as_integer_ratio", "is_integer", "hex"})


class _Length(Extension):
    """Refuses a template whose compiling would take long."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        for number, token in enumerate(stream):
            if number >= _MOST_TOKENS:
                raise TemplateSyntaxError("more expressions and blocks than a template may have", token.lineno)
            yield token


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        _count_operator(operator, left, right)
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and result.bit_length() > MAX_NUMBER_BITS:
            raise SecurityError("compute with a number that is too large")
        return result

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        # The names are as long as in the sandbox itself, so that no keyword of a template meets them.
        spend(_CALL_STEPS)
        return super().call(__context, __obj, *_count_call(__obj, args, kwargs), **kwargs)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(argument, tuple):
            weigh(argument)
        return super().getitem(obj, argument)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        if not isinstance(value, MethodType | BuiltinMethodType) or value.__name__ not in ("format", "format_map"):
            return None
        text = value.__self__
        if not isinstance(text, str):
            return None
        return update_wrapper(sandboxed_format(self, text, is_map=value.__name__ == "format_map"), value)


def _count_operator(operator: str, left: Any, right: Any) -> None:
    for value in (left, right):
        if isinstance(value, int) and value.bit_length() > MAX_NUMBER_BITS:
            raise SecurityError("compute with a number that is too large")
    if operator == "**" and isinstance(left, int) and isinstance(right, int):
        if left.bit_length() * right > MAX_NUMBER_BITS:
            raise SecurityError("compute a power that is too large")
    elif operator == "*":
        for value, times in ((left, right), (right, left)):
            if isinstance(value, str | list | tuple) and isinstance(times, int):
                grow(len(value) * max(0, times))
    elif operator == "+":
        if isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
            grow(len(left) + len(right))
    elif operator == "%" and isinstance(left, str):
        check_percent(left, right)


def _count_call(called: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    owner = getattr(called, "__self__", None)
    if isinstance(called, type):
        spend(letters=weigh([*args, *kwargs.values()]) if args or kwargs else 0)
        return args
    if owner is None or not isinstance(called, MethodType | BuiltinMethodType):
        return args
    name = called.__name__
    if isinstance(owner, str):
        return bound_text_method(owner, name, args, kwargs)
    if isinstance(owner, type):
        raise SecurityError(f"call `{name}` of a class")
    if isinstance(owner, int | float) and name not in _NUMBER_METHODS:
        raise SecurityError(f"call `{name}` of a number")
    if name == "strftime":
        grow(256 * weigh([*args, *kwargs.values()]))
    weigh([args, kwargs])
    if name not in _LIGHT_METHODS:
        weigh(owner)
    return args


def _weighed(_: Context, value: Any) -> Any:
    """The value of a comparison or of a key, which is looked through."""
    spend(letters=weigh(value) // 16)
    return value


def _cut(_: Context, value: Any) -> Any:
    """What a slice has made."""
    if isinstance(value, str | list | tuple):
        spend(letters=len(value))
    return value


def _joined(_: Context, values: list[Any]) -> str:
    """The operator `~`."""
    grow(sum(map(weigh, values)))
    return "".join(map(str, values))


def _charged(_: Context, steps: int, letters: int) -> bool:
    """The beginning of a body."""
    spend(steps, letters)
    return True


@pass_context
def _written(_: Context, value: Any) -> Any:
    """What is put into the text: Jinja writes it out next."""
    spend(1)
    grow(weigh(value))
    return value


def _filter(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, counted. Taking the context it is never computed when a template is compiled."""
    takes = _PassArg.from_obj(plain)

    def run(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        spend(_CALL_STEPS)
        if name not in LIGHT_FILTERS:
            value, args = count_filter(name, value, args, kwargs)
        passed: tuple[Any, ...] = ()
        if takes is _PassArg.context:
            passed = (context,)
        elif takes is _PassArg.eval_context:
            passed = (context.eval_ctx,)
        elif takes is _PassArg.environment:
            passed = (context.environment,)
        result = plain(*passed, value, *args, **kwargs)
        if isinstance(result, str | list):
            grow(len(result))
        return counted(result) if isinstance(result, Iterator) else result

    return pass_context(update_wrapper(run, plain))


def _test(plain: Any) -> Callable[..., Any]:
    def run(_: Context, value: Any, *args: Any) -> Any:
        spend(1, letters=(weigh(value) + sum(map(weigh, args))) // 16)
        return plain(value, *args)

    return pass_context(update_wrapper(run, plain))


def _build() -> _Environment:
    built = _Environment(undefined=StrictUndefined, optimized=False, finalize=_written, extensions=[_Length])
    del built.globals["lipsum"]
    for name, plain in list(built.filters.items()):
        if name in FORBIDDEN_FILTERS:
            del built.filters[name]
        else:
            built.filters[name] = _filter(name, plain)
    for name in _COMPARING_TESTS:
        built.tests[name] = _test(built.tests[name])
    for name, own in (("weighed", _weighed), ("cut", _cut), ("joined", _joined), ("charged", _charged)):
        # With a blank no template can name it.
        built.filters[f"own {name}"] = pass_context(own)
    return built


class _Counting(NodeTransformer):
    """Puts the counting into a template's tree."""

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        node = super().generic_visit(node, *args, **kwargs)
        if isinstance(node, nodes.ScopedEvalContextModifier):
            raise TemplateSyntaxError("a prompt has no use for autoescape", node.lineno)
        if isinstance(node, nodes.Include | nodes.Import | nodes.FromImport | nodes.Extends):
            raise TemplateSyntaxError("a template cannot load another one", node.lineno)
        if isinstance(node, nodes.For):
            node.body.insert(0, nodes.ExprStmt(_charge(node.body, node.lineno), lineno=node.lineno))
            if node.test is not None:
                node.test = nodes.And(_charge([node.test], node.lineno), node.test, lineno=node.lineno)
        elif isinstance(node, nodes.Macro | nodes.CallBlock | nodes.Block):
            node.body.insert(0, nodes.ExprStmt(_charge(node.body, node.lineno), lineno=node.lineno))
        elif isinstance(node, nodes.Compare):
            node.expr = _own("weighed", node.expr)
            for operand in node.ops:
                operand.expr = _own("weighed", operand.expr)
        elif isinstance(node, nodes.Pair) and not isinstance(node.key, nodes.Const):
            node.key = _own("weighed", node.key)
        elif isinstance(node, nodes.Concat):
            return _own("joined", nodes.List(node.nodes, lineno=node.lineno))
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice) and node.ctx == "load":
            return _own("cut", node)
        return node


def _own(name: str, node: nodes.Expr, *args: int) -> nodes.Filter:
    given = [nodes.Const(value, lineno=node.lineno) for value in args]
    return nodes.Filter(node, f"own {name}", given, [], None, None, lineno=node.lineno)


def _charge(body: list[Any], lineno: int) -> nodes.Filter:
    """What one turn through a body costs: more steps for a longer one, and its own text."""
    size = sum(1 + sum(1 for _ in part.find_all(nodes.Node)) for part in body)
    texts = (data for part in body for data in part.find_all(nodes.TemplateData))
    return _own("charged", nodes.Const(1 + size // 8, lineno=lineno), sum(len(data.data) for data in texts))


environment = _build()
"""The one environment; it holds no state of a rendering."""


def with_counting(tree: nodes.Template) -> nodes.Template:
    """The tree with the counting put in; changes the one given."""
    counting: nodes.Template = _Counting().visit(tree)
    counting.set_environment(environment)
    return counting
