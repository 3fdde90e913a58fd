"""What can be typed: commands, their options and help. Imports nothing heavy, so that `--help` is instant."""

import argparse
from typing import NoReturn, TypeAlias

from mcp_core import __version__
from mcp_core.errors import ConfigurationError

__all__ = [
    "CACHE_MODES",
    "EXPORT_FORMATS",
    "ORDERS",
    "PERIODS",
    "PRIORITIES",
    "SCOPES",
    "STATUSES",
    "UsageError",
    "build_parser",
]

CACHE_MODES = ("use", "refresh", "bypass", "only")
PRIORITIES = ("high", "normal", "low")
STATUSES = ("queued", "running", "succeeded", "failed", "cancelled", "timed_out", "interrupted")
SCOPES = ("actor", "team", "task")
PERIODS = ("day", "month")
ORDERS = ("newest", "oldest", "largest", "useful")
EXPORT_FORMATS = ("jsonl", "csv", "json")

_EPILOG = """\
exit codes: 0 it succeeded; 1 it failed; 2 wrong use or configuration; 130 cancelled (Ctrl+C); 143 terminated.
Answers go to standard output, everything said about them to standard error.
"""


class UsageError(ConfigurationError):
    """The command line itself is wrong."""


class _Parser(argparse.ArgumentParser):
    """Reports wrong use as an error of ours, so that `--json` covers it too."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[0].upper()}{message[1:]}.", hint=f"See `{self.prog} --help`.")


# argparse gives the type no public name.
_Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line. Each command names its function as `module:function` in `handler`."""
    parser = _Parser(
        prog="python -m mcp_core",
        description="Model Control Panel: run, cache, follow and share model-based tasks.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"Model Control Panel {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    _add_run(commands)
    _add_tasks(commands)
    _add_history(commands)
    _json(_command(commands, "queue", "list what waits and runs, in all processes", "queue:show_queue"))
    _add_cache(commands)
    _add_budgets(commands)
    _add_models(commands)
    _add_health(commands)
    doctor = _command(commands, "doctor", "say what works here, and what to do about what does not", "doctor:doctor")
    _json(doctor)
    _add_serve(commands)
    return parser


def _command(commands: _Commands, name: str, help_text: str, handler: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.", allow_abbrev=False
    )
    parser.set_defaults(handler=handler)
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="log to standard error from MCP_LOG_LEVEL upwards, not warnings alone",
    )
    return parser


def _group(commands: _Commands, name: str, help_text: str) -> _Commands:
    parser = commands.add_parser(
        name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.", allow_abbrev=False
    )
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print exactly one JSON document")


def _yes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _add_run(commands: _Commands) -> None:
    run = _command(commands, "run", "run a task and print its answer", "run:run")
    run.add_argument("task", metavar="TASK", help="a task file (YAML or JSON), or the name of a task")
    run.add_argument(
        "--var", metavar="NAME=VALUE", action="append", default=[], dest="variables", help="a variable (repeatable)"
    )
    run.add_argument(
        "--var-file",
        metavar="NAME=PATH",
        action="append",
        default=[],
        dest="variable_files",
        help="a variable whose value is the text of a file; - reads standard input (repeatable)",
    )
    run.add_argument("--model", metavar="PROVIDER/MODEL", help="ask this model instead of the task's")
    run.add_argument("--cache", choices=CACHE_MODES, help="treat the cache so instead of as the task says")
    run.add_argument("--priority", choices=PRIORITIES, default="normal", help="how soon it is taken from the queue")
    run.add_argument("--dry-run", action="store_true", help="start nothing: say what the run would take")
    run.add_argument("--run-id", metavar="ID", help="give the run this id; a run is started once, then found again")
    _json(run)


def _add_tasks(commands: _Commands) -> None:
    tasks = _command(commands, "tasks", "list the tasks that can be run by name", "tasks:list_tasks")
    _json(tasks)


def _add_history(commands: _Commands) -> None:
    history = _group(commands, "history", "find, show, export, cancel, resume and delete runs")

    listing = _command(history, "list", "list runs, newest first", "history:list_runs")
    _filters(listing)
    listing.add_argument(
        "--sort",
        metavar="COLUMN[:asc|:desc]",
        default="created",
        help="in this order: created, finished, duration, waited, cost, saved, time_saved, tokens_in, tokens_out, "
        "attempts, task, status, model, cache, type, error or actor; runs without a value come last (default created)",
    )
    listing.add_argument("--limit", metavar="N", type=_count, default=50, help="at most so many (default 50)")
    listing.add_argument("--cursor", metavar="CURSOR", help="go on after a former list: its `next`")
    _json(listing)

    show = _command(history, "show", "show one run", "history:show_run")
    show.add_argument("id", metavar="ID", help="the run's id, or its beginning")
    show.add_argument("--events", action="store_true", help="with the events of the run")
    _json(show)

    export = _command(history, "export", "export all runs that match", "history:export_runs")
    _filters(export)
    export.add_argument("--format", choices=EXPORT_FORMATS, default="jsonl", help="default jsonl: one run a line")
    export.add_argument("--output", metavar="FILE", help="write this file; default standard output")
    export.add_argument("--limit", metavar="N", type=_count, help="at most so many; default all")

    cancel = _command(history, "cancel", "stop runs, whichever process has them", "history:cancel_runs")
    cancel.add_argument("ids", metavar="ID", nargs="+", help="ids of runs, or their beginnings")
    _json(cancel)

    resume = _command(history, "resume", "begin an interrupted run anew", "history:resume_run")
    resume.add_argument("id", metavar="ID", help="the run's id, or its beginning")
    _json(resume)

    delete = _command(history, "delete", "delete finished runs with their events and files", "history:delete_runs")
    delete.add_argument("ids", metavar="ID", nargs="+", help="ids of runs, or their beginnings")
    _yes(delete)
    _json(delete)


def _filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--status", action="append", choices=STATUSES, default=[], help="with this status (repeatable)")
    parser.add_argument("--type", action="append", default=[], dest="types", help="of this type (repeatable)")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        dest="models",
        metavar="PROVIDER/MODEL",
        help="that asked it (repeatable)",
    )
    parser.add_argument("--text", default="", help="that contain this text")
    parser.add_argument("--since", metavar="WHEN", help="created since: 90m, 12h, 7d, or 2026-01-31 (UTC)")


def _add_cache(commands: _Commands) -> None:
    cache = _group(commands, "cache", "look at the cache of answers, and clear it")
    stats = _command(cache, "stats", "say what the cache holds and what it saved", "cache:stats")
    stats.add_argument("--since", metavar="WHEN", help="count from: 90m, 12h, 7d, or 2026-01-31 (UTC; default 30d)")
    stats.add_argument("--by", choices=("type", "provider", "model", "task"), help="and for each of these")
    _json(stats)

    entries = _command(cache, "entries", "list remembered answers", "cache_entries:list_entries")
    _entry_filters(entries)
    entries.add_argument("--order", choices=ORDERS, default="newest", help="default newest; useful: most time saved")
    entries.add_argument("--limit", metavar="N", type=_count, default=50, help="at most so many (default 50)")
    entries.add_argument("--offset", metavar="N", type=int, default=0, help="after leaving out so many")
    _json(entries)

    for name, help_text in (
        ("show", "show one answer, what it was asked, and what it saved"),
        ("pin", "keep an answer whatever comes"),
        ("unpin", "let go of a pinned answer"),
        ("refresh", "ask again for what an answer answers, and put the new one in its place"),
    ):
        one = _command(cache, name, help_text, f"cache_entries:{name}")
        one.add_argument("key", metavar="KEY", help="the entry's key, or its beginning")
        _json(one)

    delete = _command(cache, "delete", "forget answers by key or by filter", "cache_entries:delete")
    delete.add_argument("keys", metavar="KEY", nargs="*", help="keys of entries, or their beginnings")
    _entry_filters(delete)
    _pinned_too(delete)
    _yes(delete)
    _json(delete)

    clear = _command(cache, "clear", "forget all answers that are not pinned", "cache:clear")
    _pinned_too(clear)
    _yes(clear)
    _json(clear)


def _add_budgets(commands: _Commands) -> None:
    budgets = _group(commands, "budgets", "limit what runs may cost, and see what is left")
    listing = _command(budgets, "list", "list the budgets and how they stand", "budgets:list_budgets")
    _json(listing)
    setting = _command(budgets, "set", "set a budget, or change its limit", "budgets:set_budget")
    _subject(setting)
    setting.add_argument("limit_usd", metavar="USD", help="what may be spent in one period, in dollars, as 12.50")
    _json(setting)
    delete = _command(budgets, "delete", "delete a budget with all it counted", "budgets:delete_budget")
    _subject(delete)
    _yes(delete)
    _json(delete)


def _subject(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scope", metavar="SCOPE", choices=SCOPES, help="whose runs count: actor, team or task")
    parser.add_argument("name", metavar="NAME", help="id of the actor, name of the team, or name of the task")
    parser.add_argument("period", metavar="PERIOD", choices=PERIODS, help="day or month, in UTC")


def _entry_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--type", default="", metavar="TYPE", help="of tasks of this type")
    parser.add_argument("--provider", default="", metavar="NAME", help="of this provider")
    parser.add_argument("--model", default="", metavar="PROVIDER/MODEL", help="of this model")
    parser.add_argument("--task", default="", metavar="NAME", help="of the task of this name")
    parser.add_argument("--text", default="", help="with this text in their key, labels or what was asked")
    parser.add_argument("--older-than", metavar="AGE", help="stored longer ago than 90m, 12h, 7d, or before a date")
    parser.add_argument("--never-hit", action="store_true", help="that have never answered")
    parser.add_argument("--pinned", action="store_true", help="that are pinned")


def _pinned_too(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pinned-too", action="store_true", help="pinned ones as well, which otherwise stay")


def _add_models(commands: _Commands) -> None:
    models = _group(commands, "models", "list models, and fetch the local one")
    listing = _command(models, "list", "list the models that can be asked", "models:list_models")
    listing.add_argument("--refresh", action="store_true", help="ask the servers again for their lists")
    _json(listing)
    pull = _command(models, "pull", "fetch the local model, so that the first run need not", "models:pull")
    _json(pull)


def _add_health(commands: _Commands) -> None:
    health = _command(commands, "health", "say what goes on and how the model servers are", "health:health")
    _json(health)
    more = health.add_subparsers(
        title="commands", metavar="COMMAND", required=False, parser_class=_Parser, help="what to do instead"
    )
    outage = _command(more, "outage", "simulate an outage of a provider, or end one", "health:outage")
    outage.add_argument("provider", metavar="PROVIDER", help="name of the provider")
    how = outage.add_mutually_exclusive_group(required=True)
    how.add_argument("--minutes", metavar="N", type=_minutes, help="take it for down for so long, at most a day")
    how.add_argument("--end", action="store_true", help="end it now")
    _json(outage)


def _add_serve(commands: _Commands) -> None:
    serve = _command(commands, "serve", "serve the app", "serve:serve")
    serve.add_argument("--host", help="address to listen on; default all of this machine's")
    serve.add_argument("--port", type=_port, help="port to listen on; default 8501")
    serve.add_argument("arguments", nargs="*", metavar="-- ARGUMENT", help="further arguments of `streamlit run`")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


_count.__name__ = "count of at least 1"  # argparse names the function in its message


def _minutes(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1440:
        raise ValueError(text)
    return number


_minutes.__name__ = "number of minutes above 0, at most 1440"


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError(text)
    return number


_port.__name__ = "port from 0 to 65535"
