"""`history list`, `show`, `export`, `cancel`, `resume` and `delete`."""

import itertools
import json
import secrets
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_core.api.exports import ExportFormat, export
from mcp_core.cli.dates import parse_since
from mcp_core.cli.output import Output, cost, money, plain, seconds
from mcp_core.cli.session import open_client
from mcp_core.errors import ConfigurationError, RunTimeoutError
from mcp_core.formats import age, count, in_place_of, moment
from mcp_core.models import Run, RunEvent, RunStatus
from mcp_core.store import RunFilter

if TYPE_CHECKING:
    from mcp_core.api.client import MCPClient

__all__ = ["cancel_runs", "delete_runs", "export_runs", "list_runs", "resume_run", "show_run"]

CANCEL_SECONDS = 20.0
"""How long a run that was told to stop is waited for: until it would be known that its process is gone."""

_RIGHT = ("took", "in", "out", "cost")
_WHOLE = ("id", "status", "created (UTC)", "cache")
_DROP = ("in", "out", "model", "took", "cost")


def list_runs(namespace: Namespace, out: Output) -> int:
    """Print a page of runs, newest first or as asked for."""
    with open_client(namespace) as client:
        _check_types(client, namespace.types)
        runs, following = client.runs.list(
            _filter(namespace), limit=namespace.limit, cursor=namespace.cursor, sort=namespace.sort
        )
    if out.as_json:
        out.document({"runs": [run.as_json() for run in runs], "next": following})
        return 0
    if not runs:
        out.note("No run matches.")
        return 0
    # Ids sort by time and differ at their end: shown whole, they can be copied.
    headings = ["id", "status", "task", "model", "created (UTC)", "took", "in", "out", "cost", "cache"]
    rows = [_row(run) for run in runs]
    out.table(headings, rows, right=_RIGHT, whole=_WHOLE, drop=_DROP)
    if following is not None:
        order = "" if namespace.sort == "created" else f"--sort {namespace.sort} "
        out.note(f"More: {order}--cursor {following}")
    return 0


def show_run(namespace: Namespace, out: Output) -> int:
    """Print one run."""
    with open_client(namespace) as client:
        run = client.runs.get(namespace.id)
        events = client.runs.events(run.id) if namespace.events else []
    if out.as_json:
        document = run.as_json()
        if namespace.events:
            document["events"] = [
                {"seq": event.seq, "kind": event.kind, "at": event.at.isoformat(), "data": event.data}
                for event in events
            ]
        out.document(document)
        return 0
    width = max(len(name) for name, _ in _details(run))
    for name, value in _details(run):
        out.line(f"{name:<{width}}  {plain(value)}")
    _block(out, "variables", "\n".join(f"{name} = {_short(value)}" for name, value in run.variables.items()))
    _block(out, "output", run.output.text)
    if run.output.data is not None:
        _block(out, "data", json.dumps(run.output.data, ensure_ascii=False, indent=2))
    for artifact in run.output.artifacts:
        out.line(f"file: {plain(artifact.name)} ({artifact.media_type}, {count(artifact.size_bytes, 'bytes')})")
    if run.error is not None:
        _block(out, "error", f"{run.error.type}: {run.error.message}\n{run.error.hint}".rstrip())
    _block(out, "events", "\n".join(_event_line(run, event) for event in events))
    return 0


def export_runs(namespace: Namespace, out: Output) -> int:
    """Write all runs that match, to a file or to standard output."""
    with open_client(namespace) as client:
        _check_types(client, namespace.types)
        runs: Iterable[Run] = client.runs.iterate(_filter(namespace))
        if namespace.limit is not None:
            runs = itertools.islice(runs, namespace.limit)
        if namespace.output is None:
            for piece in export(runs, namespace.format):
                out.write(piece)
            return 0
        path = Path(namespace.output)
        written = _write_file(path, runs, namespace.format)
    out.note(f"{count(written, 'runs')} written to {path}.")
    return 0


def cancel_runs(namespace: Namespace, out: Output) -> int:
    """Stop runs and wait until they have ended."""
    with open_client(namespace) as client:
        ids = list(dict.fromkeys(client.runs.get(run_id).id for run_id in namespace.ids))
        asked = [run_id for run_id in ids if client.runs.cancel(run_id)]
        for run_id in asked:
            try:
                for _ in client.runs.follow(run_id, timeout=CANCEL_SECONDS):
                    continue
            except RunTimeoutError:
                continue  # its process may be gone, or held up: how the run stands is printed below
        runs = [client.runs.get(run_id) for run_id in ids]
    if out.as_json:
        out.document({"runs": [run.as_json() for run in runs], "next": None})
    for run in runs:
        if not out.as_json:
            out.line(f"{run.id}\t{run.status.value}")
        if not run.status.is_final:
            out.note(f"warning: {run.id} goes on; its process has been asked to stop it, and may be gone.")
        elif run.id not in asked:
            out.note(f"warning: {run.id} had ended before.")
    return 0 if all(run.status is RunStatus.CANCELLED for run in runs) else 1


def resume_run(namespace: Namespace, out: Output) -> int:
    """Begin an interrupted run anew, follow it, and print its answer."""
    from mcp_core.cli.run import follow

    with open_client(namespace) as client:
        handle = client.runs.resume(namespace.id)
        out.note(f"The run begins anew as {handle.id}.")
        return follow(client, handle, out)


def delete_runs(namespace: Namespace, out: Output) -> int:
    """Delete runs, once a person has said so."""
    with open_client(namespace) as client:
        ids = list(dict.fromkeys(client.runs.get(run_id).id for run_id in namespace.ids))
        question = f"Delete {count(len(ids), 'runs')} with events and files?"
        if not out.confirm(question, yes=namespace.yes):
            out.note("Nothing was deleted.")
            return 1
        deleted = client.runs.delete(ids)
    if out.as_json:
        out.document({"deleted": deleted})
    else:
        out.line(f"{count(deleted, 'runs')} deleted.")
    if deleted < len(ids):
        out.note(f"warning: not finished, so kept: {len(ids) - deleted:,}.")
    return 0


def _filter(namespace: Namespace) -> RunFilter:
    return RunFilter(
        types=tuple(namespace.types),
        statuses=tuple(map(RunStatus, namespace.status)),
        models=tuple(namespace.models),
        text=namespace.text,
        since=parse_since(namespace.since),
    )


def _check_types(client: "MCPClient", types: Iterable[str]) -> None:
    """A type that exists nowhere is a slip, unless the history has runs of it from a plugin that is gone."""
    for name in types:
        if name not in client.registry.names() and not client.runs.list(RunFilter(types=(name,)), limit=1)[0]:
            raise ConfigurationError(
                f"--type: found {name!r}, allowed are {', '.join(client.registry.names())}.", field="type"
            )


def _row(run: Run) -> list[str]:
    return [
        run.id,
        run.status.value,
        run.name or run.type,
        run.model or "-",
        f"{run.created_at:%Y-%m-%d %H:%M}",
        seconds(run.duration_seconds),
        str(run.usage.input_tokens),
        str(run.usage.output_tokens),
        cost(run),
        run.cache.outcome,
    ]


def _details(run: Run) -> list[tuple[str, str]]:
    cache: str = run.cache.outcome
    if run.cache.age_seconds is not None:
        cache += f", {age(run.cache.age_seconds)} old"
    if run.cache.saved_seconds is not None:
        cache += f", saved {seconds(run.cache.saved_seconds)}"
    if run.cache.saved_usd is not None:
        cache += f" and {money(run.cache.saved_usd)}"
    return [
        ("id", run.id),
        ("task", f"{run.name} ({run.type})" if run.name else run.type),
        ("status", run.status.value),
        ("model", in_place_of(run.stand_ins, run.model) or "-"),
        ("priority", run.priority),
        ("created", moment(run.created_at)),
        ("queued", seconds(run.queued_seconds)),
        ("took", seconds(run.duration_seconds)),
        ("tokens", f"{run.usage.input_tokens:,} in, {run.usage.output_tokens:,} out"),
        ("cost", cost(run)),
        ("cache", cache),
        *([("origin", run.cache.original_run_id)] if run.cache.original_run_id else []),
        *([("key", run.cache.key)] if run.cache.key else []),
        ("attempts", str(len(run.attempts))),
        ("asked by", run.actor_id),
    ]


def _block(out: Output, title: str, text: str) -> None:
    if text:
        out.line()
        out.line(f"{title}:")
        out.line(plain(text, lines=True))


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 300 else f"{text[:300]}... ({len(text):,} characters)"


def _event_line(run: Run, event: RunEvent) -> str:
    offset = (event.at - run.created_at).total_seconds()
    return f"{offset:9.3f} s  {event.kind:<9} {_short(event.data) if event.data else ''}".rstrip()


def _write_file(path: Path, runs: Iterable[Run], kind: ExportFormat) -> int:
    """Write next to the file first, so that a failure leaves what was there."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    written = 0

    def counted() -> Iterable[Run]:
        nonlocal written
        for run in runs:
            written += 1
            yield run

    try:
        with draft.open("w", encoding="utf-8", errors="replace", newline="") as file:
            file.writelines(export(counted(), kind))
        draft.replace(path)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}.", hint="Name another --output.", field="output"
        ) from None
    finally:
        draft.unlink(missing_ok=True)
    return written
