"""Lists, sets, tuples, mappings, nested models and unions: adding, removing, moving, switching."""

import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator
from streamlit.testing.v1 import AppTest

from tests.ui.forms_kit import Color, at_fields, errors, open_form, result, run, same

pytestmark = pytest.mark.integration


class Item(BaseModel):
    name: str
    count: int = Field(1, ge=0)


class Lists(BaseModel):
    items: list[Item] = Field([Item(name="a"), Item(name="b"), Item(name="c")], max_length=4)
    numbers: list[int] = [1, 2]
    words: tuple[str, ...] = ("x", "y")
    rows: list[str] = Field(["p", "p"], title="Rows")


def click(app: AppTest, key: str) -> None:
    app.button(key=key).click()
    run(app)


def names(app: AppTest) -> list[str]:
    return [item["name"] for item in result(app).raw["items"]]


def test_items_move_with_their_widgets() -> None:
    app = open_form(Lists)
    app.text_input(key="run.items.0.name").set_value("first")
    run(app)
    click(app, "run.items.0#down")
    assert names(app) == ["b", "first", "c"]
    assert app.text_input(key="run.items.0.name").value == "first"
    click(app, "run.items.2#up")
    assert names(app) == ["b", "c", "first"]
    assert app.button(key="run.items.1#up").disabled
    assert app.button(key="run.items.0#down").disabled
    app.text_input(key="run.items.2.name").set_value("moved")
    run(app)
    assert names(app) == ["b", "moved", "first"]


def test_items_are_removed_and_added_under_new_ids() -> None:
    app = open_form(Lists)
    click(app, "run.items.1#remove")
    assert names(app) == ["a", "c"]
    click(app, "run.items#add")
    assert errors(app) == {"items.2.name": "This field is required."}
    assert at_fields(app) == []
    app.text_input(key="run.items.3.name").set_value("new")
    run(app)
    assert names(app) == ["a", "c", "new"]
    click(app, "run.items#add")
    assert app.button(key="run.items#add").disabled
    assert result(app).errors[0].label == "Items > 4 > Name"


def test_lists_of_single_values() -> None:
    app = open_form(Lists)
    click(app, "run.numbers#add")
    assert errors(app) == {"numbers.2": "This field is required."}
    app.number_input(key="run.numbers.2").set_value(7)
    app.multiselect(key="run.words").set_value(["y", "new one"])
    click(app, "run.rows#add")
    run(app)
    value = result(app).value
    assert (value.numbers, value.words, value.rows) == ([1, 2, 7], ("y", "new one"), ["p", "p", ""])


class Sets(BaseModel):
    ids: set[int] = {1}
    sides: frozenset[Literal["l", "r"]] = frozenset({"l"})
    last: deque[int] = deque([1, 2])


def test_sets_take_each_value_once() -> None:
    app = open_form(Sets)
    click(app, "run.ids#add")
    app.number_input(key="run.ids.1").set_value(1)
    app.multiselect(key="run.sides").set_value(["r", "l"])
    run(app)
    assert result(app).value == Sets(ids={1}, sides=frozenset({"l", "r"}))
    assert result(open_form(Sets, loaded={"sides": ["up"]})).raw["sides"] == ["up"]


class Pairs(BaseModel):
    headers: dict[str, str] = {"a": "1"}
    items: dict[str, Item] = {}
    scores: dict[int, float] = {3: 0.5}
    point: tuple[int, str] = (1, "x")
    needed: tuple[int, int]
    nested: tuple[Item, int] = (Item(name="t"), 1)


def test_mappings_and_tuples() -> None:
    app = open_form(Pairs, loaded={"needed": [1, 2], "scores": {"3": 0.25}})
    assert result(app).value.scores == {3: 0.25}
    click(app, "run.headers#add")
    app.text_input(key="run.headers.1#key").set_value("a")
    run(app)
    assert errors(app) == {"headers.a": "This key occurs twice."}
    app.text_input(key="run.headers.1#key").set_value("b")
    app.text_input(key="run.headers.1").set_value("2")
    click(app, "run.items#add")
    app.text_input(key="run.items.0#key").set_value("k")
    app.text_input(key="run.items.0.name").set_value("n")
    click(app, "run.headers.0#remove")
    app.number_input(key="run.point.0").set_value(5)
    run(app)
    value = result(app).value
    assert value.headers == {"b": "2"}
    assert value.items == {"k": Item(name="n")}
    assert value.point == (5, "x")
    click(app, "run.items#add")
    app.text_input(key="run.items.1#key").set_value("m")
    run(app)
    assert errors(app) == {"items.m.name": "This field is required."}


def test_a_tuple_nobody_filled_is_missing_as_a_whole() -> None:
    app = open_form(Pairs)
    assert errors(app) == {"needed": "This field is required."}
    app.number_input(key="run.needed.0").set_value(5)
    run(app)
    assert errors(app) == {"needed.1": "This field is required."}
    assert result(app).raw["needed"] == [5, None]


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = Field(9, ge=1)


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


class Limits(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int = 1


class Unions(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] = Cat()
    value: int | str | Decimal | Limits = "5"
    several: list[int] | list[str] | None = None
    extra: Cat | Limits = Limits()


def test_switching_a_union_keeps_what_was_typed() -> None:
    app = open_form(Unions)
    assert app.segmented_control(key="run.pet#type").options == ["Cat", "Dog"]
    app.number_input(key="run.pet~0.lives").set_value(3)
    run(app)
    app.segmented_control(key="run.pet#type").set_value("Dog")
    run(app)
    assert errors(app) == {"pet.name": "This field is required."}
    app.text_input(key="run.pet~1.name").set_value("Rex")
    run(app)
    assert result(app).value.pet == Dog(kind="dog", name="Rex")
    app.segmented_control(key="run.pet#type").set_value("Cat")
    run(app)
    assert result(app).value.pet == Cat(lives=3)
    app.segmented_control(key="run.pet#type").set_value("Dog")
    run(app)
    assert app.text_input(key="run.pet~1.name").value == "Rex"


@pytest.mark.parametrize(
    "value",
    [5, "5", Decimal(5), Limits(size=5), Decimal("5.00"), "Decimal"],
    ids=repr,
)
def test_a_plain_union_keeps_the_branch_of_its_value(value: Any) -> None:
    app = open_form(Unions, value=Unions(value=value))
    assert result(app).value.value == value
    assert type(result(app).value.value) is type(value)
    again = open_form(Unions, loaded=result(app).raw)
    assert type(result(again).value.value) is type(value)


def test_errors_of_a_union_are_those_of_the_chosen_branch() -> None:
    app = open_form(Unions, loaded={"pet": {"kind": "dog", "name": 5}, "value": {"size": "big"}, "extra": {"lives": 0}})
    assert errors(app) == {
        "pet.name": "This should be a valid string.",
        "value.size": "This should be a whole number.",
        "extra.lives": "This should be greater than or equal to 1.",
    }


def test_an_optional_union_of_lists() -> None:
    app = open_form(Unions)
    app.toggle(key="run.several#set").set_value(True)
    run(app)
    assert result(app).value.several == []
    app.segmented_control(key="run.several#type").set_value("List of text")
    run(app)
    app.multiselect(key="run.several~1").set_value(["a"])
    run(app)
    assert result(app).value.several == ["a"]
    app.toggle(key="run.several#set").set_value(False)
    run(app)
    assert result(app).value.several is None
    app.toggle(key="run.several#set").set_value(True)
    run(app)
    assert result(app).value.several == ["a"]


class Optionals(BaseModel):
    text: str | None = None
    item: Item | None = None
    ids: list[int] | None = None


def test_optional_text_tells_empty_from_none() -> None:
    app = open_form(Optionals)
    assert result(app).value == Optionals()
    app.toggle(key="run.text#set").set_value(True)
    app.toggle(key="run.ids#set").set_value(True)
    run(app)
    assert result(app).value == Optionals(text="", ids=[])
    assert result(open_form(Optionals, loaded=result(app).raw)).value == Optionals(text="", ids=[])
    app.toggle(key="run.item#set").set_value(True)
    run(app)
    assert errors(app) == {"item.name": "This field is required."}
    app.text_input(key="run.item.name").set_value("n")
    run(app)
    assert result(app).value == Optionals(text="", ids=[], item=Item(name="n"))


class Tree(BaseModel):
    name: str = "root"
    children: list["Tree"] = []
    parent: Optional["Tree"] = None


def test_a_model_may_contain_itself() -> None:
    value = Tree(children=[Tree(name="a", children=[Tree(name="b")])], parent=Tree(name="p"))
    app = open_form(Tree, value=value)
    assert result(app).value == value
    click(app, "run.children.0.children#add")
    app.text_input(key="run.children.0.children.1.name").set_value("c")
    run(app)
    assert [child.name for child in result(app).value.children[0].children] == ["b", "c"]


class Range(BaseModel):
    low: int = 1
    high: int = 5

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.low > self.high:
            raise ValueError("low must not be above high")
        return self


class Whole(BaseModel):
    span: Range = Range()
    spans: list[Range] = []

    @model_validator(mode="after")
    def _small(self) -> "Whole":
        if len(self.spans) > 1:
            raise ValueError("only one span here")
        return self


def test_errors_of_whole_models_stand_at_the_model_and_on_top() -> None:
    app = open_form(Whole)
    app.number_input(key="run.span.low").set_value(9)
    run(app)
    assert errors(app) == {"span": "low must not be above high."}
    assert len(at_fields(app)) == 1
    app.number_input(key="run.span.low").set_value(1)
    click(app, "run.spans#add")
    click(app, "run.spans#add")
    assert errors(app) == {"": "only one span here."}
    assert at_fields(app) == []
    assert app.error[0].value == "- only one span here\\."


class Wide(BaseModel):
    model_config = ConfigDict(extra="allow")

    known: int = 1


def test_fields_a_model_takes_without_declaring_them_are_kept() -> None:
    value = Wide.model_validate({"known": 2, "more": [1]})
    assert result(open_form(Wide, value=value)).value == value
    assert result(open_form(Wide, loaded={"known": 2, "more": [1]})).value == value


@pytest.mark.parametrize(
    ("name", "bad"),
    [("items", "abc"), ("items", 5), ("numbers", {"a": 1}), ("words", "x")],
)
def test_a_list_that_is_none_is_an_error_until_it_is_settled(name: str, bad: Any) -> None:
    app = open_form(Lists, loaded={name: bad})
    assert errors(app) == {name: "The value given here does not fit and was left out."}
    click(app, f"run.{name}#add")
    assert name not in errors(app)


def test_other_containers_that_do_not_fit_are_errors_too() -> None:
    bad = {"headers": [1], "items": "x", "point": [1, "x", 3], "needed": 5, "nested": [7, 1]}
    app = open_form(Pairs, loaded=bad)
    assert set(errors(app)) == {"headers", "items", "point", "needed", "nested.0"}


class Point(RootModel[tuple[int, int]]):
    pass


class Others(BaseModel):
    point: Point = Point((1, 2))
    row: Sequence[int] = [1]
    table: Mapping[str, int] = {"a": 1}
    matrix: list[list[int]] = [[1, 2], [3]]


def test_other_ways_to_write_containers() -> None:
    value = Others(point=Point((3, 4)), row=[2], table={"b": 2})
    app = open_form(Others, value=value)
    assert result(app).value == value
    app.text_area(key="run.point").set_value("[5, 6]")
    click(app, "run.matrix.1#up")
    assert result(app).value == Others(point=Point((5, 6)), row=[2], table={"b": 2}, matrix=[[3], [1, 2]])


class Ambiguous(BaseModel):
    first: Any | uuid.UUID | Color = None


@pytest.mark.parametrize("value", [uuid.UUID(int=5), str(uuid.UUID(int=5)), Color.RED, "red", {"a": 1}], ids=repr)
def test_any_in_a_union_takes_what_the_others_leave(value: Any) -> None:
    app = open_form(Ambiguous, value=Ambiguous(first=value))
    assert same(result(app).value.first, value)
    assert same(result(open_form(Ambiguous, loaded=result(app).raw)).value.first, value)
