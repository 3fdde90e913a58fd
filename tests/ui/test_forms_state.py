"""What outlives a run: drafts and links, changed models, other pages, the URL, widgets that types bring."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal

import pytest
import streamlit as st
from pydantic import BaseModel, Field, SecretStr, create_model
from streamlit.testing.v1 import AppTest

from mcp_core.errors import ConfigurationError
from mcp_core.ui.forms import WidgetContext, register_widget, registry
from tests.ui.forms_kit import at_fields, errors, open_form, result, run

pytestmark = pytest.mark.integration


class Task(BaseModel):
    name: str = "start"
    samples: int = Field(1, ge=1, le=9)
    stream: bool = True
    effort: Literal["low", "high"] = "low"
    model: Literal["a/one", "b/two", "c/three", "d/four", "e/five"] = "b/two"
    seed: int | None = None
    tags: list[str] = ["x"]
    secret: SecretStr = SecretStr("canary")


BOUND = ("name", "samples", "stream", "effort", "model", "seed", "tags", "secret")


def test_bound_fields_are_read_from_the_url() -> None:
    query = {"run.name": "n", "run.samples": "7", "run.stream": "false", "run.effort": "high", "run.model": "e/five"}
    app = open_form(Task, bind_fields=BOUND, query={**query, "run.seed": "3"})
    expected = Task(name="n", samples=7, stream=False, effort="high", model="e/five", seed=3)
    assert result(app).value == expected
    run(app)
    assert result(app).value == expected


def test_bound_fields_are_written_to_the_url_unless_they_are_as_at_the_start() -> None:
    app = open_form(Task, bind_fields=BOUND)
    assert dict(app.query_params) == {}
    app = open_form(Task, bind_fields=BOUND, value=Task(samples=5), loaded={"samples": 3, "stream": False})
    run(app)
    assert dict(app.query_params) == {"run.samples": "3", "run.stream": "false"}
    assert result(app).value == Task(samples=3, stream=False)


def test_values_a_bound_widget_cannot_have_are_left_to_their_default() -> None:
    app = open_form(Task, bind_fields=BOUND, query={"run.samples": "99", "run.effort": "none", "run.model": "x"})
    assert result(app).value == Task()


def test_loading_replaces_what_was_typed() -> None:
    def page(task: "type[Any]") -> None:
        import streamlit as st

        from mcp_core.ui.forms import FormResult, load, model_form

        st.button("Load", key="load", on_click=load, args=("run", {"name": "loaded", "tags": ["b", "c"]}))
        found: FormResult[Any] = model_form(task, key="run")
        if st.button("Later", key="later"):
            found.set({"samples": 4})
        st.session_state["page.result"] = found

    app = AppTest.from_function(page, kwargs={"task": Task}, default_timeout=60)
    run(app)
    app.text_input(key="run.name").set_value("typed")
    app.text_input(key="run.secret").set_value("typed-canary")
    app.multiselect(key="run.tags").set_value(["new"])
    run(app)
    assert result(app).changed
    app.button(key="load").click()
    run(app)
    assert result(app).value == Task(name="loaded", tags=["b", "c"])
    assert app.text_input(key="run.name").value == "loaded"
    assert app.text_input(key="run.secret").value == ""
    assert not result(app).changed
    app.button(key="later").click()
    run(app)
    assert result(app).value == Task(name="loaded", tags=["b", "c"])
    run(app)
    assert result(app).value == Task(samples=4)


def test_an_object_can_be_loaded() -> None:
    app = open_form(Task, loaded=Task(samples=3, secret=SecretStr("own")))
    assert result(app).value == Task(samples=3, secret=SecretStr("own"))


def test_what_was_typed_outlives_other_pages(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import streamlit as st\n"
        "st.navigation([st.Page('form.py', default=True), st.Page('other.py')]).run()\n"
    )  # fmt: skip
    (tmp_path / "other.py").write_text("import streamlit as st\nst.write('other')\n")
    (tmp_path / "form.py").write_text(
        "import streamlit as st\n"
        "from mcp_core.ui.forms import model_form\n"
        "from tests.ui.test_forms_state import Task\n"
        "st.session_state['page.result'] = model_form(Task, key='run', bind_fields=('samples',))\n"
    )
    app = AppTest.from_file(str(tmp_path / "main.py"), default_timeout=60)
    run(app)
    app.text_input(key="run.name").set_value("typed")
    app.number_input(key="run.samples").set_value(5)
    app.number_input(key="run.seed").set_value(8)
    app.multiselect(key="run.tags").set_value(["x", "y"])
    app.text_input(key="run.secret").set_value("typed-canary")
    run(app)
    expected = Task(name="typed", samples=5, seed=8, tags=["x", "y"], secret=SecretStr("typed-canary"))
    assert result(app).value == expected
    app.switch_page("other.py")
    run(app)
    app.switch_page("form.py")
    run(app)
    assert result(app).value == expected
    assert app.text_input(key="run.name").value == "typed"
    assert app.text_input(key="run.secret").value == ""


def variables(**fields: Any) -> type[BaseModel]:
    """A class made anew, as the page does for the variables of a template."""
    return create_model("Variables", **fields)


def swap(app: AppTest, model: type[BaseModel]) -> None:
    app.session_state["page.model"] = model
    run(app)


def test_the_same_class_made_anew_keeps_everything() -> None:
    inner: dict[str, Any] = {
        "text": (str, ...),
        "items": (list[int], [1, 2]),
        "maybe": (str | None, None),
        "one": (int | str, 1),
        "pair": (tuple[int, str], (1, "a")),
        "table": (dict[str, int], {"a": 1}),
        "words": (list[str], ["w"]),
    }

    def make() -> type[BaseModel]:
        sub = create_model("Sub", name=(str, "n"), **inner)
        return variables(sub=(sub, ...), **inner)

    app = open_form(make())
    app.text_input(key="run.text").set_value("typed")
    app.text_input(key="run.sub.text").set_value("inner")
    app.toggle(key="run.maybe#set").set_value(True)
    app.segmented_control(key="run.one#type").set_value("Text")
    run(app)
    app.text_input(key="run.maybe").set_value("here")
    run(app)
    before = result(app).raw
    second = make()
    swap(app, second)
    assert result(app).raw == before
    assert isinstance(result(app).value, second)
    assert result(app).value.sub.text == "inner"


def test_a_changed_class_keeps_the_fields_that_stay() -> None:
    app = open_form(variables(text=(str, ...), count=(int, 1), size=(int, 2)))
    app.text_input(key="run.text").set_value("typed")
    app.number_input(key="run.count").set_value(5)
    app.number_input(key="run.size").set_value(6)
    run(app)
    swap(app, variables(text=(str, ...), count=(str, "x"), size=(int, 3), more=(str, ...)))
    assert result(app).raw == {"text": "typed", "count": "x", "size": 3}
    app.text_input(key="run.more").set_value("z")
    run(app)
    assert result(app).value.more == "z"
    swap(app, variables(text=(str, ...)))
    assert result(app).raw == {"text": "typed"}


class Layered(BaseModel):
    shown: int = 1
    hidden: int = Field(2, json_schema_extra={"hidden": True})
    kept_out: str = "out"
    constant: Literal["fixed"]
    grouped: int = Field(3, json_schema_extra={"group": "Sizes & *more*"})
    late: int = Field(4, le=5, json_schema_extra={"advanced": True})


def test_hidden_excluded_and_constant_fields_keep_their_values() -> None:
    app = open_form(Layered, exclude=("kept_out",), loaded={"hidden": 9, "kept_out": "given"})
    assert [field.key for field in app.number_input] == ["run.shown", "run.grouped", "run.late"]
    assert not app.text_input
    assert result(app).value == Layered(hidden=9, kept_out="given", constant="fixed")
    assert "**Sizes \\& \\*more\\***" in [text.value for text in app.markdown]


def test_advanced_fields_are_put_away_unless_something_is_wrong_with_them() -> None:
    assert not open_form(Layered).expander[0].proto.expanded
    app = open_form(Layered, loaded={"late": 50})
    assert app.expander[0].proto.expanded
    assert errors(app) == {"late": "This should be less than or equal to 5."}


def test_an_error_of_a_field_that_is_not_drawn_stands_on_top() -> None:
    app = open_form(Layered, loaded={"hidden": "x"})
    assert at_fields(app) == []
    assert app.error[0].value == "- **Hidden**: This should be a whole number\\. Given: ` x `"


def test_many_errors_are_counted() -> None:
    model = variables(**{f"field_{place}": (int, 1) for place in range(12)})
    app = open_form(model, loaded={f"field_{place}": "x" for place in range(12)})
    assert app.error[0].value.splitlines()[-1] == "- and 4 more"
    assert [error.path for error in result(app).errors] == [f"field_{place}" for place in range(12)]


@pytest.fixture
def _widgets() -> Iterator[None]:
    known = dict(registry._WIDGETS)
    yield
    registry._WIDGETS.clear()
    registry._WIDGETS.update(known)


SEEN: list[WidgetContext] = []


def halves(ctx: WidgetContext) -> Any:
    """Two halves of a text with a dash between them."""
    SEEN.append(ctx)
    first, _, second = (ctx.value or "-").partition("-")
    ctx.seed(first)
    ctx.seed(second, key=f"{ctx.key}#second")
    left = st.text_input(ctx.label, key=ctx.key, help=ctx.help, label_visibility=ctx.label_visibility)
    right = st.text_input("Second half", key=f"{ctx.key}#second")
    return f"{left}-{right}" if left or right else None


class Halved(BaseModel):
    code: str = Field(
        "ab-cd", max_length=8, description="A code.", json_schema_extra={"widget": "halves", "own": "setting"}
    )
    maybe: list[int] | None = Field(None, json_schema_extra={"widget": "numbers"})


def numbers(ctx: WidgetContext) -> Any:
    """A list of numbers as one text."""
    ctx.seed("" if ctx.value is None else " ".join(map(str, ctx.value)))
    text = st.text_input(ctx.label, key=ctx.key)
    return [int(word) for word in text.split()] if text else None


@pytest.mark.usefixtures("_widgets")
def test_a_type_brings_its_own_widgets() -> None:
    register_widget("halves", halves)
    register_widget("halves", halves)
    register_widget("numbers", numbers)
    SEEN.clear()
    app = open_form(Halved)
    assert result(app).value == Halved()
    context = SEEN[-1]
    assert (context.bounds.max_length, context.extra["own"], context.help) == (8, "setting", "A code\\.")
    app.text_input(key="run.code#second").set_value("xyz")
    app.text_input(key="run.maybe").set_value("1 2")
    run(app)
    assert result(app).value == Halved(code="ab-xyz", maybe=[1, 2])
    app.text_input(key="run.code").set_value("abcdef")
    run(app)
    assert errors(app) == {"code": "String should have at most 8 characters."}
    assert len(at_fields(app)) == 1
    again = open_form(Halved, loaded=result(app).raw)
    assert again.text_input(key="run.code").value == "abcdef"
    assert again.text_input(key="run.maybe").value == "1 2"


@pytest.mark.usefixtures("_widgets")
def test_names_of_widgets_are_taken_once() -> None:
    register_widget("halves", halves)
    with pytest.raises(ConfigurationError, match="taken by"):
        register_widget("halves", numbers)
    with pytest.raises(ConfigurationError, match="built in"):
        register_widget("slider", halves)
    with pytest.raises(ConfigurationError, match="No widget is registered as 'unheard'"):
        registry.widget_named("unheard")


@pytest.mark.usefixtures("_widgets")
def test_packages_offer_widgets_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(*, group: str, name: str) -> list[EntryPoint]:
        assert group == "mcp_core.widgets"
        return [EntryPoint(name, f"tests.ui.test_forms_state:{name}", group)]

    monkeypatch.setattr(registry, "entry_points", installed)
    assert registry.widget_named("halves") is halves
    with pytest.raises(ConfigurationError, match="cannot be imported"):
        registry.widget_named("nothing_here")


def test_load_works_before_the_form_is_drawn_and_outside_its_page() -> None:
    def page(task: "type[Any]") -> None:
        import streamlit as st

        from mcp_core.ui.forms import load, model_form

        if "page.once" not in st.session_state:
            st.session_state["page.once"] = True
            load("run", {"samples": 2})
        st.session_state["page.result"] = model_form(task, key="run", value={"samples": 8, "name": "n"})

    app = AppTest.from_function(page, kwargs={"task": Task}, default_timeout=60)
    run(app)
    assert result(app).value == Task(samples=2)
