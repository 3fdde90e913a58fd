"""`model_form`: a pydantic model as widgets, and back as the same object."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import streamlit as st
from pydantic import BaseModel

from mcp_core.ui.forms.annotations import model_spec
from mcp_core.ui.forms.check import Fault, FieldError, check
from mcp_core.ui.forms.draw import Pen
from mcp_core.ui.forms.nodes import Leaf, ModelNode
from mcp_core.ui.forms.nodes_switch import build_node
from mcp_core.ui.forms.spec import MISSING, Kind
from mcp_core.ui.forms.text import plain, quoted, sentences

__all__ = ["FormResult", "load", "model_form", "reveal"]

M = TypeVar("M", bound=BaseModel)
MOST_SHOWN = 8


@dataclass(frozen=True)
class FormResult(Generic[M]):
    """What a form holds after it was drawn.

    Attributes:
        value: the object, None while there are errors.
        raw: what was typed, JSON-compatible, for a draft or link; `load` takes it. Secrets are not in it.
        errors: all errors, also those not shown yet because nobody has touched their field.
        changed: whether a person changed anything since the form was filled.
        unknown: names in the given mapping that the model does not have.
    """

    key: str
    value: M | None
    raw: dict[str, Any]
    errors: tuple[FieldError, ...]
    changed: bool
    unknown: tuple[str, ...] = ()

    def set(self, raw: Mapping[str, Any]) -> None:
        """Fill the form with other values from the next run on."""
        load(self.key, raw)


class _State:
    """What the session keeps of a form."""

    def __init__(self, model: type[BaseModel], root: ModelNode) -> None:
        self.model = model
        self.root = root
        self.revealed = False


def load(key: str, raw: BaseModel | Mapping[str, Any]) -> None:
    """Put values into the form of that key, from a link, a draft or an object. What it held is replaced.

    Works at any time: before the form is first drawn, from a callback, or after it was drawn (then from the next run).
    Values that do not fit are shown with their error rather than dropped.
    """
    st.session_state[f"{key}#load"] = raw


def reveal(key: str) -> None:
    """Show every error of the form, also at fields nobody has touched: for a press on Run while something is missing.

    As a callback: `st.button("Run", on_click=reveal, args=("run",))`.
    """
    st.session_state[f"{key}#reveal"] = True


def model_form(
    model: type[M],
    *,
    key: str,
    value: M | Mapping[str, Any] | None = None,
    exclude: Collection[str] = (),
    bind_fields: Collection[str] = (),
) -> FormResult[M]:
    """Draw the fields of a model and give back what they hold. Draws no button: that is the page's.

    Args:
        key: names the form in the session; widgets are `key.field`, `key.items.3.name`. Two forms of one key must not
            be drawn in one run. Where the model changes under a key, fields that stay the same keep what was typed.
        value: what the form starts with, an object or a raw mapping; None for the model's defaults. Read once; later
            changes go through `load`.
        exclude: names of fields that are not drawn; they keep their value.
        bind_fields: names of top-level fields whose value also stands in the URL, as `?key.field=...`. A secret never
            does, and neither does a list, a mapping or a nested model.

    Raises:
        ConfigurationError: a field names a widget that is not registered.
    """
    state = _state(model, key, value)
    top = st.empty()
    bound = {child.key for name, child in state.root.children.items() if name in bind_fields and _may_bind(child)}
    _, before = check(state.root, model)
    pen = Pen(bound, {id(fault.node) for fault in before if state.revealed or not fault.early})
    pen.fields(state.root, exclude)
    found, faults = check(state.root, model)
    shown = [fault for fault in faults if state.revealed or not fault.early]
    _show_at_fields(pen, shown)
    _show_on_top(top, shown, state.root.unknown)
    return FormResult(
        key=key,
        value=found if isinstance(found, model) else None,
        raw=state.root.raw(),
        errors=tuple(fault.error for fault in faults),
        changed=state.root.changed,
        unknown=tuple(state.root.unknown),
    )


def _state(model: type[BaseModel], key: str, value: Any) -> _State:
    name = f"{key}#form"
    state: _State | None = st.session_state.get(name)
    loaded = st.session_state.pop(f"{key}#load", MISSING)
    if state is None or loaded is not MISSING:
        fresh = _root(model, key, MISSING if value is None else value)
        root = fresh if loaded is MISSING else _root(model, key, loaded)
        for field, node in root.children.items():
            if isinstance(node, Leaf):
                node.base = fresh.children[field].raw()
        state = _State(model, root)
        st.session_state[name] = state
    elif state.model is not model:
        _follow(state, model, key)
    if st.session_state.pop(f"{key}#reveal", False):
        state.revealed = True
    return state


def _root(model: type[BaseModel], key: str, source: Any) -> ModelNode:
    return ModelNode(model_spec(model), key, build_node, source)


def _follow(state: _State, model: type[BaseModel], key: str) -> None:
    """The class is another: the same one rebuilt, or one that shares some fields."""
    old, new = state.root.spec, model_spec(model)
    if old.fingerprint() == new.fingerprint():
        state.root.rebind(new)
    else:
        root = _root(model, key, MISSING)
        kept = [name for name in new.fields if name in old.fields and old.field_print(name) == new.field_print(name)]
        root.adopt(state.root, kept)
        state.root = root
        state.revealed = False
    state.model = model


def _may_bind(node: Any) -> bool:
    return isinstance(node, Leaf) and node.spec.kind not in (Kind.SECRET, Kind.JSON, Kind.DATETIME)


def _show_at_fields(pen: Pen, faults: list[Fault]) -> None:
    by_slot: dict[int, list[str]] = {}
    for fault in faults:
        by_slot.setdefault(id(fault.node), []).append(sentences(fault.error.message))
    for node, messages in by_slot.items():
        if node in pen.slots:
            pen.slots[node].markdown(f":small[:red[:material/error: {' '.join(messages)}]]")


def _show_on_top(top: Any, faults: list[Fault], unknown: list[str]) -> None:
    if not faults:
        if unknown:
            names = ", ".join(quoted(name) for name in unknown[:MOST_SHOWN])
            top.warning(f"Not used, because there is no such field: {names}", icon=":material/info:")
        return
    lines = []
    for fault in faults[:MOST_SHOWN]:
        error = fault.error
        given = f" Given: {quoted(error.input)}" if isinstance(error.input, str | int | float) else ""
        lines.append(f"- {f'**{plain(error.label)}**: ' if error.label else ''}{sentences(error.message)}{given}")
    if len(faults) > MOST_SHOWN:
        lines.append(f"- and {len(faults) - MOST_SHOWN} more")
    count = len(faults)
    title = "One field needs a change" if count == 1 else f"{count} fields need a change"
    top.error("\n".join(lines), title=title, icon=":material/error:")
