"""Nodes that hold several: lists, tuples, mappings. See `nodes`."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from typing_extensions import override

from mcp_core.ui.forms.codec import decode, encode
from mcp_core.ui.forms.nodes import Builder, Findings, Node, Problem
from mcp_core.ui.forms.spec import MISSING, DictSpec, Kind, LeafSpec, ListSpec, OptionalSpec, Spec, TupleSpec

__all__ = ["ChipsNode", "DictNode", "ListNode", "TupleNode", "first_value", "items_of", "settle", "unfit"]


def items_of(source: Any) -> list[Any]:
    """The items of a list, set or the like; none where it is nothing of the kind."""
    if source is MISSING or isinstance(source, str | bytes | Mapping | BaseModel):
        return []
    try:
        return list(source)
    except TypeError:
        return []


def unfit(source: Any) -> Any:
    """The source where it is no collection at all."""
    if source is MISSING or isinstance(source, list | tuple | set | frozenset | deque) or items_of(source):
        return MISSING
    return source


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
        self.unfit = unfit(source)
        self.items: list[tuple[int, Node]] = []
        for value in items_of(source):
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
        self.report_unfit(found)
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
        self.values = [encode(self.item, value) for value in items_of(source)]
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
        values = items_of(source)
        self.unfit = source if len(values) > len(spec.items) else unfit(source)
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
        self.report_unfit(found)
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
        pairs = list(source.items()) if isinstance(source, Mapping) else _pairs(source)
        if not isinstance(source, Mapping) and (unfit(source) is not MISSING or len(pairs) < len(items_of(source))):
            self.unfit = source
        for name, value in pairs:
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
        self.report_unfit(found)
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
    return [(pair[0], pair[1]) for pair in items_of(source) if isinstance(pair, list | tuple) and len(pair) == 2]


def first_value(spec: Spec) -> Any:
    """What an added item starts from: a text starts empty, a yes-or-no starts with no, the rest is yet to be given."""
    if isinstance(spec, LeafSpec):
        return {Kind.STR: "", Kind.BOOL: False}.get(spec.kind, MISSING) if not spec.optional else None
    return None if isinstance(spec, OptionalSpec) else MISSING
