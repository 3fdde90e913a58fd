"""Forms from pydantic models: `model_form` draws one, `register_widget` teaches it a new widget.

The way through the package: `annotations` reads a model into `spec`s; `nodes` and `nodes_many` hold what was typed;
`codec` and `views` translate between objects, JSON and widgets; `check` validates; `draw` and `leaves` use Streamlit.
"""

from mcp_core.ui.forms.check import FieldError
from mcp_core.ui.forms.form import FormResult, load, model_form, reveal
from mcp_core.ui.forms.registry import WidgetContext, register_widget

__all__ = ["FieldError", "FormResult", "WidgetContext", "load", "model_form", "register_widget", "reveal"]
