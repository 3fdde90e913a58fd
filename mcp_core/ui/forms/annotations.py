"""From a type annotation to a `Spec`: what pydantic would accept there, and how a person is to give it."""

import collections
import functools
import operator
import types
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import (
    AwareDatetime,
    BaseModel,
    Discriminator,
    FutureDate,
    FutureDatetime,
    NaiveDatetime,
    PastDate,
    PastDatetime,
    PydanticUserError,
    RootModel,
    SecretBytes,
    SecretStr,
)
from pydantic.fields import FieldInfo

from mcp_core.ui.forms.notes import bounds_of, meta_of, peel
from mcp_core.ui.forms.spec import (
    BUILT_IN_WIDGETS,
    DictSpec,
    Kind,
    LeafSpec,
    ListSpec,
    Meta,
    ModelSpec,
    Option,
    OptionalSpec,
    Spec,
    TupleSpec,
    UnionSpec,
)
from mcp_core.ui.forms.text import label_from_name

__all__ = ["field_spec", "model_spec"]

# In this order: a bool is an int, a datetime is a date.
_SCALARS: Mapping[type, Kind] = {
    bool: Kind.BOOL,
    int: Kind.INT,
    float: Kind.FLOAT,
    str: Kind.STR,
    Decimal: Kind.DECIMAL,
    datetime: Kind.DATETIME,
    date: Kind.DATE,
    time: Kind.TIME,
    timedelta: Kind.TIMEDELTA,
    AwareDatetime: Kind.DATETIME,
    NaiveDatetime: Kind.DATETIME,
    PastDatetime: Kind.DATETIME,
    FutureDatetime: Kind.DATETIME,
    PastDate: Kind.DATE,
    FutureDate: Kind.DATE,
    SecretStr: Kind.SECRET,
    SecretBytes: Kind.SECRET,
}
_KIND_LABELS: Mapping[Kind, str] = {
    Kind.BOOL: "Yes or no",
    Kind.INT: "Whole number",
    Kind.FLOAT: "Number",
    Kind.STR: "Text",
    Kind.DECIMAL: "Decimal number",
    Kind.DATETIME: "Date and time",
    Kind.DATE: "Date",
    Kind.TIME: "Time",
    Kind.TIMEDELTA: "Duration",
    Kind.SECRET: "Secret",
    Kind.JSON: "JSON",
}
# An empty widget means None for these; an empty text would be a value of its own.
_EMPTY_IS_NONE = frozenset(
    {
        Kind.BOOL,
        Kind.INT,
        Kind.FLOAT,
        Kind.DECIMAL,
        Kind.DATE,
        Kind.TIME,
        Kind.DATETIME,
        Kind.TIMEDELTA,
        Kind.CHOICE,
        Kind.TEXT,
        Kind.JSON,
    }
)
_LISTS: tuple[Any, ...] = (list, MutableSequence, Sequence, collections.abc.Collection)
_SETS: tuple[Any, ...] = (set, frozenset, AbstractSet, collections.abc.MutableSet)
_MAPPINGS: tuple[Any, ...] = (dict, Mapping, MutableMapping, collections.OrderedDict, collections.defaultdict)


@functools.lru_cache(maxsize=128)
def model_spec(model: type[BaseModel]) -> ModelSpec:
    """The spec of a whole model. Kept for the last 128 classes, since variables make classes as they go."""
    return ModelSpec(annotation=model, model=model, resolve=field_spec, meta=Meta(label=_model_label(model)))


def field_spec(name: str, info: FieldInfo) -> Spec:
    """The spec of one field of a model."""
    return _spec(info.annotation, [*info.metadata, info], label_from_name(name))


def _spec(annotation: Any, notes: Sequence[Any] = (), label: str = "") -> Spec:
    notes = list(notes)
    bare = peel(annotation, notes)
    meta, bounds = meta_of(notes, label), bounds_of(notes)
    constraints = [note for note in notes if not isinstance(note, FieldInfo)]
    whole = Annotated[(annotation, *constraints)] if constraints else annotation
    common: dict[str, Any] = {"annotation": whole, "meta": meta, "bounds": bounds}
    origin = get_origin(bare)
    own_widget = meta.widget not in BUILT_IN_WIDGETS and bare not in _SCALARS
    if meta.widget == "json" or own_widget:
        return LeafSpec(kind=Kind.JSON, optional=types.NoneType in get_args(bare), **common)
    if origin in (Union, types.UnionType):
        return _union(bare, notes, common)
    if origin is Literal:
        return _choice([(_label(value), value) for value in get_args(bare)], common)
    if origin is not None:
        return _container(origin, get_args(bare), common)
    return _class(bare, common)


def _class(bare: Any, common: dict[str, Any]) -> Spec:
    if bare in _SCALARS:
        return LeafSpec(kind=_SCALARS[bare], **common)
    if bare in (None, types.NoneType):
        return LeafSpec(kind=Kind.CONST, options=(Option(None, None, "None"),), **common)
    if isinstance(bare, type):
        if issubclass(bare, Enum) and not issubclass(bare, Flag):
            return _choice([(_label(member), member) for member in bare], common)
        if issubclass(bare, BaseModel) and not issubclass(bare, RootModel):
            return ModelSpec(model=bare, resolve=field_spec, **common)
        if bare in (*_LISTS, *_SETS, *_MAPPINGS, tuple, collections.deque):
            return _container(bare, (), common)
    return LeafSpec(kind=_written_as(bare, common), **common)


def _written_as(bare: Any, common: dict[str, Any]) -> Kind:
    """Types this package does not know are typed as text where their JSON is text, and as JSON otherwise."""
    if bare in (Any, object):
        return Kind.JSON
    adapter = Spec(**common).adapter
    try:
        schema = adapter.json_schema() if adapter else {}
    except PydanticUserError:
        return Kind.JSON
    return Kind.TEXT if schema.get("type") == "string" else Kind.JSON


def _choice(values: Sequence[tuple[str, Any]], common: dict[str, Any]) -> LeafSpec:
    options: list[Option] = []
    for label, value in values:
        raw = value.value if isinstance(value, Enum) else value
        known = [(type(option.raw), option.raw) for option in options]
        if not isinstance(raw, str | int | float | bool | None) or (type(raw), raw) in known:
            raw = value.name if isinstance(value, Enum) else repr(value)
        taken = label in [option.label for option in options]
        options.append(Option(raw, value, f"{label} ({value!r})" if taken else label))
    kind = Kind.CONST if len(options) == 1 else Kind.CHOICE
    return LeafSpec(kind=kind, options=tuple(options), **common)


def _label(value: Any) -> str:
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str) and value.value else label_from_name(value.name)
    return str(value) if value != "" else "(empty)"


def _container(origin: Any, arguments: tuple[Any, ...], common: dict[str, Any]) -> Spec:
    if origin in _LISTS or origin is collections.deque:
        return ListSpec(item=_spec(arguments[0] if arguments else Any), plain_list=origin in _LISTS, **common)
    if origin in _SETS:
        return ListSpec(item=_spec(arguments[0] if arguments else Any), plain_list=False, unique=True, **common)
    if origin is tuple:
        if not arguments or arguments[-1] is Ellipsis:
            return ListSpec(item=_spec(arguments[0] if arguments else Any), plain_list=False, **common)
        return TupleSpec(items=tuple(_spec(part) for part in arguments), **common)
    if origin in _MAPPINGS:
        key, value = arguments or (Any, Any)
        plain = origin in (dict, Mapping, MutableMapping)
        return DictSpec(key=_spec(key), value=_spec(value), plain_dict=plain, **common)
    return LeafSpec(kind=_written_as(origin, common), **common)


def _union(bare: Any, notes: list[Any], common: dict[str, Any]) -> Spec:
    arguments = [part for part in get_args(bare) if part is not types.NoneType]
    if len(arguments) == len(get_args(bare)):
        return _branches(arguments, notes, common)
    label = common["meta"].label
    inner_notes = [note for note in notes if not isinstance(note, FieldInfo) or note.discriminator]
    if len(arguments) == 1:
        inner = _spec(arguments[0], inner_notes, label)
    else:
        union: Any = functools.reduce(operator.or_, arguments)
        inner = _branches(arguments, inner_notes, {**common, "annotation": union})
    meta = common["meta"]
    if inner.meta.description and not meta.description:
        meta = replace(meta, description=inner.meta.description)
    if isinstance(inner, LeafSpec) and _empty_is_none(inner):
        return replace(inner, annotation=common["annotation"], meta=meta, optional=True)
    return OptionalSpec(inner=replace(inner, meta=meta), **{**common, "meta": meta})


def _empty_is_none(spec: LeafSpec) -> bool:
    if spec.kind is Kind.STR:
        return bool(spec.bounds.min_length)
    return spec.kind in _EMPTY_IS_NONE


def _branches(arguments: Sequence[Any], notes: list[Any], common: dict[str, Any]) -> Spec:
    discriminator = next((note.discriminator for note in notes if getattr(note, "discriminator", None)), None)
    if isinstance(discriminator, Discriminator):
        discriminator = discriminator.discriminator
    name = discriminator if isinstance(discriminator, str) else None
    branches: list[Spec] = []
    labels: list[str] = []
    for argument in arguments:
        spec = _spec(argument)
        branches.append(spec)
        label = _branch_label(spec, name)
        labels.append(label if label not in labels else f"{label} ({len(labels) + 1})")
    return UnionSpec(branches=tuple(branches), labels=tuple(labels), discriminator=name, **common)


def _branch_label(spec: Spec, discriminator: str | None) -> str:
    if spec.meta.label:
        return spec.meta.label
    if isinstance(spec, ModelSpec):
        tag = spec.infos.get(discriminator or "")
        if tag is not None and isinstance(tag.default, str) and not spec.model.model_config.get("title"):
            return label_from_name(tag.default)
        return _model_label(spec.model)
    if isinstance(spec, ListSpec):
        return f"{'Set' if spec.unique else 'List'} of {_branch_label(spec.item, None).lower()}"
    if isinstance(spec, LeafSpec):
        if spec.kind in (Kind.CHOICE, Kind.CONST):
            return " / ".join(option.label for option in spec.options)[:40]
        return _KIND_LABELS.get(spec.kind, label_from_name(getattr(spec.annotation, "__name__", "Text")))
    if isinstance(spec, OptionalSpec):
        return _branch_label(spec.inner, None)
    return {TupleSpec: "Tuple", DictSpec: "Mapping"}.get(type(spec), "Other")


def _model_label(model: type[BaseModel]) -> str:
    title = model.model_config.get("title")
    if title:
        return title
    words = "".join(f" {char}" if char.isupper() else char for char in model.__name__)
    return label_from_name(words)
