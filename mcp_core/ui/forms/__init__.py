"""Forms from pydantic models: `model_form` draws one, `register_widget` teaches it a new widget.

What a field says of itself is shown: title (or its name in words), description as help, the first of `examples` as
placeholder, limits as limits of the widget. `json_schema_extra` may add, for the form alone:

=========  ===========================================================================================================
key        meaning
=========  ===========================================================================================================
unit       shown behind the label: `"s"`, `"tokens"`
widget     `textarea` or `code` (several lines), `json` (write it as JSON), `slider` (a number with both limits),
           `rows` or `chips` (a list of texts or choices), or the name of a registered widget
advanced   True: put away under "Advanced"
group      a heading; fields of one group stand together
hidden     True: not drawn, the value is kept
=========  ===========================================================================================================

The way through the package: `annotations` reads a model into `spec`s; `nodes` and `nodes_many` hold what was typed;
`codec` and `views` translate between objects, JSON and widgets; `check` validates; `draw` and `leaves` use Streamlit.
"""

from mcp_core.ui.forms.check import FieldError
from mcp_core.ui.forms.form import FormResult, load, model_form, reveal
from mcp_core.ui.forms.registry import WidgetContext, register_widget

__all__ = ["FieldError", "FormResult", "WidgetContext", "load", "model_form", "register_widget", "reveal"]
