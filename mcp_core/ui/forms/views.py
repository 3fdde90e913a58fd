"""How a leaf is drawn, and how its raw value looks in that widget: pure functions, no Streamlit.

The mode is chosen when a value is put into the form and stays until another is: a widget never changes its nature
under somebody's hands. A native widget is chosen where the browser keeps the value exactly (no integer beyond 2**53,
no second in a time picker, nothing outside the bounds); otherwise a text field shows it as it is.
"""

import json
import math
from datetime import date, datetime, time
from typing import Any

from mcp_core.ui.forms.codec import decode, encode, option_of
from mcp_core.ui.forms.nodes import Leaf
from mcp_core.ui.forms.spec import BUILT_IN_WIDGETS, MISSING, Bounds, Kind, LeafSpec
from mcp_core.ui.forms.text import duration_to_text

__all__ = ["base_widget", "choose_mode", "from_widget", "is_wide", "limits", "to_widget"]

SAFE_INTEGER = 2**53 - 1
LONG_TEXT = 80


def choose_mode(leaf: Leaf) -> str:
    """The kind of widget for a leaf's present value."""
    spec, value = leaf.spec, leaf.value
    if spec.meta.widget not in BUILT_IN_WIDGETS:
        return "custom"
    blank = value is MISSING or value is None
    match spec.kind:
        case Kind.CHOICE:
            return "choice" if blank or option_of(spec, value) is not None else "odd choice"
        case Kind.SECRET | Kind.JSON | Kind.CONST:
            return spec.kind.value
        case Kind.BOOL if blank or isinstance(value, bool):
            return "yes or no" if blank or spec.optional else "check"
        case Kind.INT | Kind.FLOAT if blank or _fits_number(spec, value):
            low, high = limits(spec)
            slides = spec.meta.widget == "slider" and not blank and None not in (low, high) and low < high
            return "slider" if slides else "number"
        case Kind.DATE if blank or _fits_date(spec, value):
            return "date"
        case Kind.TIME if blank or _whole_minute(value):
            return "clock"
        case Kind.DATETIME if blank or _fits_datetime(spec, value):
            return "moment"
        case Kind.STR:
            return _text_mode(spec, value)
    return "text"


def _text_mode(spec: LeafSpec, value: Any) -> str:
    if spec.meta.widget in ("textarea", "code"):
        return "area"
    long = isinstance(value, str) and (len(value) > LONG_TEXT or "\n" in value or "\r" in value)
    return "area" if long else "text"


def limits(spec: LeafSpec) -> tuple[Any, Any]:
    """Smallest and largest value the widget itself allows; None where there is none.

    Exclusive limits of whole numbers move by one. Those of other numbers stay: the model refuses the limit itself.
    """
    bounds: Bounds = spec.bounds
    whole = spec.kind is Kind.INT
    kind = int if whole else float
    lows = [kind(bounds.ge)] if bounds.ge is not None else []
    lows += [kind(bounds.gt) + 1 if whole else kind(bounds.gt)] if bounds.gt is not None else []
    highs = [kind(bounds.le)] if bounds.le is not None else []
    highs += [kind(bounds.lt) - 1 if whole else kind(bounds.lt)] if bounds.lt is not None else []
    low, high = max(lows, default=None), min(highs, default=None)
    if whole:
        step = bounds.multiple_of
        if low is not None and isinstance(step, int) and step > 1:
            low = -(-low // step) * step
        low = None if low is None or abs(low) > SAFE_INTEGER else low
        high = None if high is None or abs(high) > SAFE_INTEGER else high
    else:
        low = None if low is None or not math.isfinite(low) else low
        high = None if high is None or not math.isfinite(high) else high
    return (None, None) if low is not None and high is not None and low > high else (low, high)


def _fits_number(spec: LeafSpec, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if spec.kind is Kind.INT and (not isinstance(value, int) or abs(value) > SAFE_INTEGER):
        return False
    try:
        number = float(value)
    except OverflowError:
        return False
    low, high = limits(spec)
    return math.isfinite(number) and (low is None or value >= low) and (high is None or value <= high)


def _fits_date(spec: LeafSpec, value: Any) -> bool:
    found = decode(spec, value)
    if type(found) is not date or not 1000 <= found.year <= 9998:
        return False
    low, high = spec.bounds.ge or spec.bounds.gt, spec.bounds.le or spec.bounds.lt
    return (low is None or low <= found) and (high is None or found <= high)


def _whole_minute(value: Any) -> bool:
    try:
        found = time.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return not found.second and not found.microsecond and found.tzinfo is None


def _fits_datetime(spec: LeafSpec, value: Any) -> bool:
    found = decode(spec, value)
    return isinstance(found, datetime) and 1000 <= found.year <= 9998


def to_widget(leaf: Leaf) -> Any:
    """What the widget is to hold for the leaf's value, in its mode."""
    spec, value = leaf.spec, leaf.value
    blank = value is MISSING or value is None
    match leaf.mode:
        case "secret":
            return ""
        case "choice" | "odd choice":
            option = option_of(spec, value)
            return (None if blank else str(value)) if option is None else option.label
        case "yes or no":
            return None if blank else "Yes" if value else "No"
        case "check":
            return bool(value)
        case "number" | "slider":
            return None if blank else int(value) if spec.kind is Kind.INT else float(value)
        case "date":
            return None if blank else decode(spec, value)
        case "clock":
            return None if blank else time.fromisoformat(value)
        case "moment":
            return (None, "") if blank else _moment(decode(spec, value))
        case "json":
            return _json_text(leaf)
    if blank:
        return ""
    if spec.kind is Kind.TIMEDELTA:
        found = decode(spec, value)
        return str(value) if isinstance(found, str | int | float) else duration_to_text(found)
    # A lone surrogate, as JSON can spell it, cannot be sent to a browser.
    return str(value).encode(errors="replace").decode()


def base_widget(leaf: Leaf) -> Any:
    """What the widget of a fresh form would hold, in the leaf's mode; empty where that cannot show it."""
    fresh = Leaf(leaf.spec, leaf.key, leaf.build, leaf.base)
    if choose_mode(fresh) != leaf.mode:
        fresh.value = MISSING
    fresh.mode = leaf.mode
    return to_widget(fresh)


def _moment(value: datetime) -> tuple[date, str]:
    return value.date(), value.isoformat().partition("T")[2]


def _json_text(leaf: Leaf) -> str:
    if leaf.value is MISSING or (leaf.value is None and leaf.spec.optional):
        return ""
    if leaf.fault and isinstance(leaf.value, str):
        return leaf.value
    try:
        text = json.dumps(leaf.value, indent=2, ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(leaf.value, indent=2)
    except (TypeError, ValueError):
        text = json.dumps(leaf.value, indent=2, default=str)
    return text


def from_widget(leaf: Leaf, shown: Any) -> tuple[Any, str]:
    """The raw value for what the widget holds now, and why it is none (empty where it is one)."""
    spec = leaf.spec
    empty = None if spec.optional else MISSING
    match leaf.mode:
        case "choice" | "odd choice":
            option = next((option for option in spec.options if option.label == shown), None)
            return (empty if shown is None else shown) if option is None else option.raw, ""
        case "yes or no":
            return empty if shown is None else shown == "Yes", ""
        case "check":
            return bool(shown), ""
        case "number" | "slider":
            return empty if shown is None else shown, ""
        case "date" | "clock":
            return empty if shown is None else shown.isoformat(), ""
        case "moment":
            return _moment_from(shown, empty), ""
        case "json":
            return _json_from(shown or "", empty)
    return _text_from(leaf, shown or "", empty), ""


def _moment_from(shown: tuple[date | None, str], empty: Any) -> Any:
    day, clock = shown[0], shown[1].strip()
    if day is None and not clock:
        return empty
    return f"{day.isoformat() if day else ''}T{clock or '00:00'}"


def _json_from(text: str, empty: Any) -> tuple[Any, str]:
    if not text.strip():
        return empty, ""
    try:
        return json.loads(text), ""
    except json.JSONDecodeError as error:
        return text, f"This is not valid JSON: {error.msg.lower()} in line {error.lineno}, column {error.colno}."
    except RecursionError:
        return text, "This JSON is nested too deeply."


def _text_from(leaf: Leaf, text: str, empty: Any) -> Any:
    spec = leaf.spec
    if spec.kind is Kind.STR:
        # An empty text is a value of its own only where the field was given one.
        return text if text or (leaf.filled and not spec.optional) else empty
    if not text.strip():
        return empty
    return encode(spec, text) if spec.kind in (Kind.INT, Kind.FLOAT, Kind.BOOL) else text


def is_wide(leaf: Leaf) -> bool:
    """Whether the widget wants the whole width of the form."""
    return leaf.mode in ("area", "json") or leaf.spec.meta.widget in ("textarea", "code")
