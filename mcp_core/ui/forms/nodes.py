"""What has been typed: a tree of nodes beside the tree of specs, kept in the session and free of Streamlit.

Every node has a stable `key` (the key of its widget), gives its value as raw JSON or as Python object, and survives a
rebuilt model class (`rebind`). What is switched off (the other branches of a union, an Optional set to None) stays in
the tree, so that switching back brings it back.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr
from typing_extensions import override

from mcp_core.ui.forms.codec import decode, encode
from mcp_core.ui.forms.spec import MISSING, Kind, LeafSpec, ModelSpec, Spec

__all__ = ["BAD_JSON", "Builder", "Findings", "Leaf", "ModelNode", "Node", "Problem"]

BAD_JSON = "$text"
"""Key under which the raw form of a JSON field keeps text that is not JSON yet."""


class Problem:
    """Something wrong that the form itself knows of, at a node."""

    def __init__(self, node: "Node", message: str, given: Any = None) -> None:
        self.node, self.message, self.given = node, message, given


class Findings:
    """What turning the tree into Python objects brought to light.

    Attributes:
        problems: certain errors, whatever the model says.
        settled: nodes that were validated by their own type, with pydantic's errors inside them.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.settled: list[tuple[Node, list[Any]]] = []


Builder = Callable[[Spec, str, Any], "Node"]


class Node:
    """Base of all nodes.

    Attributes:
        key: stable path, unique in the session; also the key of the widget.
        touched: a person changed it; `given`: it was filled from a value rather than from the model's default.
        unfit: a value that was given and has no place here, MISSING where all found theirs.
    """

    def __init__(self, spec: Spec, key: str, build: Builder, given: bool) -> None:
        self.spec = spec
        self.key = key
        self.build = build
        self.given = given
        self.touched = False
        self.unfit: Any = MISSING

    def raw(self) -> Any:
        """What was typed, JSON-compatible; MISSING where nothing was. Secrets are left out."""
        raise NotImplementedError

    def python(self, found: Findings) -> Any:
        """The Python object, as far as it can be made."""
        raise NotImplementedError

    def inside(self) -> Iterator[tuple[str, "Node"]]:
        """The nodes in use directly below, each with its step of the path."""
        yield from ()

    def step(self, part: object) -> "Node | None":
        """The node below that a part of pydantic's error location means."""
        for name, node in self.inside():
            if name == str(part):
                return node
        return None

    def report_unfit(self, found: Findings) -> None:
        """What was given and has no place is an error until somebody settles what should stand here."""
        if self.unfit is not MISSING and not self.changed:
            found.problems.append(Problem(self, "The value given here does not fit and was left out.", self.unfit))

    def rebind(self, spec: Spec) -> None:
        """Take a spec with the same fingerprint: the same fields of a rebuilt class."""
        self.spec = spec

    @property
    def changed(self) -> bool:
        """Whether a person changed this or anything in it."""
        return self.touched or any(node.changed for _, node in self.inside())

    def walk(self) -> Iterator["Node"]:
        """This node and all in use below it."""
        yield self
        for _, node in self.inside():
            yield from node.walk()

    def secrets(self) -> Iterator[str]:
        """The secrets held here, to be kept out of messages."""
        for _, node in self.inside():
            yield from node.secrets()


class Leaf(Node):
    """A single value.

    Attributes:
        value: raw value, MISSING where nothing was given.
        mode: how it is drawn (see `views`); seed: what the widget was last known to hold.
        stale: the widget does not know of `value` yet.
        fault: why the text typed is no value at all (JSON that does not parse).
        filled: the form started with a value here; stored: the secret it started with, which no widget is told.
        base: the raw value of a fresh form, which a URL need not mention.
        echo: the URL does not know of the widget's value yet.
    """

    spec: LeafSpec

    def __init__(self, spec: LeafSpec, key: str, build: Builder, source: Any) -> None:
        super().__init__(spec, key, build, source is not MISSING)
        if spec.kind is Kind.CONST and source is MISSING:
            source = spec.options[0].value
        self.mode = ""
        self.seed: Any = None
        self.stale = True
        self.fault = ""
        self.filled = source is not MISSING and source is not None
        self.original: Any = source
        if isinstance(source, Mapping) and set(source) == {BAD_JSON} and spec.kind is Kind.JSON:
            self.take(source[BAD_JSON], "This is not valid JSON.")
        else:
            self.value: Any = encode(spec, source)
        self.base = self.value
        self.echo = False
        self.stored = self.value if spec.kind is Kind.SECRET else MISSING

    def take(self, value: Any, fault: str = "") -> None:
        """A person typed this raw value."""
        self.value, self.fault, self.touched = value, fault, True
        self.original = MISSING

    @override
    def raw(self) -> Any:
        if self.spec.kind is Kind.SECRET:
            return None if self.value is None else MISSING
        return {BAD_JSON: self.value} if self.fault and self.spec.kind is Kind.JSON else copy.deepcopy(self.value)

    @override
    def python(self, found: Findings) -> Any:
        if self.fault:
            found.problems.append(Problem(self, self.fault, self.value))
        if self.spec.kind is Kind.JSON and self.original is not MISSING and not isinstance(self.original, str):
            # Any may hold what JSON cannot say; nobody changed it, so it is still that.
            return _copied(self.original) if _native(self.original) else decode(self.spec, self.value)
        return decode(self.spec, self.value)

    @override
    def secrets(self) -> Iterator[str]:
        if isinstance(self.value, SecretStr):
            yield self.value.get_secret_value()
        elif isinstance(self.value, SecretBytes):
            yield self.value.get_secret_value().decode(errors="replace")


def _copied(value: Any) -> Any:
    """The value in containers of its own; what is in them may be anything and is not touched."""
    if type(value) is dict:
        return {key: _copied(part) for key, part in value.items()}
    if type(value) is list:
        return [_copied(part) for part in value]
    return value


def _native(value: Any) -> bool:
    """Whether a value is more than JSON: it holds something other than dicts, lists, texts, numbers and None."""
    if isinstance(value, dict):
        return any(_native(part) for part in (*value, *value.values()) if part is not None) or any(
            not isinstance(key, str) for key in value
        )
    if isinstance(value, list):
        return any(_native(part) for part in value)
    return not isinstance(value, str | int | float | None)


class ModelNode(Node):
    """The fields of a model. `rest` holds fields the model takes without declaring them."""

    spec: ModelSpec

    def __init__(self, spec: ModelSpec, key: str, build: Builder, source: Any) -> None:
        super().__init__(spec, key, build, source is not MISSING)
        given, self.rest, self.unknown = _fields_of(spec, source)
        if source is not MISSING and not isinstance(source, BaseModel | Mapping):
            self.unfit = source
        self.children = {name: self._child(name, given.get(name, MISSING)) for name in spec.fields}

    def _child(self, name: str, source: Any) -> Node:
        fallback = source is MISSING
        if fallback:
            info = self.spec.infos[name]
            if not info.is_required() and not info.default_factory_takes_validated_data:
                source = info.get_default(call_default_factory=True, validated_data={})
        node = self.build(self.spec.fields[name], f"{self.key}.{name}", source)
        node.given = not fallback
        return node

    @override
    def inside(self) -> Iterator[tuple[str, Node]]:
        yield from self.children.items()

    @override
    def step(self, part: object) -> Node | None:
        name = self.spec.name_of(part)
        return self.children.get(name) if name else None

    @override
    def raw(self) -> Any:
        raw = {name: node.raw() for name, node in self.children.items()}
        for name, value in raw.items():
            if value is MISSING and self._is_cleared(name):
                raw[name] = None
        return {**{name: value for name, value in raw.items() if value is not MISSING}, **self.rest}

    @override
    def python(self, found: Findings) -> Any:
        self.report_unfit(found)
        data = dict(self.rest)
        for name, node in self.children.items():
            if self._is_default(name, node):
                continue
            value = node.python(found)
            if value is not MISSING or self._is_cleared(name):
                data[name] = None if value is MISSING else value
        return data

    def _is_cleared(self, name: str) -> bool:
        """Whether somebody emptied a field that has a default; leaving it out would bring the default back unseen."""
        node = self.children[name]
        is_secret = isinstance(node, Leaf) and node.spec.kind is Kind.SECRET
        return node.changed and not is_secret and not self.spec.infos[name].is_required()

    def _is_default(self, name: str, node: Node) -> bool:
        """An untouched plain default is left to the model, which need not even accept it."""
        info = self.spec.infos[name]
        fixed = info.default_factory is None or bool(info.default_factory_takes_validated_data)
        return not node.given and not node.changed and fixed and not info.is_required()

    @override
    def rebind(self, spec: Spec) -> None:
        super().rebind(spec)
        for name, node in self.children.items():
            node.rebind(self.spec.fields[name])

    def adopt(self, old: "ModelNode", same: Iterable[str]) -> None:
        """Take over the nodes of another form of the same key, for the fields that are the same in both."""
        for name in same:
            self.children[name] = old.children[name]
            self.children[name].rebind(self.spec.fields[name])


def _fields_of(spec: ModelSpec, source: Any) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Given values by field name, undeclared values the model keeps, and names it does not know."""
    if isinstance(source, BaseModel):
        given = {name: getattr(source, name) for name in spec.fields if hasattr(source, name)}
        return given, dict(source.model_extra or {}), []
    if not isinstance(source, Mapping):
        return {}, {}, []
    given, rest = {}, {}
    for key, value in source.items():
        name = spec.name_of(key)
        if name is None:
            rest[str(key)] = value
        else:
            given[name] = value
    return (given, rest, []) if spec.keeps_extra else (given, {}, list(rest))
