"""A run as something to paste elsewhere: command line, Python, curl. Knows nothing of pages."""

import json
import pprint
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from mcp_core.errors import MCPError
from mcp_core.models import Run, RunEvent, TaskDefinition
from mcp_core.types.files import dump_task
from mcp_core.types.registry import Registry

__all__ = ["as_command", "as_curl", "as_python", "task_file"]


def task_file(run: Run, registry: Registry) -> str:
    """The run's task as a YAML task file; its raw settings as JSON, which is YAML too, where its type is gone.

    Secrets are masked in it as they are in the run.
    """
    try:
        return dump_task(registry.parse(run.config, source=f"run {run.id}"))
    except MCPError:
        return json.dumps(run.config, indent=2, ensure_ascii=False)


def as_command(run: Run, registry: Registry, tasks: Sequence[TaskDefinition] = ()) -> str:
    """The command that does the same in a shell: by the task's name where a task is just so, else with a task file."""
    same = next((task.name for task in tasks if task.config == run.config), None)
    command = ["python -m mcp_core run", shlex.quote(same or "task.yaml")]
    command += [f"--var {shlex.quote(f'{name}={_written(value)}')}" for name, value in run.variables.items()]
    if run.priority != "normal":
        command.append(f"--priority {run.priority}")
    line = " ".join(command)
    if same:
        return line
    text, end = task_file(run, registry).rstrip(), "END_OF_TASK"
    while end in text:  # a task that holds its own end would have the shell run what follows
        end += "_"
    return f"cat > task.yaml <<'{end}'\n{text}\n{end}\n{line}"


def as_python(run: Run) -> str:
    """The Python program that does the same."""
    config = {name: value for name, value in run.config.items() if value not in ({}, [], None, "")}
    priority = "" if run.priority == "normal" else f', priority="{run.priority}"'
    return (
        "from mcp_core import MCPClient\n\n"
        f"task = {pprint.pformat(config, width=100, sort_dicts=False)}\n"
        f"variables = {pprint.pformat(dict(run.variables), width=100, sort_dicts=False)}\n\n"
        "with MCPClient() as client:\n"
        f"    run = client.execute(task, variables{priority})\n"
        "    print(run.output.text)\n"
    )


def as_curl(exchange: RunEvent | None, headers: Mapping[str, str], key_name: str) -> str | None:
    """The request as it went to the model server; None where there was none that can be repeated.

    Args:
        headers: those of the provider, with `$KEY_NAME` for the key.
        key_name: environment variable that holds the key; empty where the server takes none.
    """
    data: Mapping[str, Any] = exchange.data if exchange else {}
    url, request = data.get("url"), data.get("request")
    if not isinstance(url, str) or not isinstance(request, str) or not _is_json(request):
        return None
    lines = [f"curl {shlex.quote(url)}", "-H 'Content-Type: application/json'"]
    for name, value in headers.items():
        # The shell puts the key in between double quotes alone.
        has_key = bool(key_name) and value in (f"${key_name}", f"Bearer ${key_name}")
        lines.append(f'-H "{name}: {value}"' if has_key else f"-H {shlex.quote(f'{name}: {value}')}")
    lines.append(f"--data {shlex.quote(request)}")
    return " \\\n  ".join(lines)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_json(written: str) -> bool:
    """Whether a recorded body is whole: a long one is cut where it is recorded."""
    try:
        json.loads(written)
    except ValueError:
        return False
    return True
