"""What a model asks for, read from its annotations. Only the last tests draw anything."""

import dataclasses
import enum
import re
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypeVar

import annotated_types
import pytest
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    NaiveDatetime,
    PastDate,
    PositiveInt,
    SecretBytes,
    StringConstraints,
    Tag,
    create_model,
)
from typing_extensions import TypeAliasType, TypedDict

from mcp_core.ui.forms.annotations import model_spec
from mcp_core.ui.forms.codec import decode, encode, option_of, pick_branch
from mcp_core.ui.forms.spec import MISSING, Bounds, DictSpec, Kind, LeafSpec, ListSpec, OptionalSpec, Spec, UnionSpec
from mcp_core.ui.forms.views import limits
from tests.ui.forms_kit import Color, errors, open_form, result, run

pytestmark = pytest.mark.unit

T = TypeVar("T")
UserId = NewType("UserId", int)
Amount = TypeAliasType("Amount", Annotated[Decimal, Field(ge=0, title="Amount due")])
ListOf = TypeAliasType("ListOf", list[T], type_params=(T,))
Endless = TypeAliasType("Endless", "list[Endless] | int")


class Flags(enum.Flag):
    A = 1
    B = 2


class Pair(NamedTuple):
    left: int
    right: str


class Row(TypedDict):
    name: str


@dataclasses.dataclass
class Record:
    size: int = 1


class Foreign:
    """A class pydantic knows nothing of."""


def spec_of(annotation: Any, **field: Any) -> Spec:
    config = ConfigDict(arbitrary_types_allowed=True)
    model = create_model("One", __config__=config, some_field=(annotation, Field(**field)))
    return model_spec(model).fields["some_field"]


@pytest.mark.parametrize(
    ("annotation", "kind", "optional"),
    [
        (UserId, Kind.INT, False),
        (Amount, Kind.DECIMAL, False),
        (AwareDatetime, Kind.DATETIME, False),
        (NaiveDatetime | None, Kind.DATETIME, True),
        (PastDate, Kind.DATE, False),
        (timedelta, Kind.TIMEDELTA, False),
        (uuid.UUID, Kind.TEXT, False),
        (re.Pattern[str], Kind.TEXT, False),
        (SecretBytes, Kind.SECRET, False),
        (Literal["only"], Kind.CONST, False),
        (Literal["a", "b"] | None, Kind.CHOICE, True),
        (Color, Kind.CHOICE, False),
        (None, Kind.CONST, False),
        (Flags, Kind.JSON, False),
        (Pair, Kind.JSON, False),
        (Row, Kind.JSON, False),
        (Record, Kind.JSON, False),
        (Foreign, Kind.JSON, False),
        (Callable[[], int], Kind.JSON, False),
        (JsonValue, Kind.JSON, False),
        (Endless, Kind.JSON, False),
        (object, Kind.JSON, False),
    ],
    ids=repr,
)
def test_how_a_single_value_is_written(annotation: Any, kind: Kind, optional: bool) -> None:
    spec = spec_of(annotation)
    assert isinstance(spec, LeafSpec)
    assert (spec.kind, spec.optional) == (kind, optional)


@pytest.mark.parametrize(
    ("annotation", "shape"),
    [
        (list, ListSpec),
        (ListOf[int], ListSpec),
        (set, ListSpec),
        (tuple, ListSpec),
        (dict, DictSpec),
        (str | None, OptionalSpec),
        (int | str, UnionSpec),
        (int | str | None, OptionalSpec),
    ],
    ids=repr,
)
def test_how_containers_are_read(annotation: Any, shape: type[Spec]) -> None:
    assert type(spec_of(annotation)) is shape


@pytest.mark.parametrize(
    ("annotation", "bounds"),
    [
        (PositiveInt, Bounds(gt=0)),
        (Annotated[int, annotated_types.Interval(ge=1, lt=5)] | None, Bounds(ge=1, lt=5)),
        (Annotated[int | None, Field(ge=2)], Bounds(ge=2)),
        (Annotated[str, StringConstraints(pattern=re.compile("^a"), max_length=3)], Bounds(max_length=3, pattern="^a")),
        (Annotated[list[int], annotated_types.Len(1, 2)], Bounds(min_length=1, max_length=2)),
    ],
    ids=repr,
)
def test_limits_are_found_wherever_they_stand(annotation: Any, bounds: Bounds) -> None:
    assert spec_of(annotation).bounds == bounds


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Annotated[int, Field(gt=0, lt=10)], (1, 9)),
        (Annotated[int, Field(ge=1, multiple_of=4)], (4, None)),
        (Annotated[float, Field(gt=0, le=1)], (0.0, 1.0)),
        (Annotated[int, Field(ge=-(2**60), le=2**60)], (None, None)),
        (Annotated[float, Field(le=float("inf"))], (None, None)),
        (Annotated[int, Field(ge=5, le=1)], (None, None)),
    ],
    ids=repr,
)
def test_limits_a_widget_can_hold(annotation: Any, expected: tuple[Any, Any]) -> None:
    spec = spec_of(annotation)
    assert isinstance(spec, LeafSpec)
    assert limits(spec) == expected


def test_words_come_from_the_nearest_field() -> None:
    inner = Annotated[int, Field(title="Inner", description="Told inside.", json_schema_extra={"unit": "s"})]
    assert spec_of(inner).meta.label == "Inner"
    outer = spec_of(inner | None, title="Outer", examples=[5], json_schema_extra={"advanced": True})
    assert (outer.meta.label, outer.meta.description) == ("Outer", "Told inside.")
    assert (outer.meta.example, outer.meta.advanced) == ("5", True)
    assert spec_of(int).meta.label == "Some field"
    assert spec_of(int, json_schema_extra=lambda schema: None).meta.unit == ""


class Named(BaseModel):
    model_config = ConfigDict(title="Given title")


class Box(BaseModel, Generic[T]):
    content: T


class Circle(BaseModel):
    kind: Literal["a_circle"] = "a_circle"


class Square(BaseModel):
    kind: Literal["square"]


def test_branches_have_names_people_can_tell_apart() -> None:
    spec = spec_of(
        Named | Box[int] | list[int] | set[Color] | dict[str, int] | tuple[int, str] | Literal["x", "y"] | uuid.UUID
        | list[str] | Annotated[int, Field(title="Named here")] | list[date]
    )  # fmt: skip
    assert isinstance(spec, UnionSpec)
    assert spec.labels == (
        "Given title",
        "Box int",
        "List of whole number",
        "Set of red / blue",
        "Mapping",
        "Tuple",
        "x / y",
        "UUID",
        "List of text",
        "Named here",
        "List of date",
    )
    same = spec_of(list[int | None] | tuple[int, ...] | list[str | None])
    assert isinstance(same, UnionSpec)
    assert len(set(same.labels)) == 3


def test_discriminators_in_every_form() -> None:
    by_name = spec_of(Circle | Square, discriminator="kind")
    assert isinstance(by_name, UnionSpec)
    assert (by_name.discriminator, by_name.labels) == ("kind", ("A circle", "Square"))
    assert pick_branch(by_name, {"kind": "square", "junk": 1}) == 1
    assert pick_branch(by_name, {"kind": "unknown"}) == 0
    assert pick_branch(by_name, 5) is None
    by_object = spec_of(Annotated[Circle | Square, Discriminator("kind")])
    assert isinstance(by_object, UnionSpec)
    assert by_object.discriminator == "kind"
    called = spec_of(Annotated[Annotated[Circle, Tag("c")] | Annotated[int, Tag("i")], Discriminator(lambda _: "c")])
    assert isinstance(called, UnionSpec)
    assert called.discriminator is None


def test_options_are_told_apart_by_type_and_found_by_name() -> None:
    spec = spec_of(Literal[1, "1", True, b"x"])
    assert isinstance(spec, LeafSpec)
    assert [option.label for option in spec.options] == ["1", "1 ('1')", "True", "b'x'"]
    for value in (1, "1", True, b"x"):
        assert decode(spec, encode(spec, value)) is value
    colors = spec_of(Color)
    assert isinstance(colors, LeafSpec)
    assert option_of(colors, "BLUE").value is Color.BLUE
    assert option_of(colors, "green") is None
    assert encode(colors, "green") == decode(colors, "green") == "green"


@pytest.mark.parametrize(
    ("annotation", "raw"),
    [(Decimal, "x"), (float, [1]), (date, "x"), (uuid.UUID, "x"), (Record, "x"), (float, True), (timedelta, "x")],
    ids=repr,
)
def test_what_does_not_convert_is_handed_on_as_it_is(annotation: Any, raw: Any) -> None:
    spec = spec_of(annotation)
    assert isinstance(spec, LeafSpec)
    assert decode(spec, raw) is raw


@pytest.mark.parametrize(
    ("annotation", "value", "raw"),
    [
        (str, [1], "[1]"),
        (date, datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02T03:00:00+00:00"),
        (float, "1.5", 1.5),
        (float, "1e999", "1e999"),
        (int, "12", 12),
        (bool, "FALSE", False),
        (Foreign, Foreign, str(Foreign)),
        (int, None, None),
        (int, MISSING, MISSING),
    ],
    ids=repr,
)
def test_anything_has_a_raw_form(annotation: Any, value: Any, raw: Any) -> None:
    spec = spec_of(annotation)
    assert isinstance(spec, LeafSpec)
    assert encode(spec, value) == raw


def test_equal_models_have_equal_fingerprints_and_others_do_not() -> None:
    def fingerprint(**field: Any) -> str:
        return model_spec(create_model("Made", a=(int, Field(**field)))).fingerprint()

    first = fingerprint(default=1)
    assert fingerprint(default=1) == first
    changes: list[dict[str, Any]] = [{"default": 2}, {"default": 1, "title": "T"}, {"default": 1, "ge": 0}]
    for change in [*changes, {"default_factory": int}, {}]:
        assert fingerprint(**change) != first


class Uncommon(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    foreign: Foreign = Field(default_factory=Foreign)
    flags: Flags = Flags.A | Flags.B
    pair: Pair = Pair(1, "x")
    row: Row = {"name": "n"}
    record: Record = Field(default_factory=Record)
    box: Box[int] = Box(content=3)
    data: bytes = b"abc"
    secret: SecretBytes = SecretBytes(b"canary")
    endless: Endless = 5
    odd: datetime | Foreign = Field(default_factory=Foreign)


@pytest.mark.integration
def test_types_without_a_widget_of_their_own_are_kept_and_can_be_written() -> None:
    value = Uncommon()
    app = open_form(Uncommon, value=value)
    assert dict(result(app).value) == dict(value)
    app.text_area(key="run.flags").set_value("1")
    app.text_area(key="run.pair").set_value('[2, "y"]')
    app.text_area(key="run.row").set_value('{"name": "m"}')
    app.text_area(key="run.record").set_value('{"size": 5}')
    app.number_input(key="run.box.content").set_value(4)
    app.text_input(key="run.data").set_value("xyz")
    app.text_input(key="run.secret").set_value("new-canary")
    run(app)
    changed = result(app).value
    assert (changed.flags, changed.pair, changed.row, changed.record) == (Flags.A, (2, "y"), {"name": "m"}, Record(5))
    assert (changed.box.content, changed.data, changed.secret) == (4, b"xyz", SecretBytes(b"new-canary"))
    assert changed.foreign is not None
    app.text_area(key="run.foreign").set_value("5")
    run(app)
    assert list(errors(app)) == ["foreign"]
