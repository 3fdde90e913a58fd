"""One value between its three forms: the Python object, the raw JSON value, and what to do where neither fits.

`encode` takes an object or an already raw value and never fails: what it cannot read stays as it came, so that the
form can show it beside the error. `decode` is the way back, best effort: what does not convert is handed to the model
as it is, and the model says what is wrong with it.
"""

import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr, TypeAdapter, ValidationError

from mcp_core.ui.forms.notes import peel
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
from mcp_core.ui.forms.text import duration_from_text, duration_to_iso

__all__ = ["decode", "encode", "option_of", "pick_branch", "secret_of"]

_TIMES: Mapping[Kind, TypeAdapter[Any]] = {
    Kind.DATE: TypeAdapter(date),
    Kind.TIME: TypeAdapter(time),
    Kind.DATETIME: TypeAdapter(datetime),
    Kind.TIMEDELTA: TypeAdapter(timedelta),
}
_PYTHON_TYPES: Mapping[Kind, tuple[type, ...]] = {
    Kind.STR: (str,),
    Kind.INT: (int,),
    Kind.FLOAT: (float,),
    Kind.DECIMAL: (Decimal,),
    Kind.BOOL: (bool,),
    Kind.DATE: (date,),
    Kind.TIME: (time,),
    Kind.DATETIME: (datetime,),
    Kind.TIMEDELTA: (timedelta,),
    Kind.SECRET: (SecretStr, SecretBytes),
}


def encode(spec: LeafSpec, value: Any) -> Any:
    """The raw, JSON-compatible form of a leaf's value; a secret stays the object it is."""
    if value is MISSING or value is None:
        return value
    match spec.kind:
        case Kind.CHOICE | Kind.CONST:
            option = option_of(spec, value)
            return value if option is None else option.raw
        case Kind.SECRET:
            return value if isinstance(value, SecretStr | SecretBytes) else secret_of(spec, str(value))
        case Kind.INT | Kind.FLOAT | Kind.BOOL if isinstance(value, str):
            return _from_text(spec.kind, value)
        case Kind.FLOAT if isinstance(value, float) and not math.isfinite(value):
            return repr(value)
        case Kind.TIMEDELTA if isinstance(value, timedelta):
            return duration_to_iso(value)
        case Kind.DATE | Kind.TIME | Kind.DATETIME if isinstance(value, date | time):
            return value.isoformat()
        case Kind.JSON | Kind.TEXT:
            return _dumped(spec, value)
    if isinstance(value, str | int | float):
        return value
    return str(value)


def decode(spec: LeafSpec, raw: Any) -> Any:
    """The Python object of a raw value, or the raw value itself where it does not convert."""
    if raw is None or raw is MISSING:
        return raw
    match spec.kind:
        case Kind.CHOICE | Kind.CONST:
            option = option_of(spec, raw)
            return raw if option is None else option.value
        case Kind.FLOAT:
            return _float(raw)
        case Kind.DECIMAL:
            try:
                return Decimal(str(raw))
            except InvalidOperation:
                return raw
        case Kind.TIMEDELTA:
            read = duration_from_text(raw) if isinstance(raw, str) else None
            return read if read is not None else _validated(_TIMES[Kind.TIMEDELTA], raw)
        case Kind.DATE | Kind.TIME | Kind.DATETIME:
            return _validated(_TIMES[spec.kind], raw)
        case Kind.TEXT:
            return raw if spec.adapter is None else _validated(spec.adapter, raw)
        case Kind.JSON:
            return _from_json(spec, raw)
    return raw


def option_of(spec: LeafSpec, value: Any) -> Any:
    """The option meant by a value, a raw value or a member's name; None where there is none.

    1, True and "1" are three different values.
    """
    for attribute in ("value", "raw"):
        for option in spec.options:
            known = getattr(option, attribute)
            if known is value or (type(known) is type(value) and known == value):
                return option
    return next((option for option in spec.options if getattr(option.value, "name", None) == value), None)


def pick_branch(spec: UnionSpec, value: Any) -> int | None:
    """Which branch of a union a value belongs to; None where it fits none.

    First by the discriminator, then by exact type, then by what each branch accepts strictly (Any takes what the
    others leave), then loosely as JSON.
    """
    tagged = _tagged(spec, value)
    if tagged is not None:
        return tagged
    for fits in (_exact, _typed, _strict, _loose):
        for number, branch in enumerate(spec.branches):
            if fits(branch, value):
                return number
    if isinstance(value, Mapping):
        return _closest(spec, value)
    return None


def _tagged(spec: UnionSpec, value: Any) -> int | None:
    if spec.discriminator is None or not isinstance(value, Mapping):
        return None
    for number, branch in enumerate(spec.branches):
        if isinstance(branch, ModelSpec):
            name = branch.name_of(spec.discriminator)
            tag = branch.fields.get(name) if name else None
            given = value.get(spec.discriminator, value.get(name, MISSING))
            if isinstance(tag, LeafSpec) and given is not MISSING and option_of(tag, given) is not None:
                return number
    return None


def _exact(spec: Spec, value: Any) -> bool:
    match spec:
        case ModelSpec():
            return type(value) is spec.model
        case LeafSpec(kind=Kind.CHOICE | Kind.CONST):
            return any(type(option.value) is type(value) and option.value == value for option in spec.options)
        case LeafSpec() if spec.kind in _PYTHON_TYPES:
            return type(value) in _PYTHON_TYPES[spec.kind] and _strict(spec, value)
        case LeafSpec(kind=Kind.TEXT):
            return not isinstance(value, str) and _strict(spec, value)
        case LeafSpec(kind=Kind.JSON):
            return type(value) is spec.annotation
        case OptionalSpec():
            return value is None or _exact(spec.inner, value)
        case ListSpec() | TupleSpec() | DictSpec():
            return not isinstance(value, str | bytes | BaseModel) and _strict(spec, value) and _same_shape(spec, value)
    return False


def _same_shape(spec: Spec, value: Any) -> bool:
    """Whether the items are exactly of the item's type too: a strict float also takes an int."""
    match spec:
        case ListSpec():
            return all(_exact(spec.item, item) for item in value)
        case TupleSpec():
            return all(_exact(part, item) for part, item in zip(spec.items, value, strict=True))
        case DictSpec():
            return all(_exact(spec.key, key) and _exact(spec.value, item) for key, item in value.items())
    return True


def _typed(spec: Spec, value: Any) -> bool:
    return spec.annotation not in (Any, object) and _strict(spec, value)


def _strict(spec: Spec, value: Any) -> bool:
    return _accepts(spec, lambda adapter: adapter.validate_python(value, strict=True))


def _loose(spec: Spec, value: Any) -> bool:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        return False
    return _accepts(spec, lambda adapter: adapter.validate_json(text, by_alias=True, by_name=True))


def _accepts(spec: Spec, validate: Any) -> bool:
    if spec.adapter is None:
        return False
    try:
        validate(spec.adapter)
    except (ValidationError, ValueError, TypeError):
        return False
    return True


def _closest(spec: UnionSpec, value: Mapping[Any, Any]) -> int | None:
    """The model with the most field names in common, for a draft that is not valid yet."""
    shared = [
        sum(branch.name_of(key) is not None for key in value) if isinstance(branch, ModelSpec) else -1
        for branch in spec.branches
    ]
    best = max(shared)
    return shared.index(best) if best >= 0 else None


def secret_of(spec: LeafSpec, text: str) -> SecretStr | SecretBytes:
    """A secret as the field wants it."""
    return SecretBytes(text.encode()) if peel(spec.annotation, []) is SecretBytes else SecretStr(text)


def _from_text(kind: Kind, text: str) -> Any:
    """A number or yes-or-no written as text, as links carry it; the text where it is none."""
    if kind is Kind.BOOL:
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    try:
        number = int(text) if kind is Kind.INT else float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _float(raw: Any) -> Any:
    try:
        return float(raw) if not isinstance(raw, bool) else raw
    except (TypeError, ValueError, OverflowError):
        return raw


def _validated(adapter: TypeAdapter[Any], raw: Any) -> Any:
    try:
        return adapter.validate_python(raw)
    except (ValidationError, ValueError, TypeError):
        return raw


def _from_json(spec: LeafSpec, raw: Any) -> Any:
    if spec.adapter is None or spec.annotation in (Any, object):
        return raw
    try:
        return spec.adapter.validate_json(json.dumps(raw), by_alias=True, by_name=True)
    except (ValidationError, ValueError, TypeError):
        return raw


def _dumped(spec: LeafSpec, value: Any) -> Any:
    if isinstance(value, str | int | float | bool):
        return value if spec.kind is Kind.JSON else str(value)
    if spec.adapter is None:
        return str(value)
    try:
        return spec.adapter.dump_python(value, mode="json", warnings=False, by_alias=True)
    except (ValueError, TypeError):
        return str(value)
