"""Widgets that types bring along.

def render_mood(ctx: WidgetContext) -> str:
    ctx.seed(ctx.value or "calm")
    return st.select_slider(ctx.label, ["calm", "tense"], key=ctx.key, help=ctx.help)

register_widget("mood", render_mood)      # or an entry point `mood` in the group `mcp_core.widgets`

class Config(BaseModel):
    mood: str = Field(json_schema_extra={"widget": "mood"})
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

import streamlit as st

from mcp_core.errors import ConfigurationError
from mcp_core.ui.forms.spec import BUILT_IN_WIDGETS, Bounds, Option

__all__ = ["Render", "WidgetContext", "register_widget", "widget_named"]


@dataclass(frozen=True)
class WidgetContext:
    """What a widget is told about its field.

    Attributes:
        key: the key to give to the (first) Streamlit widget; further ones append `#something`.
        label, help: ready for Streamlit, hostile text escaped.
        value: raw JSON-compatible value, None where there is none. A SecretStr stays one.
        placeholder: an example of a value, empty where the model gives none.
        label_visibility: `visible`, or `collapsed` where the label already stands above.
        annotation, bounds, options: what the model says of the value; options for enumerations and literals.
        fresh: the value was set by the program since it was last drawn.
        extra: the field's `json_schema_extra`.
    """

    key: str
    label: str
    help: str | None
    value: Any
    placeholder: str
    label_visibility: Any
    annotation: Any
    bounds: Bounds
    options: tuple[Option, ...]
    fresh: bool
    extra: Mapping[str, Any] = field(default_factory=dict)

    def seed(self, widget_value: Any, key: str | None = None) -> None:
        """Put a value into the widget about to be drawn, if it holds none or an outdated one."""
        name = key or self.key
        if self.fresh or name not in st.session_state:
            st.session_state[name] = widget_value


Render = Callable[[WidgetContext], Any]

ENTRY_POINTS = "mcp_core.widgets"
"""Group of entry points under which packages offer widgets: the name is the widget's."""

_WIDGETS: dict[str, Render] = {}


def register_widget(name: str, render: Render) -> None:
    """Make a widget known under the name that fields give as `json_schema_extra={"widget": name}`.

    `render` draws it and returns the raw, JSON-compatible value. The same function may be registered again (a page is
    a script and runs again), and so may its successor after a code reload.

    Raises:
        ConfigurationError: the name is one of the built-in presentations, or another module's widget has it.
    """
    if name in BUILT_IN_WIDGETS:
        raise ConfigurationError(
            f"The widget name {name!r} is built in.", hint="Register the widget under another name.", field="widget"
        )
    known = _WIDGETS.get(name)
    if known is not None and (known.__module__, known.__qualname__) != (render.__module__, render.__qualname__):
        raise ConfigurationError(
            f"The widget name {name!r} is taken by {known.__module__}.{known.__qualname__}.",
            hint="Register the widget under another name.",
            field="widget",
        )
    _WIDGETS[name] = render


def widget_named(name: str) -> Render:
    """The widget registered under a name, or the one an installed package offers under it (`ENTRY_POINTS`).

    Raises:
        ConfigurationError: there is none, or it cannot be imported.
    """
    if name not in _WIDGETS:
        _import(name)
    if name not in _WIDGETS:
        raise ConfigurationError(
            f"No widget is registered as {name!r}.",
            hint="Call register_widget() where the type is defined, or name one of: "
            + ", ".join(sorted({*BUILT_IN_WIDGETS, *_WIDGETS} - {""})),
            field="widget",
        )
    return _WIDGETS[name]


def _import(name: str) -> None:
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        try:
            register_widget(name, entry.load())
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(
                f"The widget {name!r} of {entry.value!r} cannot be imported: {error}.",
                hint="Reinstall or repair the package that offers it.",
                field="widget",
            ) from error
