"""`tasks`: what can be run by name."""

from argparse import Namespace

from mcp_core.cli.output import Output
from mcp_core.cli.session import open_client

__all__ = ["list_tasks"]


def list_tasks(namespace: Namespace, out: Output) -> int:
    """Print the tasks; files that cannot be read are told of on standard error."""
    with open_client(namespace) as client:
        tasks = client.tasks.list()
        broken = dict(client.tasks.broken)
        folder = client.settings.data_dir / "tasks"
    if out.as_json:
        out.document({"tasks": [task.model_dump(mode="json") for task in tasks], "broken": broken})
    elif tasks:
        out.table(
            ["task", "type", "name", "description"],
            [[task.name, task.type, task.config.get("name", ""), task.config.get("description", "")] for task in tasks],
            whole=["task"],
            drop=["type", "name"],
        )
    else:
        out.note(f"There is no task yet. Put task files into {folder}.")
    for file, reason in broken.items():
        out.note(f"warning: {file} was left out: {reason}")
    return 0
