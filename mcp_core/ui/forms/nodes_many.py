"""Nodes that hold several: lists, tuples, mappings, unions. See `nodes`."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from typing_extensions import override

from mcp_core.ui.forms.codec import decode, encode, pick_branch
from mcp_core.ui.forms.nodes import Builder, Findings, Leaf, ModelNode, Node, OptionalNode, Problem
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

__all__ = ["CHOICE", "ChipsNode", "DictNode", "ListNode", "TupleNode", "UnionNode", "build_node"]

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


def _items_of(source: Any) -> list[Any]:
    if source is MISSING or source is None or isinstance(source, str | bytes | Mapping | BaseModel):
        return []
    try:
        return list(source)
    except TypeError:
        return []


def _as_chips(spec: ListSpec, source: Any) -> bool:
    """Short texts and choices fit into one box of chips, unless two are equal or one would be trimmed."""
    item = spec.item
    if not isinstance(item, LeafSpec) or item.optional or spec.meta.widget == "rows":
        return False
    if item.kind is Kind.CHOICE:
        values = [repr(encode(item, value)) for value in _items_of(source)]
        return (spec.unique or spec.meta.widget == "chips") and len(set(values)) == len(values)
    if item.kind is not Kind.STR or item.meta.widget:
        return False
    texts = _items_of(source)
    return all(isinstance(text, str) and text == " ".join(text.split()) != "" for text in texts) and len(
        set(texts)
    ) == len(texts)


def settle(node: Node, adapter: TypeAdapter[Any] | None, value: Any, found: Findings) -> Any:
    """The value as its own type makes it; where the type refuses, the value as it is, and the errors are noted."""
    if adapter is None:
        return value
    try:
        return adapter.validate_python(value, by_alias=False, by_name=True)
    except ValidationError as error:
        found.settled.append((node, list(error.errors(include_url=False))))
        return value


class ListNode(Node):
    """Items in rows. Each has an id that stays with it when it moves."""

    spec: ListSpec

    def __init__(self, spec: ListSpec, key: str, build: Builder, source: Any) -> None:
        super().__init__(spec, key, build, source is not MISSING)
        self.next_id = 0
        self.items: list[tuple[int, Node]] = []
        for value in _items_of(source):
            self._append(value)

    def _append(self, value: Any) -> None:
        self.items.append((self.next_id, self.build(self.spec.item, f"{self.key}.{self.next_id}", value)))
        self.next_id += 1

    def add(self) -> None:
        """A new item at the end."""
        self._append(first_value(self.spec.item))
        self.touched = True

    def remove(self, item_id: int) -> None:
        """Drop an item."""
        self.items = [(number, node) for number, node in self.items if number != item_id]
        self.touched = True

    def move(self, item_id: int, by: int) -> None:
        """Shift an item; at the ends it stays where it is."""
        place = next(place for place, (number, _) in enumerate(self.items) if number == item_id)
        target = place + by
        if 0 <= target < len(self.items):
            self.items[place], self.items[target] = self.items[target], self.items[place]
            self.touched = True

    @override
    def inside(self) -> Iterator[tuple[str, Node]]:
        for place, (_, node) in enumerate(self.items):
            yield str(place), node

    @override
    def raw(self) -> Any:
        return [None if (raw := node.raw()) is MISSING else raw for _, node in self.items]

    @override
    def python(self, found: Findings) -> Any:
        values = [None if (value := node.python(found)) is MISSING else value for _, node in self.items]
        return values if self.spec.plain_list else settle(self, self.spec.adapter, values, found)

    @override
    def rebind(self, spec: Spec) -> None:
        super().rebind(spec)
        for _, node in self.items:
            node.rebind(self.spec.item)


class ChipsNode(Node):
    """Items in one box. `values` are raw."""

    spec: ListSpec

    def __init__(self, spec: ListSpec, key: str, build: Builder, source: Any) -> None:
        super().__init__(spec, key, build, source is not MISSING)
        self.item = cast("LeafSpec", spec.item)  # `_as_chips` chose this node for such items alone
        self.values = [encode(self.item, value) for value in _items_of(source)]
        self.known = list(self.values)
        self.stale = True

    def take(self, values: list[Any]) -> None:
        """A person chose these raw values."""
        self.values, self.touched = values, True
        self.known += [value for value in values if value not in self.known]

    @override
    def raw(self) -> Any:
        return list(self.values)

    @override
    def python(self, found: Findings) -> Any:
        values = [decode(self.item, value) for value in self.values]
        return values if self.spec.plain_list else settle(self, self.spec.adapter, values, found)

    @override
    def step(self, part: object) -> Node | None:
        return self

    @override
    def rebind(self, spec: Spec) -> None:
        super().rebind(spec)
        self.item = cast("LeafSpec", self.spec.item)


class TupleNode(Node):
    """A fixed row of items."""

    spec: TupleSpec

    def __init__(self, spec: TupleSpec, key: str, build: Builder, source: Any) -> None:
        super().__init__(spec, key, build, source is not MISSING)
        values = _items_of(source)
        values += [MISSING] * (len(spec.items) - len(values))
        self.items = [
            build(part, f"{key}.{place}", value)
            for place, (part, value) in enumerate(zip(spec.items, values, strict=False))
        ]

    @override
    def inside(self) -> Iterator[tuple[str, Node]]:
        for place, node in enumerate(self.items):
            yield str(place), node

    @override
    def raw(self) -> Any:
        values = [node.raw() for node in self.items]
        if values and not self.given and all(value is MISSING for value in values):
            return MISSING
        return [None if value is MISSING else value for value in values]

    @override
    def python(self, found: Findings) -> Any:
        values = [node.python(found) for node in self.items]
        if values and not self.given and all(value is MISSING for value in values):
            return MISSING
        return settle(self, self.spec.adapter, [None if value is MISSING else value for value in values], found)

    @override
    def rebind(self, spec: Spec) -> None:
        super().rebind(spec)
        for part, node in zip(self.spec.items, self.items, strict=True):
            node.rebind(part)


class DictNode(Node):
    """Rows of a key and a value."""

    spec: DictSpec

    def __init__(self, spec: DictSpec, key: str, build: Builder, source: Any) -> None:
        super().__init__(spec, key, build, source is not MISSING)
        self.next_id = 0
        self.rows: list[tuple[int, Node, Node]] = []
        for name, value in source.items() if isinstance(source, Mapping) else _pairs(source):
            self._append(name, value)

    def _append(self, name: Any, value: Any) -> None:
        path = f"{self.key}.{self.next_id}"
        self.rows.append(
            (self.next_id, self.build(self.spec.key, f"{path}#key", name), self.build(self.spec.value, path, value))
        )
        self.next_id += 1

    def add(self) -> None:
        """A new row at the end."""
        self._append(first_value(self.spec.key), first_value(self.spec.value))
        self.touched = True

    def remove(self, row_id: int) -> None:
        """Drop a row."""
        self.rows = [row for row in self.rows if row[0] != row_id]
        self.touched = True

    @override
    def inside(self) -> Iterator[tuple[str, Node]]:
        for _, name, value in self.rows:
            yield str(name.raw()), value

    @override
    def walk(self) -> Iterator[Node]:
        yield self
        for _, name, value in self.rows:
            yield from name.walk()
            yield from value.walk()

    @property
    @override
    def changed(self) -> bool:
        return self.touched or any(name.changed or value.changed for _, name, value in self.rows)

    @override
    def step(self, part: object) -> Node | None:
        wanted = str(part)
        for _, name, value in self.rows:
            if wanted in (str(name.raw()), str(name.python(Findings()))):
                return value
        return None

    @override
    def raw(self) -> Any:
        pairs = [[_shown(name.raw()), _shown(value.raw())] for _, name, value in self.rows]
        names = [name for name, _ in pairs]
        if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
            return dict(pairs)
        return pairs

    @override
    def python(self, found: Findings) -> Any:
        data: dict[Any, Any] = {}
        for _, name, value in self.rows:
            key = _shown(name.python(found))
            try:
                twice = key in data
            except TypeError:
                found.problems.append(Problem(name, "This cannot be a key.", name.raw()))
                continue
            if twice:
                found.problems.append(Problem(name, "This key occurs twice.", name.raw()))
            data[key] = _shown(value.python(found))
        return data if self.spec.plain_dict else settle(self, self.spec.adapter, data, found)

    @override
    def rebind(self, spec: Spec) -> None:
        super().rebind(spec)
        for _, name, value in self.rows:
            name.rebind(self.spec.key)
            value.rebind(self.spec.value)


def _shown(value: Any) -> Any:
    return None if value is MISSING else value


def _pairs(source: Any) -> list[tuple[Any, Any]]:
    return [(pair[0], pair[1]) for pair in _items_of(source) if isinstance(pair, list | tuple) and len(pair) == 2]


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


def first_value(spec: Spec) -> Any:
    """What an added item starts from: a text starts empty, a yes-or-no starts with no, the rest is yet to be given."""
    if isinstance(spec, LeafSpec):
        return {Kind.STR: "", Kind.BOOL: False}.get(spec.kind, MISSING) if not spec.optional else None
    return None if isinstance(spec, OptionalSpec) else MISSING
