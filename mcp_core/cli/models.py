"""`models list` and `models pull`."""

from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from mcp_core.cli.output import Output, progress_bar
from mcp_core.cli.session import open_client, open_settings
from mcp_core.formats import file_size
from mcp_core.providers.config import LOCAL, local_alias
from mcp_core.providers.model_file import ensure_model, model_path

if TYPE_CHECKING:
    from pathlib import Path

    from mcp_core.settings import Settings

__all__ = ["list_models", "pull"]


def list_models(namespace: Namespace, out: Output) -> int:
    """Print the models that can be asked; a provider whose list cannot be had is told of, and costs nothing else."""
    with open_client(namespace) as client:
        infos = {info.name: info for info in client.providers.list()}
        listed = client.providers.models(refresh=namespace.refresh)
    if out.as_json:
        out.document(
            {
                "models": [model for found in listed for model in found.models],
                "providers": [
                    {
                        "name": found.provider,
                        "protocol": infos[found.provider].protocol,
                        "base_url": infos[found.provider].base_url,
                        "has_key": infos[found.provider].has_key,
                        "state": infos[found.provider].state,
                        "retry_in_seconds": infos[found.provider].retry_in_seconds,
                        "endpoints": [asdict(endpoint) for endpoint in infos[found.provider].endpoints],
                        "models": list(found.models),
                        "error": found.error or None,
                    }
                    for found in listed
                ],
            }
        )
        return 0
    rows = [[model, infos[found.provider].state] for found in listed for model in found.models]
    if rows:
        out.table(["model", "state"], rows, whole=["model"])
    for found in listed:
        if found.error:
            out.note(f"warning: {found.provider}: {found.error}")
    return 0


def pull(namespace: Namespace, out: Output) -> int:
    """Fetch the local model where it is not there yet, with a progress bar on a terminal."""
    settings = open_settings(namespace)
    there = model_path(settings).is_file()
    path = _fetch(settings, out)
    model = f"{LOCAL}/{local_alias(settings)}"
    if out.as_json:
        out.document({"model": model, "path": str(path), "size_bytes": path.stat().st_size, "fetched": not there})
    else:
        out.line(f"{model} {'was there already' if there else 'is there now'}: {path}")
    return 0


def _fetch(settings: "Settings", out: Output) -> "Path":
    if not out.watched:
        return ensure_model(settings)
    with progress_bar() as bar:
        task = bar.add_task("Fetching the local model", amount="", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, amount=f"{file_size(done)} of {file_size(total)}")

        return ensure_model(settings, show)
