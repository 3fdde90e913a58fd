"""What stands around a type: `Annotated`, aliases, constraints, and the words of a field."""

import typing
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, NewType, get_args, get_origin

from pydantic import Tag
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType

from mcp_core.ui.forms.spec import Bounds, Meta

__all__ = ["bounds_of", "meta_of", "peel"]

_ALIASES = (TypeAliasType, getattr(typing, "TypeAliasType", TypeAliasType))
_BOUND_NAMES = ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern")


def peel(annotation: Any, notes: list[Any]) -> Any:
    """The type without `Annotated`, aliases and new types; what `Annotated` says of it is put into `notes`."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation, *found = get_args(annotation)
            notes[:0] = found
        elif isinstance(annotation, _ALIASES):
            annotation = Any if _names_itself(annotation, annotation.__value__) else annotation.__value__
        elif isinstance(origin, _ALIASES):
            recursive = _names_itself(origin, origin.__value__)
            annotation = Any if recursive else origin.__value__[get_args(annotation)]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        else:
            return annotation


def _names_itself(alias: Any, annotation: Any) -> bool:
    """Whether an alias occurs in its own value: such a type (`JsonValue`) has no end, and is written as JSON."""
    if annotation is alias or getattr(annotation, "__forward_arg__", annotation) == alias.__name__:
        return True
    return any(_names_itself(alias, part) for part in (get_origin(annotation), *get_args(annotation)) if part)


def _flat(notes: Iterable[Any]) -> Iterator[Any]:
    for note in notes:
        if isinstance(note, FieldInfo):
            yield from _flat(note.metadata)
        elif isinstance(note, Iterable) and not isinstance(note, str | bytes):
            yield from _flat(note)
        elif not isinstance(note, Tag):
            yield note


def bounds_of(notes: Iterable[Any]) -> Bounds:
    """The limits that constraints, and fields inside `Annotated`, set."""
    found: dict[str, Any] = {}
    for note in _flat(notes):
        for name in _BOUND_NAMES:
            value = getattr(note, name, None)
            if value is not None:
                found[name] = value
    pattern = found.get("pattern")
    if pattern is not None and not isinstance(pattern, str):
        found["pattern"] = pattern.pattern
    return Bounds(**found)


def meta_of(notes: Iterable[Any], label: str) -> Meta:
    """What fields say for people; later notes go before earlier ones, and `label` stands where none has a title."""
    meta: dict[str, Any] = {"label": label}
    for note in notes:
        if not isinstance(note, FieldInfo):
            continue
        if note.title:
            meta["label"] = note.title
        if note.description:
            meta["description"] = note.description
        if note.examples:
            meta["example"] = str(note.examples[0])
        if isinstance(note.json_schema_extra, dict):
            extra = note.json_schema_extra
            meta.update({key: str(extra[key]) for key in ("unit", "widget", "group") if key in extra})
            meta.update({key: bool(extra[key]) for key in ("advanced", "hidden") if key in extra})
            meta["extra"] = extra
    return Meta(**meta)
