"""What the tests of forms share: a page with one form, and models with values over all kinds of fields."""

import copy
import enum
import uuid
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

from hypothesis import strategies as st
from pydantic import BaseModel, Field, HttpUrl, SecretStr, create_model
from streamlit.testing.v1 import AppTest


# AppTest runs the source of this function by itself, so it imports what it needs and its annotations are texts.
def _page(model: "type[BaseModel]", options: "dict[str, Any]", loaded: "Any") -> None:
    import streamlit as st

    from mcp_core.ui.forms import load, model_form, reveal

    if loaded is not None and "page.loaded" not in st.session_state:
        st.session_state["page.loaded"] = True
        load("run", loaded)
    st.button("Run", key="go", on_click=reveal, args=("run",))
    st.session_state["page.result"] = model_form(st.session_state.get("page.model", model), key="run", **options)


def open_form(
    model: type[BaseModel], *, loaded: Any = None, query: Mapping[str, str] | None = None, **options: Any
) -> AppTest:
    """A page with a form of `model` under the key `run`, drawn once; a button `go` reveals all errors."""
    app = AppTest.from_function(_page, kwargs={"model": model, "options": options, "loaded": loaded})
    app.default_timeout = 120
    for name, value in (query or {}).items():
        app.query_params[name] = value
    return run(app)


def run(app: AppTest) -> AppTest:
    """Draw the page again."""
    app.run()
    assert [error.message for error in app.exception] == []
    return app


def result(app: AppTest) -> Any:
    """The `FormResult` of the form as it was last drawn; of any type, since its models are made in tests."""
    return app.session_state["page.result"]


def errors(app: AppTest) -> dict[str, str]:
    """Path -> message of all errors, shown or not."""
    return {error.path: error.message for error in result(app).errors}


def at_fields(app: AppTest) -> list[str]:
    """The errors that stand at fields, as they are written."""
    return [text.value for text in app.markdown if ":material/error:" in text.value]


class Color(enum.Enum):
    """An enumeration with an alias."""

    RED = "red"
    BLUE = "blue"
    CRIMSON = "red"  # noqa: PIE796 - the alias is what is tested


class Size(enum.IntEnum):
    """Numbers with names."""

    SMALL = 1
    LARGE = 10**20


class Shape(enum.Enum):
    """Values that JSON cannot say."""

    POINT = (0, 0)
    LINE = object()
    ONE = 1
    YES = "1"


OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
ZONES = st.none() | OFFSETS
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
SCALARS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "short text": (str, st.text(max_size=20)),
    "long text": (str, st.text(min_size=80, max_size=300)),
    "lines": (
        str,
        st.sampled_from(["a\nb", "\n", "a\r\nb", " x ", "\t", "\x00", "{{ text }}", "```\ncode\n```", "😀"]),
    ),
    "pattern": (Annotated[str, Field(pattern="^[a-c]+$")], st.from_regex("[a-c]{1,8}", fullmatch=True)),
    "bounded text": (Annotated[str, Field(min_length=2, max_length=9)], st.text(min_size=2, max_size=9)),
    "area": (Annotated[str, Field(json_schema_extra={"widget": "textarea"})], st.text(max_size=50)),
    "integer": (int, st.integers() | st.integers(2**53 - 2, 2**80)),
    "bounded integer": (Annotated[int, Field(ge=-5, lt=50, multiple_of=5)], st.integers(-1, 9).map(lambda n: n * 5)),
    "float": (float, st.floats(allow_nan=False) | st.sampled_from([1e-300, 5e-324, 1.7e308, -0.0])),
    "slider": (
        Annotated[float, Field(ge=0, le=1, json_schema_extra={"widget": "slider"})],
        st.floats(0, 1),
    ),
    "decimal": (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    "bool": (bool, st.booleans()),
    "date": (date, st.dates()),
    "time": (time, st.times(timezones=ZONES)),
    "datetime": (datetime, st.datetimes(timezones=ZONES)),
    "duration": (timedelta, st.timedeltas(timedelta(days=-(10**8)), timedelta(days=10**8))),
    "enum": (Color, st.sampled_from(Color)),
    "number enum": (Size, st.sampled_from(Size)),
    "odd enum": (Shape, st.sampled_from(Shape)),
    "literal": (Literal["a", 1, "1", True, None], st.sampled_from(["a", 1, "1", True, None])),
    "many literals": (Literal["north", "east", "south", "west", ""], st.sampled_from(["north", "west", ""])),
    "secret": (SecretStr, st.text(max_size=12).map(SecretStr)),
    "path": (Path, st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12).map(Path)),
    "url": (HttpUrl, st.sampled_from(["http://example.com/", "https://user@a.example/x?y=1#z"]).map(HttpUrl)),
    "uuid": (uuid.UUID, st.uuids()),
    "json": (Any, JSON),
    "json object": (
        Annotated[dict[str, Any], Field(json_schema_extra={"widget": "json"})],
        st.dictionaries(st.text(max_size=4), JSON, max_size=3),
    ),
}
HASHABLE = sorted(set(SCALARS) - {"json", "json object", "secret"})
_count = iter(range(10**9))


def _of(container: Any, *arguments: Any) -> Any:
    """`container[arguments]`, for types only known now."""
    return container[arguments if len(arguments) > 1 else arguments[0]]


def _name() -> str:
    return f"Model{next(_count)}"


@st.composite
def fields(draw: st.DrawFn, depth: int) -> tuple[Any, Any]:
    """An annotation and a value of it."""
    kinds = ["scalar"] * 4
    if depth:
        kinds += ["optional", "list", "chips", "set", "frozenset", "tuple", "many", "dict", "model", "models"]
        kinds += ["tagged", "union", "model union", "dict of models"]
    kind = draw(st.sampled_from(kinds))
    if kind == "scalar":
        annotation, values = SCALARS[draw(st.sampled_from(sorted(SCALARS)))]
        return annotation, draw(values)
    if kind == "optional":
        annotation, value = draw(fields(depth - 1))
        return _of(Optional, annotation), draw(st.sampled_from([value, None]))
    if kind in ("set", "frozenset"):
        annotation, values = SCALARS[draw(st.sampled_from(HASHABLE))]
        container = set if kind == "set" else frozenset
        return _of(container, annotation), container(draw(st.lists(values, max_size=3)))
    if kind == "chips":
        return list[str], draw(st.lists(st.sampled_from(["a", "b c", "*d*", ":smile:", " e", "", "a\n"]), max_size=4))
    if kind in ("list", "many", "dict"):
        annotation, values = SCALARS[draw(st.sampled_from(sorted(SCALARS)))]
        made = draw(st.lists(values, max_size=3))
        if kind == "list":
            return _of(list, annotation), made
        if kind == "many":
            return _of(tuple, annotation, ...), tuple(made)
        key_type, keys = draw(st.sampled_from([SCALARS["short text"], SCALARS["integer"], SCALARS["enum"]]))
        names = draw(st.lists(keys, max_size=len(made), unique=True))
        return _of(dict, key_type, annotation), dict(zip(names, made, strict=False))
    if kind == "tuple":
        parts = [draw(fields(0)) for _ in range(draw(st.integers(1, 3)))]
        return _of(tuple, *(part[0] for part in parts)), tuple(part[1] for part in parts)
    if kind == "union":
        names = draw(st.lists(st.sampled_from(sorted(SCALARS)), min_size=2, max_size=3, unique=True))
        annotation = _of(Union, *(SCALARS[name][0] for name in names))
        return annotation, draw(SCALARS[draw(st.sampled_from(names))][1])
    model = draw(models(depth - 1))
    if kind == "model":
        return model, model()
    if kind == "models":
        return _of(list, model), [model() for _ in range(draw(st.integers(0, 2)))]
    if kind == "dict of models":
        keys = st.lists(st.text(max_size=5), max_size=2, unique=True)
        return _of(dict, str, model), {name: model() for name in draw(keys)}
    other = draw(models(depth - 1))
    if kind == "model union":
        return _of(Union, model, other), draw(st.sampled_from([model, other]))()
    bases = {"a": model, "b": other}
    tagged = [create_model(_name(), __base__=base, kind=(_of(Literal, tag), tag)) for tag, base in bases.items()]
    return _of(Annotated, _of(Union, *tagged), Field(discriminator="kind")), draw(st.sampled_from(tagged))()


@st.composite
def models(draw: st.DrawFn, depth: int = 2) -> type[BaseModel]:
    """A model whose defaults are values over all kinds of fields."""
    made: dict[str, Any] = {}
    for place in range(draw(st.integers(1, 3))):
        annotation, value = draw(fields(depth))
        made[f"field_{place}"] = (annotation, Field(default_factory=lambda value=value: copy.deepcopy(value)))
    return create_model(_name(), **made)


def same(left: Any, right: Any) -> bool:
    """Equal down to types, signs, digits and offsets: 1, 1.0 and True differ, and so do 0E-3 and 0."""
    if isinstance(left, BaseModel):
        return type(left) is type(right) and same(dict(left), dict(right))
    if isinstance(left, dict):
        return isinstance(right, dict) and same(list(left.items()), list(right.items()))
    if isinstance(left, list | tuple):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, set | frozenset):
        names = [sorted((type(item).__name__, str(item)) for item in items) for items in (left, right)]
        return type(left) is type(right) and names[0] == names[1]
    if isinstance(left, float | Decimal):
        return type(left) is type(right) and repr(left) == repr(right)
    if isinstance(left, datetime | time):
        return type(left) is type(right) and left.isoformat() == right.isoformat()
    return type(left) is type(right) and bool(left == right)
