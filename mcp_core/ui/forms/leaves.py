"""One Streamlit widget for each mode of a leaf. See `views` for what a mode is."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import streamlit as st

from mcp_core.ui.forms import views
from mcp_core.ui.forms.codec import secret_of
from mcp_core.ui.forms.nodes import Leaf
from mcp_core.ui.forms.registry import WidgetContext, widget_named
from mcp_core.ui.forms.spec import MISSING, Kind, LeafSpec

__all__ = ["Caption", "draw_leaf"]

EARLIEST, LATEST = date(1000, 1, 1), date(9999, 12, 31)
FEW_OPTIONS, FEW_LETTERS = 4, 36
# The labels of segments are Markdown and end up in the URL when bound, so they are shown there only where they need
# no escaping; the options of a select box are plain text.
PLAIN_LABEL = re.compile(r"[^\W_](?:(?!--| _)[\w .,/()%+-])*")


@dataclass(frozen=True)
class Caption:
    """The words around a widget, escaped.

    Attributes:
        hidden: the label already stands above the widget.
        bound: the widget's value is kept in the URL.
    """

    label: str
    help: str | None = None
    placeholder: str = ""
    hidden: bool = False
    bound: bool = False

    @property
    def visibility(self) -> Literal["visible", "collapsed"]:
        """For Streamlit's `label_visibility`."""
        return "collapsed" if self.hidden else "visible"

    def common(self, key: str) -> dict[str, Any]:
        """The arguments all input widgets share."""
        arguments: dict[str, Any] = {"key": key, "help": self.help, "label_visibility": self.visibility}
        return {**arguments, "bind": "query-params"} if self.bound else arguments


def draw_leaf(leaf: Leaf, caption: Caption) -> None:
    """Draw the widget and take over what was typed into it."""
    if leaf.stale or not leaf.mode:
        leaf.mode = views.choose_mode(leaf)
    if leaf.mode == "custom":
        _custom(leaf, caption)
        leaf.stale = False
        return
    if leaf.mode == "const":
        return
    if leaf.stale or leaf.key not in st.session_state:
        leaf.seed = views.to_widget(leaf)
        _put(leaf, caption.bound)
    elif leaf.echo:
        # Streamlit writes a value that the program gave into the URL only once the widget exists.
        st.session_state[leaf.key] = st.session_state[leaf.key]
        leaf.echo = False
    shown = _DRAW[leaf.mode](leaf, caption)
    leaf.stale = False
    if shown == leaf.seed and type(shown) is type(leaf.seed):
        return
    leaf.seed = shown
    if leaf.mode == "secret":
        leaf.take(_secret(leaf, shown))
    else:
        leaf.take(*views.from_widget(leaf, shown))


def _put(leaf: Leaf, bound: bool) -> None:
    if bound and leaf.key not in st.session_state:
        if leaf.seed == views.base_widget(leaf):
            return
        leaf.echo = True
    if leaf.mode == "moment":
        st.session_state[leaf.key], st.session_state[f"{leaf.key}#time"] = leaf.seed
    else:
        st.session_state[leaf.key] = leaf.seed


def _secret(leaf: Leaf, text: str) -> Any:
    return secret_of(leaf.spec, text) if text else leaf.stored


def _text(leaf: Leaf, caption: Caption) -> Any:
    placeholder = caption.placeholder or ("None" if leaf.spec.optional else "")
    return st.text_input(
        caption.label,
        value=_start(leaf, caption, ""),
        max_chars=_max_chars(leaf),
        placeholder=placeholder,
        **caption.common(leaf.key),
    )


def _start(leaf: Leaf, caption: Caption, neutral: Any) -> Any:
    """The default the widget is declared with.

    A value bound to the URL is left out of it while it is the widget's default, so there the two must be the same.
    Elsewhere the value is always given through the session, and the declared one is neutral.
    """
    return views.base_widget(leaf) if caption.bound else neutral


def _clearable(leaf: Leaf) -> bool:
    return leaf.spec.optional or not leaf.filled


def _area(leaf: Leaf, caption: Caption) -> Any:
    return st.text_area(
        caption.label,
        value=_start(leaf, caption, ""),
        height="content",
        max_chars=_max_chars(leaf),
        placeholder=caption.placeholder,
        **caption.common(leaf.key),
    )


_MOST_COUNTED = 10_000


def _max_chars(leaf: Leaf) -> int | None:
    """Streamlit cuts what is longer, so the bound is set only where the text that came fits.

    A generous bound is left to the check of the whole form: counting towards a million is noise.
    """
    limit = leaf.spec.bounds.max_length if leaf.spec.kind is Kind.STR else None
    start = leaf.value if isinstance(leaf.value, str) else ""
    return limit if limit and len(start) <= limit <= _MOST_COUNTED else None


def _json(leaf: Leaf, caption: Caption) -> Any:
    placeholder = caption.placeholder or '{"name": "value"}'
    return st.text_area(caption.label, height="content", placeholder=placeholder, **caption.common(leaf.key))


def _password(leaf: Leaf, caption: Caption) -> Any:
    placeholder = caption.placeholder if leaf.stored in (MISSING, None) else "Stored. Type to replace it."
    arguments = {name: value for name, value in caption.common(leaf.key).items() if name != "bind"}
    return st.text_input(caption.label, type="password", placeholder=placeholder, **arguments)


def _number(leaf: Leaf, caption: Caption) -> Any:
    low, high = views.limits(leaf.spec)
    return st.number_input(
        caption.label,
        min_value=low,
        max_value=high,
        value=_start(leaf, caption, None if _clearable(leaf) else "min"),
        step=_step(leaf.spec),
        format="%d" if leaf.spec.kind is Kind.INT else "%g",
        placeholder=caption.placeholder or ("None" if leaf.spec.optional else ""),
        **caption.common(leaf.key),
    )


def _step(spec: LeafSpec) -> int | float:
    multiple = spec.bounds.multiple_of
    if spec.kind is Kind.INT:
        return int(multiple) if multiple and int(multiple) == multiple else 1
    low, high = views.limits(spec)
    if multiple:
        return float(multiple)
    return 0.1 if low is not None and high is not None and high - low > 1 else 0.01 if high and high <= 1 else 0.1


def _slider(leaf: Leaf, caption: Caption) -> Any:
    low, high = views.limits(leaf.spec)
    step = _step(leaf.spec) if leaf.spec.kind is Kind.INT or leaf.spec.bounds.multiple_of else (high - low) / 100
    value = _start(leaf, caption, None)
    return st.slider(caption.label, min_value=low, max_value=high, value=value, step=step, **caption.common(leaf.key))


def _check(leaf: Leaf, caption: Caption) -> Any:
    return st.checkbox(caption.label, value=_start(leaf, caption, False), **caption.common(leaf.key))


def _yes_or_no(leaf: Leaf, caption: Caption) -> Any:
    return _segments(leaf, ["Yes", "No"], caption)


def _choice(leaf: Leaf, caption: Caption) -> Any:
    labels = [option.label for option in leaf.spec.options]
    if len(labels) <= FEW_OPTIONS and sum(map(len, labels)) <= FEW_LETTERS and all(map(PLAIN_LABEL.fullmatch, labels)):
        return _segments(leaf, labels, caption)
    return _select(leaf, labels, caption)


def _segments(leaf: Leaf, labels: list[str], caption: Caption) -> Any:
    return st.segmented_control(
        caption.label,
        labels,
        default=_start(leaf, caption, None),
        required=not leaf.spec.optional,
        **caption.common(leaf.key),
    )


def _odd_choice(leaf: Leaf, caption: Caption) -> Any:
    labels = [option.label for option in leaf.spec.options]
    odd = views.to_widget(leaf)
    return _select(leaf, labels if odd in labels or odd is None else [*labels, odd], caption)


def _select(leaf: Leaf, labels: list[str], caption: Caption) -> Any:
    placeholder = "None" if leaf.spec.optional else "Choose"
    start = _start(leaf, caption, None if _clearable(leaf) else labels[0])
    index = labels.index(start) if start in labels else None
    return st.selectbox(caption.label, labels, index=index, placeholder=placeholder, **caption.common(leaf.key))


def _date(leaf: Leaf, caption: Caption) -> Any:
    bounds = leaf.spec.bounds
    low, high = bounds.ge or bounds.gt or EARLIEST, bounds.le or bounds.lt or LATEST
    return st.date_input(
        caption.label,
        value=_start(leaf, caption, None),
        min_value=low,
        max_value=high,
        format="YYYY-MM-DD",
        **caption.common(leaf.key),
    )


def _clock(leaf: Leaf, caption: Caption) -> Any:
    return st.time_input(caption.label, value=_start(leaf, caption, None), step=60, **caption.common(leaf.key))


def _moment(leaf: Leaf, caption: Caption) -> Any:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall"):
        day = st.date_input(
            caption.label,
            value=None,
            min_value=EARLIEST,
            max_value=LATEST,
            format="YYYY-MM-DD",
            **caption.common(leaf.key),
        )
        clock = st.text_input(
            f"{caption.label}, time",
            key=f"{leaf.key}#time",
            placeholder="14:30:00+02:00",
            label_visibility="collapsed",
        )
    return day, clock or ""


_DRAW: dict[str, Callable[[Leaf, Caption], Any]] = {
    "text": _text,
    "area": _area,
    "json": _json,
    "secret": _password,
    "number": _number,
    "slider": _slider,
    "check": _check,
    "yes or no": _yes_or_no,
    "choice": _choice,
    "odd choice": _odd_choice,
    "date": _date,
    "clock": _clock,
    "moment": _moment,
}


def _custom(leaf: Leaf, caption: Caption) -> None:
    spec = leaf.spec
    value = None if leaf.value is MISSING else leaf.value
    context = WidgetContext(
        key=leaf.key,
        label=caption.label,
        help=caption.help,
        value=value,
        placeholder=caption.placeholder,
        label_visibility=caption.visibility,
        annotation=spec.annotation,
        bounds=spec.bounds,
        options=spec.options,
        fresh=leaf.stale,
        extra=spec.meta.extra,
    )
    shown = widget_named(spec.meta.widget)(context)
    if shown != value:
        leaf.take(shown)
