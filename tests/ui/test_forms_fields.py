"""Single fields: what is typed, what is refused, and how it is told."""

import datetime as dt
import enum
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, JsonValue, SecretStr, create_model, field_validator

from tests.ui.forms_kit import at_fields, errors, open_form, result, run

pytestmark = pytest.mark.integration


class Mood(enum.StrEnum):
    CALM = "calm"
    TENSE = "tense"


class Bounded(BaseModel):
    count: int = Field(2, gt=0, le=10, title="How many", json_schema_extra={"unit": "pieces"})
    even: int = Field(4, ge=1, multiple_of=2)
    share: float = Field(0.5, gt=0, lt=1)
    word: str = Field("abc", max_length=5, description="Any *word*.", examples=["tree"])
    day: dt.date = Field(dt.date(2026, 1, 5), ge=dt.date(2026, 1, 1), le=dt.date(2026, 12, 31))


def test_bounds_titles_units_help_and_examples_reach_the_widgets() -> None:
    app = open_form(Bounded)
    count = app.number_input(key="run.count")
    assert (count.min, count.max, count.step) == (1, 10, 1)
    assert count.label == "How many (pieces)"
    even = app.number_input(key="run.even")
    assert (even.min, even.step) == (2, 2)
    share = app.number_input(key="run.share")
    assert (share.min, share.max) == (0.0, 1.0)
    word = app.text_input(key="run.word")
    assert (word.max_chars, word.placeholder, word.help) == (5, "tree", "Any \\*word\\*\\.")
    day = app.date_input(key="run.day")
    assert (day.min, day.max) == (dt.date(2026, 1, 1), dt.date(2026, 12, 31))


def test_a_limit_the_widget_cannot_exclude_is_refused_by_the_model() -> None:
    app = open_form(Bounded)
    app.number_input(key="run.share").set_value(1.0)
    run(app)
    assert errors(app) == {"share": "This should be less than 1."}
    assert result(app).value is None
    assert app.number_input(key="run.share").value == 1.0


@pytest.mark.parametrize(
    ("annotation", "default", "typed", "message"),
    [
        (int, 2**60, "12x", "This should be a whole number."),
        (Decimal, Decimal("1.5"), "1,5", "This should be a number."),
        (dt.timedelta, dt.timedelta(hours=1), "soon", "This should be a duration such as 1h 30m or 90s."),
        (dt.time, dt.time(1, 2, 3), "25:00", "This should be a time such as 14:30 or 14:30:05."),
        (AnyUrl, AnyUrl("http://a.example"), "not a url", "This should be a valid URL, relative URL without a base."),
        (Annotated[str, Field(pattern="^a+$")], "aa", "b", "String should match pattern '^a+$'."),
        (Annotated[str, Field(min_length=3)], "aaa", "b", "String should have at least 3 characters."),
        (float, float("inf"), "fast", "This should be a number."),
        (Path, Path("a"), "", "This field is required."),
    ],
)
def test_bad_text_is_told_at_the_field_and_on_top_and_stays(
    annotation: Any, default: Any, typed: str, message: str
) -> None:
    model = create_model("One", field_a=(annotation, default))
    app = open_form(model)
    app.text_input(key="run.field_a").set_value(typed)
    run(app)
    assert errors(app) == {"field_a": message}
    assert result(app).value is None
    assert app.text_input(key="run.field_a").value == typed
    assert len(at_fields(app)) == 1
    assert app.error[0].value.startswith("- **Field a**: ")
    run(app)
    assert app.text_input(key="run.field_a").value == typed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90", dt.timedelta(seconds=90)),
        ("1h 30m", dt.timedelta(minutes=90)),
        ("2d 0.000001s", dt.timedelta(days=2, microseconds=1)),
        ("-5 min", dt.timedelta(minutes=-5)),
        ("PT5M", dt.timedelta(minutes=5)),
        ("1w, 3ms", dt.timedelta(weeks=1, milliseconds=3)),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, value: dt.timedelta) -> None:
    class Wait(BaseModel):
        wait: dt.timedelta = dt.timedelta(0)

    app = open_form(Wait)
    assert app.text_input(key="run.wait").value == "0s"
    app.text_input(key="run.wait").set_value(text)
    run(app)
    assert result(app).value == Wait(wait=value)


class Required(BaseModel):
    name: str
    count: int
    price: Decimal
    agree: bool
    mood: Mood
    when: dt.datetime


def test_required_fields_complain_only_when_asked_or_emptied() -> None:
    app = open_form(Required)
    assert set(errors(app)) == {"name", "count", "price", "agree", "mood", "when"}
    assert set(errors(app).values()) == {"This field is required."}
    assert not app.error
    assert at_fields(app) == []
    assert not result(app).changed
    app.text_input(key="run.name").set_value("x")
    run(app)
    assert not app.error
    app.text_input(key="run.name").set_value("")
    run(app)
    assert len(at_fields(app)) == 1
    app.button(key="go").click()
    run(app)
    assert len(at_fields(app)) == 6
    assert app.error[0].proto.title == "6 fields need a change"


def test_required_fields_filled_in() -> None:
    app = open_form(Required)
    app.text_input(key="run.name").set_value("x")
    app.number_input(key="run.count").set_value(3)
    app.text_input(key="run.price").set_value("0.10")
    app.segmented_control(key="run.agree").set_value("No")
    app.segmented_control(key="run.mood").set_value("tense")
    app.date_input(key="run.when").set_value(dt.date(2026, 2, 3))
    app.text_input(key="run.when#time").set_value("14:30:00.000001+02:00")
    run(app)
    zone = dt.timezone(dt.timedelta(hours=2))
    assert result(app).value == Required(
        name="x",
        count=3,
        price=Decimal("0.10"),
        agree=False,
        mood=Mood.TENSE,
        when=dt.datetime(2026, 2, 3, 14, 30, 0, 1, tzinfo=zone),
    )
    app.text_input(key="run.when#time").set_value("late")
    run(app)
    assert errors(app) == {"when": "This should be a date and time such as 2026-11-05T14:30:00+01:00."}


class Cleared(BaseModel):
    text: str = "a"
    number: int = 2**60
    kind: Literal["north", "east", "south", "west", "up"] = "up"
    maybe: int | None = 5
    perhaps: Annotated[str, Field(min_length=1)] | None = "x"


def test_an_emptied_field_is_never_its_default_again() -> None:
    app = open_form(Cleared)
    app.text_input(key="run.text").set_value("")
    app.text_input(key="run.perhaps").set_value("")
    app.number_input(key="run.maybe").set_value(None)
    run(app)
    assert result(app).value == Cleared(text="", perhaps=None, maybe=None)
    app.text_input(key="run.number").set_value("")
    run(app)
    assert errors(app) == {"number": "This field is required."}
    assert result(app).raw["number"] is None


class Many(BaseModel):
    flag: bool | None = None
    mood: Mood | None = Mood.CALM
    at: dt.time = dt.time(9, 30)
    day: dt.date | None = None
    slide: int = Field(3, ge=0, le=10, json_schema_extra={"widget": "slider"})
    done: bool = False
    note: str = Field("x", json_schema_extra={"widget": "textarea"})
    big: Literal["north", "east", "south", "west", "up"] = "up"
    file: Path | None = Path("a")


def test_each_widget_gives_its_kind_of_value() -> None:
    app = open_form(Many)
    app.segmented_control(key="run.flag").set_value("Yes")
    app.segmented_control(key="run.mood").set_value(None)
    app.time_input(key="run.at").set_value(dt.time(10, 45))
    app.date_input(key="run.day").set_value(dt.date(2026, 2, 3))
    app.slider(key="run.slide").set_value(7)
    app.checkbox(key="run.done").check()
    app.text_area(key="run.note").set_value("a\nb")
    app.selectbox(key="run.big").set_value("north")
    app.text_input(key="run.file").set_value("")
    run(app)
    assert result(app).value == Many(
        flag=True, mood=None, at=dt.time(10, 45), day=dt.date(2026, 2, 3), slide=7, done=True, note="a\nb", big="north",
        file=None,
    )  # fmt: skip
    assert result(app).changed


def _schema() -> JsonValue:
    return {"a": 1}


class Loose(BaseModel):
    anything: Any = None
    schema_: JsonValue = Field(default_factory=_schema, title="Schema")


def test_json_is_told_where_it_breaks_and_comes_back_as_a_draft() -> None:
    app = open_form(Loose)
    app.text_area(key="run.schema_").set_value('{"a": 1,\n "b" 2}')
    run(app)
    message = "This is not valid JSON: expecting ':' delimiter in line 2, column 6."
    assert errors(app) == {"schema_": message}
    again = open_form(Loose, loaded=result(app).raw)
    assert again.text_area(key="run.schema_").value == '{"a": 1,\n "b" 2}'
    assert errors(again) == {"schema_": "This is not valid JSON."}
    again.text_area(key="run.schema_").set_value('{"b": [null, 1e3]}')
    again.text_area(key="run.anything").set_value('"text"')
    run(again)
    assert result(again).value == Loose(anything="text", schema_={"b": [None, 1000.0]})
    again.text_area(key="run.anything").set_value("[" * 100_000)
    run(again)
    assert list(errors(again)) == ["anything"]


def test_what_json_cannot_say_is_kept_while_nobody_changes_it() -> None:
    value = Loose(anything={"when": dt.date(2026, 1, 1), 3: {1, 2}})
    app = open_form(Loose, value=value)
    assert result(app).value == value


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    day: dt.date = dt.date(2026, 1, 1)
    ids: set[int] = {1, 2}
    mood: Mood = Mood.CALM
    price: Decimal = Decimal(1)
    path: Path = Path("x")
    ratio: float = 1.0


def test_strict_and_frozen_models_are_filled_too() -> None:
    value = Strict(day=dt.date(2027, 1, 1), ids={3}, ratio=2.0)
    app = open_form(Strict, value=value)
    assert result(app).value == value
    assert result(open_form(Strict, loaded=value.model_dump(mode="json"))).value == value


class Aliased(BaseModel):
    shown: int = Field(1, alias="hidden-name", ge=0)
    other: str = Field("x", validation_alias="o")


def test_aliases_are_understood_on_the_way_in_and_never_needed() -> None:
    app = open_form(Aliased, loaded={"hidden-name": 5, "other": "y"})
    assert result(app).value == Aliased.model_validate({"hidden-name": 5, "o": "y"})
    app = open_form(Aliased, loaded={"hidden-name": -5})
    assert errors(app) == {"shown": "This should be greater than or equal to 0."}


class Sloppy(BaseModel):
    name: str = None  # type: ignore[assignment]
    size: int = Field(default_factory=lambda data: len(data["name"] or ""))


def test_defaults_pydantic_does_not_check_are_left_to_it() -> None:
    app = open_form(Sloppy)
    assert result(app).value == Sloppy()
    app.text_input(key="run.name").set_value("four")
    run(app)
    assert result(app).value == Sloppy(name="four", size=4)


class Checked(BaseModel):
    low: int = 1
    high: int = 5

    @field_validator("low")
    @classmethod
    def _low(cls, value: int) -> int:
        if value == 13:
            raise ValueError("13 brings bad luck")
        return value


def test_a_validators_own_words_are_shown() -> None:
    app = open_form(Checked)
    app.number_input(key="run.low").set_value(13)
    run(app)
    assert errors(app) == {"low": "13 brings bad luck."}
    assert result(app).errors[0].input == 13
    assert result(app).errors[0].label == "Low"


class Secretive(BaseModel):
    key: SecretStr = SecretStr("stored-canary")
    maybe: SecretStr | None = None

    @field_validator("key")
    @classmethod
    def _key(cls, value: SecretStr) -> SecretStr:
        if "bad" in value.get_secret_value():
            raise ValueError(f"{value.get_secret_value()} is refused")
        return value


def test_a_secret_is_kept_replaced_and_never_shown() -> None:
    app = open_form(Secretive, bind_fields=("key", "maybe"), query={"run.key": "from-the-url"})
    field = app.text_input(key="run.key")
    assert (field.value, field.proto.type, field.placeholder) == ("", 1, "Stored. Type to replace it.")
    assert result(app).value == Secretive()
    field.set_value("typed-canary")
    run(app)
    assert result(app).value.key == SecretStr("typed-canary")
    assert result(app).raw == {"maybe": None}
    assert "canary" not in str(app.query_params)
    app.text_input(key="run.key").set_value("bad-canary")
    run(app)
    assert errors(app) == {"key": "•••••• is refused."}
    assert result(app).errors[0].input is None
    assert "canary" not in app.error[0].value + "".join(at_fields(app)) + repr(result(app))
    app.text_input(key="run.key").set_value("")
    run(app)
    assert result(app).value == Secretive()


class Odd(BaseModel):
    mood: Mood = Mood.CALM
    count: int = Field(1, le=5)
    flag: bool = False
    day: dt.date = dt.date(2026, 1, 1)
    at: dt.time = dt.time(1)
    word: str = Field("a", max_length=3)


def test_a_link_with_bad_values_shows_them_with_their_errors() -> None:
    bad = {"mood": "angry", "count": 99, "flag": "maybe", "day": "someday", "at": "now", "word": "too long", "ghost": 1}
    app = open_form(Odd, loaded=bad)
    assert set(errors(app)) == {"mood", "count", "flag", "day", "at", "word"}
    assert app.selectbox(key="run.mood").value == "angry"
    for name in ("count", "flag", "day", "at", "word"):
        assert app.text_input(key=f"run.{name}").value == str(bad[name])
    assert result(app).unknown == ("ghost",)
    assert result(app).raw == {name: value for name, value in bad.items() if name != "ghost"}
    app.selectbox(key="run.mood").set_value("tense")
    app.text_input(key="run.count").set_value("3")
    app.text_input(key="run.flag").set_value("true")
    app.text_input(key="run.day").set_value("2026-05-06")
    app.text_input(key="run.at").set_value("10:00")
    app.text_input(key="run.word").set_value("ok")
    run(app)
    assert result(app).value == Odd(
        mood=Mood.TENSE, count=3, flag=True, day=dt.date(2026, 5, 6), at=dt.time(10), word="ok"
    )
    assert [warning.value for warning in app.warning] == ["Not used, because there is no such field: ` ghost `"]


def test_links_carry_numbers_as_text() -> None:
    app = open_form(Odd, loaded={"count": "3", "flag": "true"})
    assert result(app).value == Odd(count=3, flag=True)
    assert app.number_input(key="run.count").value == 3


def test_text_that_no_browser_takes_is_refused_not_fatal() -> None:
    app = open_form(Odd, loaded={"word": "\ud800"})
    assert list(errors(app)) == ["word"]
