"""Is it right? The tree of nodes to the model's object, or to errors that stand at their field."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from mcp_core.ui.forms.nodes import Findings, Leaf, ModelNode, Node, Problem
from mcp_core.ui.forms.nodes_many import DictNode
from mcp_core.ui.forms.nodes_switch import OptionalNode, UnionNode
from mcp_core.ui.forms.spec import MISSING, Kind, LeafSpec
from mcp_core.ui.forms.text import label_from_name

__all__ = ["Fault", "FieldError", "check"]

MASK = "••••••"
_UNREADABLE = re.compile(r"(_parsing|_parsing_size|_type|_object_invalid|_from_float|_inexact)$")
_EXPECTED = {
    Kind.INT: "This should be a whole number.",
    Kind.FLOAT: "This should be a number.",
    Kind.DECIMAL: "This should be a number.",
    Kind.BOOL: "This should be true or false.",
    Kind.DATE: "This should be a date such as 2026-11-05.",
    Kind.TIME: "This should be a time such as 14:30 or 14:30:05.",
    Kind.DATETIME: "This should be a date and time such as 2026-11-05T14:30:00+01:00.",
    Kind.TIMEDELTA: "This should be a duration such as 1h 30m or 90s.",
}


@dataclass(frozen=True)
class FieldError:
    """What is wrong with a field.

    Attributes:
        path: dotted path of the field, positions from 0 (`items.0.name`); empty for the form as a whole.
        message: one sentence, without markup.
        input: what was given; None for a secret and for what is not a single value.
        label: the path in words (`Items > 1 > Name`).
    """

    path: str
    message: str
    input: Any = None
    label: str = ""


@dataclass(frozen=True)
class Fault:
    """An error with its node, and whether to show it yet."""

    node: Node
    error: FieldError
    early: bool


def check(root: ModelNode, model: type[BaseModel]) -> tuple[BaseModel | None, list[Fault]]:
    """The object, or None with at least one fault. A fault is `early` where nobody has given the field a value yet."""
    found = Findings()
    data = root.python(found)
    places = _places(root)
    faults = [_fault(problem.node, problem.message, places, problem.given) for problem in found.problems]
    try:
        value = model.model_validate(data, by_alias=False, by_name=True)
    except ValidationError as error:
        reports = [*found.settled, (root, list(error.errors(include_url=False)))]
        faults += _from_pydantic(reports, found.problems, places)
    else:
        if not faults:
            return value, []
    order = {path: place for place, (path, _) in reversed(list(enumerate(places.values())))}
    faults.sort(key=lambda fault: order.get(fault.error.path, -1))
    return None, _without_secrets(_distinct(faults), [text for text in root.secrets() if len(text) > 3])


def _from_pydantic(
    reports: Sequence[tuple[Node, list[Any]]], problems: Sequence[Problem], places: dict[int, tuple[str, str]]
) -> list[Fault]:
    """pydantic's errors, without those about what is known to be wrong already."""
    closed = [places[id(problem.node)][0] for problem in problems]
    faults: list[Fault] = []
    for start, errors in reports:
        for detail in errors:
            node = _locate(start, detail["loc"])
            path = places.get(id(node), ("", ""))[0]
            if any(path == known or path.startswith(f"{known}.") for known in closed):
                continue
            faults.append(_fault(node, _message(node, detail), places, detail.get("input")))
        closed.append(places.get(id(start), ("", ""))[0])
    return faults


def _message(node: Node, detail: dict[str, Any]) -> str:
    empty = isinstance(node, Leaf) and (node.value is MISSING or node.value is None)
    if detail["type"] == "missing" or empty:
        return "This field is required."
    if isinstance(node, Leaf) and node.spec.kind in _EXPECTED and _UNREADABLE.search(detail["type"]):
        return _EXPECTED[node.spec.kind]
    text = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ").strip()
    text = text.replace("Input should", "This should") or "This is not valid."
    return text if text[-1] in ".!?" else f"{text}."


def _locate(start: Node, location: Sequence[object]) -> Node:
    node = start
    for part in location:
        node = node.step(part) or node
    return node


def _places(root: ModelNode) -> dict[int, tuple[str, str]]:
    """Path and words of every node in use."""
    places: dict[int, tuple[str, str]] = {}

    def visit(node: Node, path: str, label: str) -> None:
        places[id(node)] = (path, label)
        if isinstance(node, OptionalNode | UnionNode):
            if not isinstance(node, OptionalNode) or node.present:
                visit(node.content(), path, label)
            return
        keys = [name for _, name, _ in node.rows] if isinstance(node, DictNode) else []
        for place, (step, child) in enumerate(node.inside()):
            inner = f"{path}.{step}" if path else step
            if isinstance(node, ModelNode):
                word = child.spec.meta.label or label_from_name(step)
            else:
                word = step if keys else str(place + 1)
            words = f"{label} > {word}" if label else word
            if keys:
                visit(keys[place], inner, words)
            visit(child, inner, words)

    visit(root, "", "")
    return places


def _fault(node: Node, message: str, places: dict[int, tuple[str, str]], given: Any) -> Fault:
    path, label = places.get(id(node), ("", ""))
    secret = isinstance(node.spec, LeafSpec) and node.spec.kind is Kind.SECRET
    shown = given if isinstance(node, Leaf) and not secret and isinstance(given, str | int | float | None) else None
    return Fault(node, FieldError(path, message, shown, label), early=not (node.given or node.changed))


def _distinct(faults: list[Fault]) -> list[Fault]:
    known: dict[tuple[str, str], Fault] = {}
    for fault in faults:
        known.setdefault((fault.error.path, fault.error.message), fault)
    return list(known.values())


def _without_secrets(faults: list[Fault], secrets: list[str]) -> list[Fault]:
    if not secrets:
        return faults
    clean: list[Fault] = []
    for fault in faults:
        message, given = fault.error.message, fault.error.input
        for secret in secrets:
            message = message.replace(secret, MASK)
            given = given.replace(secret, MASK) if isinstance(given, str) else given
        clean.append(Fault(fault.node, FieldError(fault.error.path, message, given, fault.error.label), fault.early))
    return clean
