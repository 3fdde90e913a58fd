"""The nodes that switch, an Optional and a union, and `build_node`, which knows all nodes. See `nodes`."""

from collections.abc import Iterator, Mapping
from typing import Any

from typing_extensions import override

from mcp_core.ui.forms.codec import encode, option_of, pick_branch
from mcp_core.ui.forms.nodes import Builder, Findings, Leaf, ModelNode, Node
from mcp_core.ui.forms.nodes_many import ChipsNode, DictNode, ListNode, TupleNode, first_value, items_of, settle, unfit
from mcp_core.ui.forms.spec import (
    MISSING,
    DictSpec,
    Kind,
    LeafSpec,
    ListSpec,
    ModelSpec,
    OptionalSpec,
    Spec,
    TupleSpec,
    UnionSpec,
)

__all__ = ["CHOICE", "OptionalNode", "UnionNode", "build_node"]

CHOICE = "$choice"
"""Key under which the raw form of a union names its branch, where the value alone would not tell."""


def build_node(spec: Spec, key: str, source: Any) -> Node:
    """The node for a spec, filled from a Python object, a raw value, or nothing (MISSING)."""
    match spec:
        case LeafSpec():
            return Leaf(spec, key, build_node, source)
        case OptionalSpec():
            return OptionalNode(spec, key, build_node, source)
        case ModelSpec():
            return ModelNode(spec, key, build_node, source)
        case ListSpec():
            return (ChipsNode if _as_chips(spec, source) else ListNode)(spec, key, build_node, source)
        case TupleSpec():
            return TupleNode(spec, key, build_node, source)
        case DictSpec():
            return DictNode(spec, key, build_node, source)
        case UnionSpec():
            return UnionNode(spec, key, build_node, source)
    raise TypeError(type(spec).__name__)


def _as_chips(spec: ListSpec, source: Any) -> bool:
    """Short texts and choices fit into one box of chips, unless two are equal or one would be trimmed."""
    item = spec.item
    if unfit(source) is not MISSING:
        return False
    if not isinstance(item, LeafSpec) or item.optional or spec.meta.widget == "rows":
        return False
    if item.kind is Kind.CHOICE:
        values = items_of(source)
        known = all(option_of(item, value) is not None for value in values)
        distinct = len({repr(encode(item, value)) for value in values}) == len(values)
        return (spec.unique or spec.meta.widget == "chips") and known and distinct
    if item.kind is not Kind.STR or item.meta.widget:
        return False
    texts = items_of(source)
    return all(isinstance(text, str) and text == " ".join(text.split()) != "" for text in texts) and len(
        set(texts)
    ) == len(texts)


class OptionalNode(Node):
    """A value or None, told apart by a switch."""

    spec: OptionalSpec

    def __init__(self, spec: OptionalSpec, key: str, build: Builder, source: Any) -> None:
        super().__init__(spec, key, build, source is not MISSING)
        self.present = source is not None and source is not MISSING
        self.stale = True
        self.inner = build(spec.inner, key, source) if self.present else None

    def switch(self, present: bool) -> None:
        """Turn the value on or off; what it held is kept."""
        if present != self.present:
            self.present, self.touched = present, True
            self.given = True

    def content(self) -> Node:
        """The node of the value, made when first needed."""
        if self.inner is None:
            self.inner = self.build(self.spec.inner, self.key, _blank(self.spec.inner))
        return self.inner

    @override
    def inside(self) -> Iterator[tuple[str, Node]]:
        if self.present:
            yield from self.content().inside()

    @override
    def walk(self) -> Iterator[Node]:
        yield self
        if self.present:
            yield from self.content().walk()

    @override
    def step(self, part: object) -> Node | None:
        return self.content().step(part) if self.present else None

    @override
    def raw(self) -> Any:
        return self.content().raw() if self.present else None

    @override
    def python(self, found: Findings) -> Any:
        return self.content().python(found) if self.present else None

    @property
    @override
    def changed(self) -> bool:
        return self.touched or (self.present and self.content().changed)

    @override
    def secrets(self) -> Iterator[str]:
        if self.inner is not None:
            yield from self.inner.secrets()

    @override
    def rebind(self, spec: Spec) -> None:
        super().rebind(spec)
        if self.inner is not None:
            self.inner.rebind(self.spec.inner)


def _blank(spec: Spec) -> Any:
    """What a value newly switched on starts from: an empty text is a value, other things are yet to be given."""
    return "" if isinstance(spec, LeafSpec) and spec.kind is Kind.STR else MISSING


class UnionNode(Node):
    """One branch of several; the others keep what was typed into them."""

    spec: UnionSpec

    def __init__(self, spec: UnionSpec, key: str, build: Builder, source: Any) -> None:
        super().__init__(spec, key, build, source is not MISSING)
        self.choice, value = _chosen(spec, source)
        self.stale = True
        self.branches: dict[int, Node] = {}
        if value is not MISSING:
            self.branches[self.choice] = build(spec.branches[self.choice], self._path(self.choice), value)

    def _path(self, number: int) -> str:
        return f"{self.key}~{number}"

    def switch(self, number: int) -> None:
        """Choose another branch."""
        if number != self.choice:
            self.choice, self.touched = number, True
            self.given = True

    def content(self) -> Node:
        """The node of the chosen branch, made when first needed."""
        if self.choice not in self.branches:
            spec = self.spec.branches[self.choice]
            start = first_value(spec) if self.touched else MISSING
            self.branches[self.choice] = self.build(spec, self._path(self.choice), start)
        return self.branches[self.choice]

    @override
    def inside(self) -> Iterator[tuple[str, Node]]:
        yield from self.content().inside()

    @override
    def walk(self) -> Iterator[Node]:
        yield self
        yield from self.content().walk()

    @override
    def step(self, part: object) -> Node | None:
        return self.content().step(part)

    @property
    @override
    def changed(self) -> bool:
        return self.touched or self.content().changed

    @override
    def raw(self) -> Any:
        raw = self.content().raw()
        if raw is MISSING:
            return raw if not self.touched else {CHOICE: self.choice}
        plain = not (isinstance(raw, Mapping) and CHOICE in raw) and pick_branch(self.spec, raw) == self.choice
        return raw if plain else {CHOICE: self.choice, "value": raw}

    @override
    def python(self, found: Findings) -> Any:
        content = self.content()
        value = content.python(found)
        if value is MISSING:
            return value
        return settle(content, content.spec.adapter, value, found)

    @override
    def secrets(self) -> Iterator[str]:
        for node in self.branches.values():
            yield from node.secrets()

    @override
    def rebind(self, spec: Spec) -> None:
        super().rebind(spec)
        for number, node in self.branches.items():
            node.rebind(self.spec.branches[number])


def _chosen(spec: UnionSpec, source: Any) -> tuple[int, Any]:
    if isinstance(source, Mapping) and CHOICE in source and set(source) <= {CHOICE, "value"}:
        number = source[CHOICE]
        if isinstance(number, int) and 0 <= number < len(spec.branches):
            return number, source.get("value", MISSING)
    if source is MISSING:
        return 0, MISSING
    number = pick_branch(spec, source)
    return (0, source) if number is None else (number, source)
