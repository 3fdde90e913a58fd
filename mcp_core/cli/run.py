"""`run`: a task, from the command line to its answer."""

import json
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from mcp_core.api.handle import RunHandle
from mcp_core.cli.display import Display
from mcp_core.cli.dry_run import dry_run
from mcp_core.cli.output import Output, cost, plain, seconds
from mcp_core.cli.program import CANCELLED, FAILED, TERMINATED, Terminated
from mcp_core.cli.session import open_client
from mcp_core.cli.variables import read_variables
from mcp_core.errors import ConfigurationError, MCPError
from mcp_core.formats import age, count, in_place_of
from mcp_core.models import Run, RunStatus, new_id
from mcp_core.types.base import BaseMCPConfig

if TYPE_CHECKING:
    from mcp_core.api.client import MCPClient

__all__ = ["exit_code", "follow", "run"]

_STOP_SECONDS = 30.0
"""How long a run that was told to stop is waited for; the engine ends it over its head before."""


def run(namespace: Namespace, out: Output) -> int:
    """Run a task and print its answer; Ctrl+C cancels the run, SIGTERM lets it go on for `MCP_DRAIN_SECONDS`."""
    with open_client(namespace) as client:
        run_id = namespace.run_id or new_id()
        try:
            config = _config(client, namespace, run_id)
        except ConfigurationError as error:
            return _refused(client, run_id, error, out)
        variables = read_variables(namespace.variables, namespace.variable_files, config.variable_specs())
        if namespace.dry_run:
            try:
                return dry_run(client.preflight(config, variables), out)
            except ConfigurationError as error:
                return out.error(_in_options(error, config))
        try:
            handle = client.submit(
                config, variables, run_id=run_id, priority=namespace.priority, stream=out.interactive
            )
        except MCPError as error:
            return _refused(client, run_id, _in_options(error, config), out)
        return follow(client, handle, out)


def follow(client: "MCPClient", handle: RunHandle, out: Output) -> int:
    """Show a run as it goes on, then print its answer; returns the exit code."""
    display = Display(out)
    stopped = None
    try:
        with display:
            for event in handle.events():
                display.show(event)
        finished = handle.result()
    except KeyboardInterrupt:
        stopped = CANCELLED
        finished = _stop(handle, out)
    except Terminated:
        stopped = TERMINATED
        finished = _drain(client, handle, out)
    code = exit_code(finished) if stopped is None or finished.status is RunStatus.SUCCEEDED else stopped
    try:
        _print(finished, display.shown, out)
        out.flush()
    except BrokenPipeError:
        # The run has ended as it has, whether or not somebody still reads of it.
        out.abandon()
    return code


def exit_code(run: Run) -> int:
    """The exit code that tells how a run ended."""
    if run.status is RunStatus.SUCCEEDED:
        return 0
    if run.status is RunStatus.CANCELLED:
        return CANCELLED
    return 2 if run.error is not None and run.error.type == ConfigurationError.__name__ else FAILED


def _config(client: "MCPClient", namespace: Namespace, run_id: str) -> BaseMCPConfig:
    task = namespace.task
    config = client.tasks.load(task) if namespace.dry_run else client.load(task, run_id=run_id)
    changes: dict[str, Any] = {}
    if namespace.model is not None:
        if "model" not in type(config).model_fields:
            raise ConfigurationError(f"A task of type {config.type} asks no model of its own.", hint="Omit --model.")
        changes["model"] = namespace.model
    if namespace.cache is not None:
        changes["cache"] = config.cache.model_copy(update={"mode": namespace.cache})
    return client.parse({**dict(config), **changes}, source=namespace.task) if changes else config


def _in_options(error: MCPError, config: BaseMCPConfig) -> MCPError:
    """The error with a hint that can be typed, where variables are what is wrong."""
    specs = config.variable_specs()
    if not isinstance(error, ConfigurationError) or error.field != "variables" or not specs:
        return error
    needed = [name for name, spec in specs.items() if spec.default is None] or list(specs)
    options = " ".join(f"--var {name}=…" for name in needed)
    return ConfigurationError(error.message, hint=f"Give {options}", field=error.field, record=error.record)


def _refused(client: "MCPClient", run_id: str, error: MCPError, out: Output) -> int:
    """Tell of a run that could not begin; it is in the history where it came as far as that."""
    try:
        recorded = client.runs.get(run_id)
    except MCPError:
        return out.error(error)
    if out.as_json:
        out.document(recorded.as_json())
        Output().error(error)
    else:
        out.error(error)
        out.note(f"run: {recorded.id}")
    return exit_code(recorded)


def _stop(handle: RunHandle, out: Output) -> Run:
    try:
        handle.cancel()
        return handle.result(timeout=_STOP_SECONDS)
    except MCPError as error:
        out.note(f"warning: {error}")
        return handle.run


def _drain(client: "MCPClient", handle: RunHandle, out: Output) -> Run:
    """Let the run go on for a while; then it is interrupted, or left to another process if it has not begun."""
    last = handle.run
    if handle.started and not last.status.is_final:
        out.note(f"Told to end: the run may go on for {client.settings.drain_seconds:g} s.")
        try:
            return handle.result(timeout=client.settings.drain_seconds)
        except MCPError:
            last = handle.run
        client.close(drain_seconds=0)
        try:
            return handle.result(timeout=0)
        except MCPError as error:
            out.note(f"warning: {error}")
    return last


def _print(run: Run, shown: str, out: Output) -> None:
    if out.as_json:
        out.document(run.as_json())
    else:
        _print_answer(run, shown, out)
    if run.error is not None:
        out.note(f"{run.status.value}: {run.error.message}")
        if run.error.hint:
            out.note(f"hint: {run.error.hint}")
    if not out.as_json:
        out.note(_summary(run))


def _print_answer(run: Run, shown: str, out: Output) -> None:
    text = run.output.text
    if text and text.strip() not in shown:
        # What a model wrote may not steer the terminal; a file or a pipe gets it as it is.
        text = plain(text, lines=True) if out.interactive else text
        out.write(text if text.endswith("\n") else f"{text}\n")
    elif not text and run.output.data is not None:
        out.line(json.dumps(run.output.data, ensure_ascii=False, indent=2, default=str))


def _summary(run: Run) -> str:
    cache = f"cache {run.cache.outcome}"
    if run.cache.age_seconds is not None:
        cache += f" ({age(run.cache.age_seconds)} old)"
    return " · ".join(
        [
            run.status.value,
            *([in_place_of(run.stand_ins, run.model)] if run.model else []),
            seconds(run.duration_seconds),
            f"{count(run.usage.input_tokens, 'tokens')} in, {run.usage.output_tokens:,} out",
            f"cost {cost(run)}",
            cache,
            f"run {run.id}",
        ]
    )
