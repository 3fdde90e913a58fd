"""The run form as something that can be linked to: small states stand in the address, larger ones are drafts.

In the address `task` names the task or type, `var.NAME` the variables, and `set` (JSON) the settings that differ from
the task's own. `draft` stands for all but the first, and `from` for all: it names a run, whose form this was. What
holds a secret that is known never gets into an address: it becomes a draft, where the secret is masked.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from mcp_core.api.client import MCPClient
from mcp_core.errors import ConfigurationError
from mcp_core.models import Actor, Run
from mcp_core.security.redaction import redactor

__all__ = [
    "FORM_PARAMS",
    "MOST_IN_ADDRESS",
    "VARIABLE",
    "FormState",
    "from_params",
    "is_form_param",
    "of_run",
    "to_params",
]

MOST_IN_ADDRESS = 1500
"""Longest form state in an address, in characters: mail programs and proxies cut longer ones."""

FORM_PARAMS = ("task", "draft", "set", "from")
"""Query parameters of a form state, beside those that begin with `var.`."""

VARIABLE: Final = "var."
"""What a query parameter of a variable begins with."""


@dataclass(frozen=True, slots=True)
class FormState:
    """What a form holds.

    Attributes:
        config: settings that differ from the task's own, JSON-compatible.
        variables: values by name, JSON-compatible.
        as_text: whether the variables are texts as an address has them, still to be read as their own types.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    as_text: bool = field(default=False, compare=False)

    def __bool__(self) -> bool:
        return bool(self.config or self.variables)


def is_form_param(name: str) -> bool:
    """Whether a query parameter belongs to a form's state."""
    return name in FORM_PARAMS or name.startswith(VARIABLE)


def to_params(
    client: MCPClient, state: FormState, *, json_names: Collection[str] = (), actor: Actor | None = None
) -> dict[str, str]:
    """Query parameters that stand for `state`; a draft is stored where they would be too long or hold a known secret.

    Args:
        json_names: variables of type `json`: the text "5" and the number 5 are written differently for them.

    Raises:
        StoreError: the draft cannot be stored.
    """
    params = {
        f"{VARIABLE}{name}": value if isinstance(value, str) and name not in json_names else _json(value)
        for name, value in state.variables.items()
    }
    if state.config:
        params["set"] = json.dumps(state.config, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    if len(urlencode(params)) <= MOST_IN_ADDRESS and redactor.data(params) == params:
        return params
    payload = {"config": dict(state.config), "variables": dict(state.variables)}
    return {"draft": client.save_draft(payload, actor=actor)}


def from_params(client: MCPClient, params: Mapping[str, str]) -> tuple[str, FormState]:
    """The task (empty where none is named) and the state that query parameters stand for.

    Raises:
        ConfigurationError: draft or run are gone, or a parameter is not what it should be.
        StoreError: the draft or the run cannot be read.
    """
    if run_id := params.get("from"):
        return of_run(client, client.runs.get(run_id))
    task = params.get("task", "")
    if draft := params.get("draft"):
        payload = client.load_draft(draft)
        if payload is None:
            raise ConfigurationError(
                "The form that this link stands for is not kept any more.",
                hint="Drafts are kept for 30 days. Ask for the link to a run instead: its form can be opened.",
                field="draft",
            )
        return task, FormState(_mapping(payload.get("config")), _mapping(payload.get("variables")))
    variables = {name.removeprefix(VARIABLE): value for name, value in params.items() if name.startswith(VARIABLE)}
    config: Any = {}
    if written := params.get("set"):
        try:
            config = json.loads(written)
        except (ValueError, RecursionError):
            config = None
        if not isinstance(config, dict):
            raise ConfigurationError(
                "The settings in this link cannot be read.", hint="Was the link cut off? Copy it again.", field="set"
            )
    return task, FormState(config, variables, as_text=True)


def of_run(client: MCPClient, run: Run) -> tuple[str, FormState]:
    """The task a run was made from, and what differed from it; the bare type where the task is gone."""
    for task in client.tasks.list():
        if task.type == run.type and task.config.get("name", "") == run.name:
            changed = {name: value for name, value in run.config.items() if task.config.get(name) != value}
            return task.name, FormState(changed, run.variables)
    return run.type, FormState({n: v for n, v in run.config.items() if n != "type"}, run.variables)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
