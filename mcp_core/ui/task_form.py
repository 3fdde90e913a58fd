"""The form of a run: choose a task or a type, fill it in; what it holds stands in the address."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from pydantic_core import to_jsonable_python
from streamlit.delta_generator import DeltaGenerator

from mcp_core.api.client import MCPClient
from mcp_core.errors import MCPError
from mcp_core.models import TaskDefinition
from mcp_core.types.base import BaseMCPConfig
from mcp_core.types.variables import FIELD_PREFIX, VariableSpec, variables_model
from mcp_core.ui import state, text
from mcp_core.ui.client import current_actor
from mcp_core.ui.forms import load, model_form, register_widget, reveal
from mcp_core.ui.model_picker import render_model

__all__ = [
    "DEFAULT_TASK",
    "Filled",
    "TaskChoice",
    "fill",
    "show_what_is_missing",
    "task_form",
    "task_picker",
    "tasks_of",
]

DEFAULT_TASK = "summarise"
"""What the form opens with where the address names nothing."""

register_widget("model", render_model)

_TASK = "run.task"
_SEEN = "run.seen"


@dataclass(frozen=True, slots=True)
class TaskChoice:
    """What is to be run.

    Attributes:
        name: the task's name, or the type's where a new task is begun.
        title: what people call it.
        base: the raw config the form starts with; complete for a task.
    """

    name: str
    title: str
    config_class: type[BaseMCPConfig]
    base: Mapping[str, Any]
    is_new: bool
    description: str = ""

    @property
    def config_key(self) -> str:
        """Key of the form of its settings."""
        return f"run.{self.name}.settings"

    @property
    def variables_key(self) -> str:
        """Key of the form of its variables."""
        return f"run.{self.name}.variables"


@dataclass(frozen=True, slots=True)
class Filled:
    """What the form holds now.

    Attributes:
        config, variables: None while something is wrong or missing.
        link: query parameters that restore the form.
    """

    config: BaseMCPConfig | None
    variables: dict[str, Any] | None
    link: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        """Whether it can be run."""
        return self.config is not None and self.variables is not None


@st.cache_resource(ttl=5, show_spinner=False)
def _tasks(_client: MCPClient, data_dir: str) -> tuple[list[TaskDefinition], dict[str, str]]:  # noqa: ARG001  # tells the clients of two directories apart
    return _client.tasks.list(), dict(_client.tasks.broken)


def tasks_of(client: MCPClient) -> list[TaskDefinition]:
    """Tasks that can be chosen, by name; read anew every few seconds, since they are files."""
    return _tasks(client, str(client.settings.data_dir))[0]


def task_picker(client: MCPClient) -> TaskChoice:
    """Choose an example, a task of the data directory, or a type to begin a new task of.

    The address decides when it was changed from outside (a link, the browser's back button); otherwise the widget
    does. Without either, what was chosen before in this session comes back.
    """
    tasks = {task.name: task for task in tasks_of(client)}
    types = [name for name in client.registry.names() if name not in tasks]
    names = [*tasks, *types]
    opened = _opened()
    if opened is not None:
        _take_from_address(client, opened, tasks, names)
    elif st.session_state.get(_TASK) not in names:
        st.session_state[_TASK] = DEFAULT_TASK if DEFAULT_TASK in names else names[0]

    def title(name: str) -> str:
        if name in tasks:
            return str(tasks[name].config.get("name") or name)
        return f"New: {client.registry.get(name).title}"

    chosen = st.selectbox(
        "Task",
        names,
        key=_TASK,
        format_func=title,
        persist_state="session",
        help="An example, a task file of the data directory, or a new task of one of the types.",
    )
    broken = _tasks(client, str(client.settings.data_dir))[1]
    for name, reason in broken.items():
        st.warning(text.escape(reason), title=f"{text.escape(name)} is left out", icon=":material/warning:")
    return _choice(client, tasks, chosen)


def _choice(client: MCPClient, tasks: Mapping[str, TaskDefinition], name: str) -> TaskChoice:
    if name in tasks:
        task = tasks[name]
        return TaskChoice(
            name,
            str(task.config.get("name") or name),
            client.registry.get(task.type).config_class,
            task.config,
            is_new=False,
            description=str(task.config.get("description", "")),
        )
    definition = client.registry.get(name)
    base = {
        field_name: to_jsonable_python(info.get_default(call_default_factory=True))
        for field_name, info in definition.config_class.model_fields.items()
        if not info.is_required()
    }
    summary = (definition.config_class.__doc__ or "").strip().partition("\n")[0]
    return TaskChoice(name, definition.title, definition.config_class, base, is_new=True, description=summary)


def task_form(
    client: MCPClient, choice: TaskChoice, *, variables_in: DeltaGenerator, settings_in: DeltaGenerator
) -> Filled:
    """Draw the form of `choice`.

    Args:
        variables_in, settings_in: containers for its two parts.
    """
    with settings_in:
        settings = model_form(choice.config_class, key=choice.config_key, value=choice.base)
    specs = _specs(choice, settings.value)
    with variables_in:
        values = model_form(variables_model(specs), key=choice.variables_key)
        if not specs and not choice.is_new:
            st.caption("This task takes no variables.")
    held = state.FormState(
        {name: value for name, value in settings.raw.items() if choice.base.get(name) != value},
        {
            name: values.raw[FIELD_PREFIX + name]
            for name, spec in specs.items()
            if values.raw.get(FIELD_PREFIX + name) != spec.default
        },
    )
    variables = values.value.model_dump(mode="json", by_alias=True) if values.value is not None else None
    return Filled(settings.value, variables, _keep_in_address(client, choice, held))


def show_what_is_missing(choice: TaskChoice) -> None:
    """Show the errors of both forms, also at fields nobody has touched."""
    reveal(choice.config_key)
    reveal(choice.variables_key)


def _specs(choice: TaskChoice, config: BaseMCPConfig | None) -> dict[str, VariableSpec]:
    """Variables of the settings as they are; while those are wrong, of the last ones that were right."""
    key = f"{choice.config_key}.specs"
    if config is not None:
        st.session_state[key] = config.variable_specs()
    found: dict[str, VariableSpec] = st.session_state.get(key, {})
    return found


# The address


def _form_params() -> dict[str, str]:
    return {name: value for name, value in st.query_params.items() if name == "task" or state.is_form_param(name)}


def _opened() -> dict[str, str] | None:
    """What the address asks to be shown, if it was changed by anybody but this form."""
    params = _form_params()
    if params == st.session_state.get(_SEEN):
        return None
    # A bare address in a session that has filled the form before means: as I left it.
    return params if params or _SEEN not in st.session_state else None


def _take_from_address(
    client: MCPClient, params: dict[str, str], tasks: Mapping[str, TaskDefinition], names: list[str]
) -> None:
    st.session_state[_SEEN] = params
    asked = params.get("task", DEFAULT_TASK if DEFAULT_TASK in names else names[0])
    if asked not in names:
        known = ", ".join(names)
        st.warning(
            f"Known are {text.escape(known)}.",
            title=f"There is no task {text.escape(asked[:80])}",
            icon=":material/search_off:",
        )
        asked = DEFAULT_TASK if DEFAULT_TASK in names else names[0]
    st.session_state[_TASK] = asked
    choice = _choice(client, tasks, asked)
    try:
        wanted = state.from_params(client, params)
    except MCPError as error:
        st.warning(text.escape(error.message), title="The form could not be restored", icon=":material/link_off:")
        if error.hint:
            st.caption(text.escape(error.hint))
        wanted = state.FormState()
    fill(client, choice, wanted)


def fill(client: MCPClient, choice: TaskChoice, wanted: state.FormState) -> None:
    """Put a state into the form of `choice`; what it does not name gets the task's own value."""
    raw = {**choice.base, **wanted.config}
    load(choice.config_key, raw)
    try:
        specs = client.parse(raw).variable_specs()
    except MCPError:
        specs = {}
    values = {
        FIELD_PREFIX + name: _typed(specs.get(name, VariableSpec()), value) for name, value in wanted.variables.items()
    }
    load(choice.variables_key, values)


def _typed(spec: VariableSpec, value: Any) -> Any:
    """A value from an address, where all are texts, as the variable's own kind; unchanged where it is none."""
    if not isinstance(value, str):
        return value
    if spec.choices and value not in spec.choices:
        return next((choice for choice in spec.choices if json.dumps(choice) == value), value)
    if spec.type in ("string", "text", "date"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _keep_in_address(client: MCPClient, choice: TaskChoice, held: state.FormState) -> dict[str, str]:
    """Write what the form holds into the address; returns the parameters."""
    kept = f"{choice.config_key}.kept"
    known: tuple[state.FormState, dict[str, str]] | None = st.session_state.get(kept)
    if known is not None and known[0] == held:
        params = known[1]
    else:
        try:
            params = {"task": choice.name, **state.to_params(client, held, actor=current_actor())}
        except MCPError as error:
            st.caption(f":material/link_off: The link to this form is not kept: {text.escape(error.message)}")
            params = {"task": choice.name}
        st.session_state[kept] = (held, params)
    for name in _form_params():
        if name not in params:
            del st.query_params[name]
    for name, value in params.items():
        if st.query_params.get(name) != value:
            st.query_params[name] = value
    st.session_state[_SEEN] = params
    return params
