"""Drawing the tree: which fields stand side by side, what is grouped, what is put away."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import streamlit as st

from mcp_core.ui.forms.leaves import Caption, draw_leaf
from mcp_core.ui.forms.nodes import Leaf, ModelNode, Node
from mcp_core.ui.forms.nodes_many import ChipsNode, DictNode, ListNode, TupleNode
from mcp_core.ui.forms.nodes_switch import OptionalNode, UnionNode
from mcp_core.ui.forms.spec import (
    DictSpec,
    Kind,
    LeafSpec,
    ListSpec,
    Meta,
    ModelSpec,
    OptionalSpec,
    Spec,
    TupleSpec,
    UnionSpec,
)
from mcp_core.ui.forms.text import plain, sentences
from mcp_core.ui.forms.views import is_wide

__all__ = ["Pen"]

COLUMNS, MIN_COLUMN = 2, 260
FEW_BRANCHES, FEW_LETTERS = 4, 48


class Pen:
    """Draws nodes and remembers where their errors go.

    Args:
        bound: keys of leaves whose value is kept in the URL.
        faulty: nodes that had an error before drawing; what is put away opens for them.
    """

    def __init__(self, bound: Collection[str], faulty: Collection[int]) -> None:
        self.bound = bound
        self.faulty = faulty
        self.slots: dict[int, Any] = {}
        self.depth = 0

    def fields(self, node: ModelNode, exclude: Collection[str] = ()) -> None:
        """The fields of a model: first those without a group, then each group, then the advanced ones."""
        groups: dict[str, list[tuple[Node, bool]]] = {"": []}
        advanced: list[tuple[Node, bool]] = []
        for name, child in node.children.items():
            meta = child.spec.meta
            if name in exclude or meta.hidden or _constant(child.spec):
                continue
            entry = child, node.spec.infos[name].is_required()
            (advanced if meta.advanced else groups.setdefault(meta.group, [])).append(entry)
        for title, entries in groups.items():
            if title:
                st.markdown(f"**{plain(title)}**")
            self._grid(entries)
        if advanced:
            self._advanced(node, advanced)

    def _advanced(self, node: ModelNode, entries: list[tuple[Node, bool]]) -> None:
        if self.depth:  # expanders inside expanders are hard to read, so below the top it is only a heading
            st.caption("Advanced")
            self._grid(entries)
            return
        troubled = any(id(inner) in self.faulty for child, _ in entries for inner in child.walk())
        with st.expander("Advanced", icon=":material/tune:", key=f"{node.key}#advanced", expanded=troubled):
            self._grid(entries)

    def _grid(self, entries: list[tuple[Node, bool]]) -> None:
        # An error below one field must not push its neighbour down; without one, a checkbox stands level with fields.
        troubled = any(id(inner) in self.faulty for node, _ in entries for inner in node.walk())
        grid = None
        for node, required in entries:
            if _is_wide(node):
                grid = None
                self.node(node, required)
                continue
            if grid is None:
                alignment: Literal["top", "bottom"] = "top" if troubled else "bottom"
                grid = st.grid(COLUMNS, min_column_width=MIN_COLUMN, vertical_alignment=alignment)
            with grid.cell():
                self.node(node, required)

    def node(self, node: Node, required: bool = False, above: str = "") -> None:
        """One node and, below it, the place for its error.

        Args:
            above: the label where one stands above already; it is then only told to screen readers.
        """
        if isinstance(node, ModelNode):
            with st.container(border=True):
                self._heading(node.spec.meta, required, above)
                self._model(node)
            return
        with st.container(gap="xxsmall" if isinstance(node, Leaf | ChipsNode) else "xsmall"):
            match node:
                case Leaf():
                    draw_leaf(node, self._caption(node, required, above))
                case ChipsNode():
                    self._chips(node, self._caption(node, required, above))
                case OptionalNode():
                    self._optional(node, above)
                case ListNode():
                    self._list(node, required, above)
                case TupleNode():
                    self._tuple(node, required, above)
                case DictNode():
                    self._dict(node, required, above)
                case UnionNode():
                    self._union(node, self._caption(node, required, above))
            self.slots[id(node)] = st.empty()

    def _caption(self, node: Node, required: bool, above: str) -> Caption:
        meta = node.spec.meta
        return Caption(
            label=above or _label(meta, required) or "Value",
            help=None if above else _help(meta),
            placeholder=meta.example,
            hidden=bool(above),
            bound=node.key in self.bound,
        )

    def _heading(self, meta: Meta, required: bool, above: str) -> None:
        if not above and meta.label:
            st.markdown(f":small[{_label(meta, required)}]", help=_help(meta))

    def _optional(self, node: OptionalNode, above: str) -> None:
        key = f"{node.key}#set"
        if node.stale or key not in st.session_state:
            st.session_state[key] = node.present
            node.stale = False
        label = above or _label(node.spec.meta, False) or "Value"
        node.switch(st.toggle(label, key=key, help=None if above else _help(node.spec.meta)))
        if node.present:
            self.node(node.content(), above=label)

    def _model(self, node: ModelNode) -> None:
        with self._deeper():
            self.fields(node)
        self.slots[id(node)] = st.empty()

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def _chips(self, node: ChipsNode, caption: Caption) -> None:
        spec = node.item
        labels = {option.raw: option.label for option in spec.options}
        if node.stale or node.key not in st.session_state:
            st.session_state[node.key] = [labels.get(value, value) for value in node.values]
            node.stale = False
        free = spec.kind is Kind.STR
        shown = st.multiselect(
            caption.label,
            list(node.known) if free else list(labels.values()),
            accept_new_options=free,
            placeholder=caption.placeholder or ("Type and press Enter" if free else "Choose"),
            **caption.common(node.key),
        )
        raws = {label: raw for raw, label in labels.items()}
        values = [raws.get(label, label) for label in shown]
        if values != node.values:
            node.take(values)

    def _list(self, node: ListNode, required: bool, above: str) -> None:
        limit = node.spec.bounds.max_length
        big = _is_block(node.spec.item)
        self._heading(node.spec.meta, required, above)
        last = len(node.items) - 1
        for place, (number, item) in enumerate(node.items):
            path = f"{node.key}.{number}"
            label = f"{plain(node.spec.meta.label)} {place + 1}".strip()
            with st.container(border=big, key=f"{path}#row"):
                with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", wrap=False):
                    if big:
                        st.markdown(f":small[{place + 1}]", width="stretch")
                    else:
                        self.node(item, above=label)
                    if last:
                        _icon(path, "up", "arrow_upward", "Move up", node.move, (number, -1), place == 0)
                        _icon(path, "down", "arrow_downward", "Move down", node.move, (number, 1), place == last)
                    _icon(path, "remove", "close", "Remove", node.remove, (number,))
                if big:
                    self._block(item, label)
        full = limit is not None and len(node.items) >= limit
        _add(node, full)

    def _block(self, node: Node, label: str) -> None:
        """A value of several lines, without a frame, where the row around it already has one."""
        if isinstance(node, ModelNode):
            self._model(node)
            return
        with self._deeper():
            self.node(node, above=label)

    def _tuple(self, node: TupleNode, required: bool, above: str) -> None:
        self._heading(node.spec.meta, required, above)
        label = plain(node.spec.meta.label)
        if any(_is_block(part) for part in node.spec.items):
            for place, item in enumerate(node.items):
                self.node(item, above=f"{label} {place + 1}")
            return
        grid = st.grid(min(len(node.items), 3) or 1, min_column_width=120, gap="xsmall", vertical_alignment="bottom")
        for place, item in enumerate(node.items):
            with grid.cell():
                self.node(item, above=f"{label} {place + 1}")

    def _dict(self, node: DictNode, required: bool, above: str) -> None:
        big = _is_block(node.spec.value)
        self._heading(node.spec.meta, required, above)
        for place, (number, name, value) in enumerate(node.rows):
            path = f"{node.key}.{number}"
            label = f"{plain(node.spec.meta.label)} {place + 1}".strip()
            with st.container(border=big, key=f"{path}#row"):
                with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", wrap=False):
                    self.node(name, above=f"{label}, key")
                    if not big:
                        self.node(value, above=f"{label}, value")
                    _icon(path, "remove", "close", "Remove", node.remove, (number,))
                if big:
                    self._block(value, f"{label}, value")
        _add(node)

    def _union(self, node: UnionNode, caption: Caption) -> None:
        labels = list(node.spec.labels)
        key = f"{node.key}#type"
        if node.stale or key not in st.session_state:
            st.session_state[key] = labels[node.choice]
            node.stale = False
        arguments: dict[str, Any] = {"key": key, "help": caption.help, "label_visibility": caption.visibility}
        if len(labels) <= FEW_BRANCHES and sum(map(len, labels)) <= FEW_LETTERS and all(plain(x) == x for x in labels):
            chosen = st.segmented_control(caption.label, labels, required=True, **arguments)
        else:
            chosen = st.selectbox(caption.label, labels, **arguments)
        if chosen in labels:
            node.switch(labels.index(chosen))
        self.node(node.content(), above=f"{caption.label}, {plain(labels[node.choice])}")


def _add(node: ListNode | DictNode, full: bool = False) -> None:
    st.button("Add", key=f"{node.key}#add", icon=":material/add:", type="tertiary", on_click=node.add, disabled=full)


def _icon(
    path: str, action: str, icon: str, words: str, call: Any, arguments: tuple[Any, ...], disabled: bool = False
) -> None:
    st.button(
        f":material/{icon}:",
        key=f"{path}#{action}",
        help=words,
        type="tertiary",
        on_click=call,
        args=arguments,
        disabled=disabled,
    )


def _label(meta: Meta, required: bool) -> str:
    label = plain(meta.label)
    unit = f" ({plain(meta.unit)})" if meta.unit else ""
    return f"{label}{unit}{' *' if required else ''}" if label else ""


def _help(meta: Meta) -> str | None:
    return sentences(meta.description, paragraphs=True) if meta.description else None


def _constant(spec: Spec) -> bool:
    return isinstance(spec, LeafSpec) and spec.kind is Kind.CONST


def _is_block(spec: Spec) -> bool:
    """Whether a value of this type fills several lines."""
    match spec:
        case LeafSpec():
            return spec.kind is Kind.JSON or spec.meta.widget in ("textarea", "code")
        case OptionalSpec():
            return _is_block(spec.inner)
        case ModelSpec() | ListSpec() | DictSpec() | TupleSpec() | UnionSpec():
            return True
    return False


def _is_wide(node: Node) -> bool:
    match node:
        case Leaf():
            return is_wide(node)
        case ChipsNode():
            return False
        case TupleNode():
            return len(node.items) > 2 or any(_is_block(part) for part in node.spec.items)
        case OptionalNode():
            return node.present and _is_wide(node.content())
        case UnionNode():
            return _is_wide(node.content())
    return True
