"""The form of a run: choose a task or a type, fill it in; what it holds stands in the address."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from mcp_core.api.client import MCPClient
from mcp_core.errors import MCPError
from mcp_core.models import PRIORITIES, Priority
from mcp_core.types.base import BaseMCPConfig
from mcp_core.types.variables import FIELD_PREFIX, VariableSpec, validate_variables, variables_model
from mcp_core.ui import link_notes, state, text
from mcp_core.ui.choices import TaskChoice, broken_tasks_of, choice_of, choices_of, title_of
from mcp_core.ui.client import current_actor
from mcp_core.ui.forms import load, model_form, register_widget, reveal
from mcp_core.ui.model_picker import render_model

__all__ = ["Filled", "fill", "priority_picker", "show_what_is_missing", "task_form", "task_picker"]

register_widget("model", render_model)

_TASK = "run.task"
_ADDRESS = "run.address"
_MOST_NAMED = 3


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


@dataclass(slots=True)
class _Address:
    """What the session knows of the form's part of the address.

    Attributes:
        seen: the query parameters as they were last read or written.
        link: those that restore the form; empty where what was read could not be used.
        task, held: what the form held then; `held` is None until the form has been drawn with what was read.
    """

    seen: dict[str, str]
    link: dict[str, str]
    task: str
    held: state.FormState | None = None


def task_picker(client: MCPClient) -> TaskChoice:
    """Choose an example, a task of the data directory, or a type to begin a new task of.

    The address decides when it was changed from outside (a link, the browser's back button); otherwise the widget
    does. Whoever comes back from another page without an address finds the form as it was left.
    """
    names = choices_of(client)
    # The widget's value is gone once another page has been drawn.
    arrived = _TASK not in st.session_state
    address: _Address | None = st.session_state.get(_ADDRESS)
    params = _form_params()
    if address is None or (params != address.seen and (params or not arrived)):
        _take_from_address(client, params, names)
    elif arrived or st.session_state[_TASK] not in names:
        st.session_state[_TASK] = address.task if address.task in names else names[0]
    chosen = st.selectbox(
        "Task",
        names,
        key=_TASK,
        format_func=lambda name: title_of(client, name),
        help="An example, a task file of the data directory, or a new task of one of the types.",
    )
    _left_out(broken_tasks_of(client))
    return choice_of(client, chosen)


def _left_out(broken: Mapping[str, str]) -> None:
    """Name the task files that cannot be used in one line; why is folded in."""
    if not broken:
        return
    named = ", ".join(text.escape(name) for name in list(broken)[:_MOST_NAMED])
    more = f" and {len(broken) - _MOST_NAMED:,} more" if len(broken) > _MOST_NAMED else ""
    with st.expander(f"Left out: {named}{more}", icon=":material/warning:"):
        for name, reason in broken.items():
            st.markdown(f"**{text.escape(name)}**: {text.sentences(reason)}")


def priority_picker() -> Priority:
    """How soon the run is taken from the queue."""
    return st.selectbox(
        "Priority",
        PRIORITIES,
        index=PRIORITIES.index("normal"),
        key="run.priority",
        format_func=lambda priority: f"{priority.capitalize()} priority",
        label_visibility="collapsed",
        width=170,
        help="How soon it is taken from the queue where runs wait.",
    )


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
    json_names = {name for name, spec in specs.items() if spec.type == "json"}
    return Filled(settings.value, variables, _keep_in_address(client, choice, held, json_names))


def show_what_is_missing(choice: TaskChoice) -> None:
    """Show the errors of both forms, also at fields nobody has touched."""
    reveal(choice.config_key)
    reveal(choice.variables_key)


def fill(client: MCPClient, choice: TaskChoice, wanted: state.FormState) -> None:
    """Put a state into the form of `choice`; what it does not name gets the task's own value."""
    raw = {**choice.base, **wanted.config}
    load(choice.config_key, raw)
    try:
        specs = client.parse(raw).variable_specs()
    except MCPError:
        specs = {}
    values = {
        FIELD_PREFIX + name: _typed(specs.get(name, VariableSpec()), value) if wanted.as_text else value
        for name, value in wanted.variables.items()
    }
    load(choice.variables_key, values)


def _specs(choice: TaskChoice, config: BaseMCPConfig | None) -> dict[str, VariableSpec]:
    """Variables of the settings as they are; while those are wrong, of the last ones that were right."""
    key = f"{choice.config_key}.specs"
    if config is not None:
        st.session_state[key] = config.variable_specs()
    found: dict[str, VariableSpec] = st.session_state.get(key, {})
    return found


def _typed(spec: VariableSpec, value: Any) -> Any:
    """A value from an address, where all are texts, as the variable's own kind; unchanged where it is none."""
    if not isinstance(value, str):
        return value
    if spec.choices and (value not in spec.choices or spec.type == "json"):
        return next((choice for choice in spec.choices if json.dumps(choice) == value), value)
    if spec.type in ("string", "text", "date"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


# The address. Streamlit makes an entry in the browser's history of every change to it. So nothing is written for what
# was just read from there, however it was put: the back button would lead to it, and be sent forward again.


def _form_params() -> dict[str, str]:
    return {name: value for name, value in st.query_params.items() if state.is_form_param(name)}


def _take_from_address(client: MCPClient, params: dict[str, str], names: list[str]) -> None:
    task, wanted, link = names[0], state.FormState(), params
    try:
        named, wanted = state.from_params(client, params)
        task = named or task
    except MCPError as error:
        at_fault = next((name for name in ("from", "draft", "set") if params.get(name)), "task")
        link_notes.note_error(at_fault, params.get(at_fault, ""), error)
        task, link = params.get("task", task), {}
    if task not in names:
        link_notes.note("task", task, f"there is no such task; there are {', '.join(names)}.")
        task, wanted, link = names[0], state.FormState(), {}
    st.session_state[_TASK] = task
    st.session_state[_ADDRESS] = _Address(params, link, task)
    choice = choice_of(client, task)
    wanted = _as_far_as_known(client, choice, wanted)
    fill(client, choice, wanted)


def _as_far_as_known(client: MCPClient, choice: TaskChoice, wanted: state.FormState) -> state.FormState:
    """What of a link's state the form has places for; what it has none for, or refuses, is noted."""
    fields = choice.config_class.model_fields
    config = {name: value for name, value in wanted.config.items() if name in fields}
    for name in wanted.config.keys() - config.keys():
        link_notes.note("set", name, f"there is no such setting; there are {', '.join(fields)}.")
    try:
        base = client.parse(choice.base)
    except MCPError:  # a new task is still without what it needs
        return replace(wanted, config=config)
    try:
        specs = client.parse({**choice.base, **config}, source="set").variable_specs()
    except MCPError as error:
        # The form has it, with the error at its field.
        link_notes.note_error("set", json.dumps(config, ensure_ascii=False), error)
        specs = base.variable_specs()
    variables = {name: value for name, value in wanted.variables.items() if name in specs}
    for name, value in wanted.variables.items():
        param = f"{state.VARIABLE}{name}"
        if name not in specs:
            known = f"it takes {', '.join(specs)}." if specs else "it takes none."
            link_notes.note(param, str(value), f"the task has no such variable; {known}")
            continue
        try:
            validate_variables({name: specs[name]}, {name: _typed(specs[name], value) if wanted.as_text else value})
        except MCPError as error:
            link_notes.note_error(param, str(value), error)
    return replace(wanted, config=config, variables=variables)


def _keep_in_address(
    client: MCPClient, choice: TaskChoice, held: state.FormState, json_names: Collection[str]
) -> dict[str, str]:
    """Write what the form holds into the address if that has changed; returns parameters that restore it."""
    address: _Address = st.session_state[_ADDRESS]
    if address.held is None and address.task == choice.name:
        address.held = held
    elif (address.task, address.held) != (choice.name, held) or address.seen != _form_params():
        try:
            params = {
                "task": choice.name,
                **state.to_params(client, held, json_names=json_names, actor=current_actor()),
            }
        except MCPError as error:
            st.caption(f":material/link_off: The link to this form is not kept: {text.sentences(error.message)}")
            params = {"task": choice.name}
        others = {name: st.query_params.get_all(name) for name in st.query_params if not state.is_form_param(name)}
        st.query_params.from_dict({**others, **params})
        st.session_state[_ADDRESS] = address = _Address(params, params, choice.name, held)
    return address.link or {"task": choice.name}
