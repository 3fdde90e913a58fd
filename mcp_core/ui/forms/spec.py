"""What a model asks for, field by field, with nothing of Streamlit in it.

`model_spec(Model)` turns a pydantic model into a tree of frozen `Spec`s; the rest of the package reads only those.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from functools import cached_property
from typing import Any

from pydantic import BaseModel, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter
from pydantic.fields import FieldInfo
from typing_extensions import override

__all__ = [
    "BUILT_IN_WIDGETS",
    "MISSING",
    "Bounds",
    "DictSpec",
    "Kind",
    "LeafSpec",
    "ListSpec",
    "Meta",
    "Missing",
    "ModelSpec",
    "Option",
    "OptionalSpec",
    "Spec",
    "TupleSpec",
    "UnionSpec",
]


class Missing(Enum):
    """The type of `MISSING`: nothing was given, which is not the same as None."""

    MISSING = "missing"

    def __bool__(self) -> bool:
        """Nothing counts as false."""
        return False


MISSING = Missing.MISSING
BUILT_IN_WIDGETS = frozenset({"", "textarea", "code", "json", "slider", "rows", "chips"})
"""What `json_schema_extra={"widget": ...}` may name without registering anything."""


class Kind(StrEnum):
    """How a value is written down. Every leaf has one."""

    STR = "str"
    INT = "int"
    FLOAT = "float"
    DECIMAL = "decimal"
    BOOL = "bool"
    DATE = "date"
    TIME = "time"
    DATETIME = "datetime"
    TIMEDELTA = "timedelta"
    CHOICE = "choice"
    SECRET = "secret"  # noqa: S105 - the name of a kind
    TEXT = "text"
    JSON = "json"
    CONST = "const"


@dataclass(frozen=True)
class Bounds:
    """Limits on a value, None where there is none. `pattern` is the regular expression's text."""

    ge: Any = None
    gt: Any = None
    le: Any = None
    lt: Any = None
    multiple_of: Any = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None


@dataclass(frozen=True)
class Meta:
    """What a person is told about a field.

    Attributes:
        widget: a built-in presentation (`textarea`, `code`, `json`, `slider`, `rows`, `chips`) or a registered widget.
        extra: the whole of `json_schema_extra`.
    """

    label: str = ""
    description: str = ""
    example: str = ""
    unit: str = ""
    widget: str = ""
    advanced: bool = False
    hidden: bool = False
    group: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Option:
    """One of the values of an enumeration or literal: as JSON, as Python object, as text."""

    raw: Any
    value: Any
    label: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Spec:
    """What is common to all. `annotation` is the type with its constraints, as pydantic takes it."""

    annotation: Any
    meta: Meta = Meta()
    bounds: Bounds = Bounds()

    @cached_property
    def adapter(self) -> TypeAdapter[Any] | None:
        """Validates and serializes this type alone; None where pydantic cannot without the model around it."""
        try:
            return TypeAdapter(self.annotation)
        except (PydanticSchemaGenerationError, PydanticUserError):
            return None

    def fingerprint(self, seen: frozenset[type] = frozenset()) -> str:
        """Equal for two specs that draw the same widgets."""
        inner = ";".join(part.fingerprint(seen) for part in self.parts(seen))
        return f"{type(self).__name__}({self.annotation!r},{self.meta!r},{self.bounds!r},{self.detail()},[{inner}])"

    def parts(self, _seen: frozenset[type]) -> Iterator["Spec"]:
        """The specs inside this one."""
        yield from ()

    def detail(self) -> str:
        """What else tells two specs of one class apart."""
        return ""


@dataclass(frozen=True, eq=False, kw_only=True)
class LeafSpec(Spec):
    """A single value.

    Attributes:
        optional: an empty widget means None.
        options: the values to choose from (kind CHOICE and CONST).
    """

    kind: Kind
    optional: bool = False
    options: tuple[Option, ...] = ()

    @override
    def detail(self) -> str:
        return f"{self.kind}{self.optional}{[(option.raw, option.label) for option in self.options]}"


@dataclass(frozen=True, eq=False, kw_only=True)
class OptionalSpec(Spec):
    """`inner` or None, where an empty widget cannot mean None."""

    inner: Spec

    @override
    def parts(self, _seen: frozenset[type]) -> Iterator[Spec]:
        yield self.inner


@dataclass(frozen=True, eq=False, kw_only=True)
class ListSpec(Spec):
    """Any number of `item`s: list, set, frozenset, variadic tuple, deque.

    Attributes:
        plain_list: the result is a list, which needs no conversion.
        unique: the result is a set.
    """

    item: Spec
    plain_list: bool = True
    unique: bool = False

    @override
    def parts(self, _seen: frozenset[type]) -> Iterator[Spec]:
        yield self.item


@dataclass(frozen=True, eq=False, kw_only=True)
class TupleSpec(Spec):
    """A fixed number of items, each of its own type."""

    items: tuple[Spec, ...]

    @override
    def parts(self, _seen: frozenset[type]) -> Iterator[Spec]:
        yield from self.items


@dataclass(frozen=True, eq=False, kw_only=True)
class DictSpec(Spec):
    """Keys to values."""

    key: Spec
    value: Spec
    plain_dict: bool = True

    @override
    def parts(self, _seen: frozenset[type]) -> Iterator[Spec]:
        yield self.key
        yield self.value


@dataclass(frozen=True, eq=False, kw_only=True)
class UnionSpec(Spec):
    """One of several types.

    Attributes:
        labels: a name for each branch, all different.
        discriminator: name of the field that tells the branches apart, where there is one.
    """

    branches: tuple[Spec, ...]
    labels: tuple[str, ...]
    discriminator: str | None = None

    @override
    def parts(self, _seen: frozenset[type]) -> Iterator[Spec]:
        yield from self.branches


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelSpec(Spec):
    """A nested model. Its fields are read on first use, so a model may contain itself.

    Attributes:
        resolve: makes the spec of one field.
    """

    model: type[BaseModel]
    resolve: Callable[[str, FieldInfo], Spec]

    @cached_property
    def fields(self) -> Mapping[str, Spec]:
        """Field name -> spec, in the order of definition."""
        return {name: self.resolve(name, info) for name, info in self.infos.items()}

    @property
    def infos(self) -> Mapping[str, FieldInfo]:
        """pydantic's own view of the fields."""
        return self.model.model_fields

    @property
    def keeps_extra(self) -> bool:
        """Whether the model takes fields it does not declare."""
        return self.model.model_config.get("extra") == "allow"

    def name_of(self, part: object) -> str | None:
        """The field that a validation error or a mapping means by `part`, its name or one of its aliases."""
        if isinstance(part, str) and part in self.infos:
            return part
        for name, info in self.infos.items():
            if part is not None and part in (info.alias, info.validation_alias):
                return name
        return None

    @override
    def parts(self, _seen: frozenset[type]) -> Iterator[Spec]:
        if self.model not in _seen:
            yield from self.fields.values()

    def field_print(self, name: str, seen: frozenset[type] = frozenset()) -> str:
        """Equal for two fields that draw the same widgets and start with the same value."""
        info = self.infos[name]
        default = "factory" if info.default_factory is not None else repr(info.default)
        return f"{name}={self.fields[name].fingerprint(seen)}:{default}"

    @override
    def fingerprint(self, seen: frozenset[type] = frozenset()) -> str:
        inner = seen | {self.model}
        fields = "" if self.model in seen else ";".join(self.field_print(name, inner) for name in self.fields)
        return f"Model({self.model.__module__}.{self.model.__qualname__},{self.meta!r},{{{fields}}})"
