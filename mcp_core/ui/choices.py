"""What can be chosen on the run form: examples, task files, and a new task of each type."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st
from pydantic_core import to_jsonable_python

from mcp_core.api.client import MCPClient
from mcp_core.models import TaskDefinition
from mcp_core.types.base import BaseMCPConfig

__all__ = ["DEFAULT_TASK", "TaskChoice", "broken_tasks_of", "choice_of", "choices_of", "tasks_of", "title_of"]

DEFAULT_TASK = "summarise"
"""What the form opens with where the address names nothing."""


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


@st.cache_resource(ttl=5, show_spinner=False)
def _tasks(_client: MCPClient, data_dir: str) -> tuple[list[TaskDefinition], dict[str, str]]:  # noqa: ARG001  # tells the clients of two directories apart
    return _client.tasks.list(), dict(_client.tasks.broken)


def tasks_of(client: MCPClient) -> list[TaskDefinition]:
    """Tasks that can be chosen, by name; read anew every few seconds, since they are files."""
    return _tasks(client, str(client.settings.data_dir))[0]


def broken_tasks_of(client: MCPClient) -> dict[str, str]:
    """Task files that cannot be read, and why."""
    return _tasks(client, str(client.settings.data_dir))[1]


def choices_of(client: MCPClient) -> list[str]:
    """Names of all choices, the default first, then tasks, then types."""
    tasks = [task.name for task in tasks_of(client)]
    names = [*tasks, *(name for name in client.registry.names() if name not in tasks)]
    return sorted(names, key=lambda name: name != DEFAULT_TASK)


def title_of(client: MCPClient, name: str) -> str:
    """A choice as people read it."""
    task = _named(client, name)
    if task is not None:
        return str(task.config.get("name") or name)
    return f"New: {client.registry.get(name).title}"


def choice_of(client: MCPClient, name: str) -> TaskChoice:
    """The choice of that name, one of `choices_of`."""
    task = _named(client, name)
    definition = client.registry.get(task.type if task else name)
    config_class = definition.config_class
    if task is not None:
        summary = str(task.config.get("description", ""))
        return TaskChoice(name, title_of(client, name), config_class, task.config, is_new=False, description=summary)
    base = {
        field_name: to_jsonable_python(info.get_default(call_default_factory=True))
        for field_name, info in config_class.model_fields.items()
        if not info.is_required()
    }
    summary = (config_class.__doc__ or "").strip().partition("\n")[0]
    return TaskChoice(name, definition.title, config_class, base, is_new=True, description=summary)


def _named(client: MCPClient, name: str) -> TaskDefinition | None:
    return next((task for task in tasks_of(client) if task.name == name), None)
