"""Runs as files: JSON lines, JSON and CSV, for people, scripts and spreadsheets."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

from pydantic_core import to_jsonable_python

from mcp_core.models import Run

__all__ = ["COLUMNS", "EXPORTERS", "ExportFormat", "defuse", "export", "flat"]

ExportFormat = Literal["jsonl", "csv", "json"]

COLUMNS = (
    "id",
    "name",
    "type",
    "status",
    "model",
    "cache",
    "created_at",
    "started_at",
    "finished_at",
    "queued_seconds",
    "duration_seconds",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "saved_usd",
    "saved_seconds",
    "attempts",
    "error_type",
    "error",
    "tags",
    "actor_id",
    "variables",
    "output",
)
"""Columns of a run as a row. Times are ISO 8601 in UTC, money US dollars as a decimal text, `variables` JSON."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def defuse(cell: object) -> object:
    """`cell` so that no spreadsheet takes it for a formula: such a text gets an apostrophe in front, numbers stay."""
    if isinstance(cell, str) and (cell.startswith(_FORMULA) or cell.lstrip().startswith(_FORMULA)):
        return f"'{cell}"
    return cell


def flat(run: Run) -> dict[str, Any]:
    """The run as one row: texts and numbers by column (see `COLUMNS`), None for what is unknown."""
    data = run.as_json()
    cache, error = data["cache"], data["error"] or {}
    row = {
        **{name: data[name] for name in COLUMNS if name in data},
        "cache": cache["outcome"],
        "input_tokens": data["usage"]["input_tokens"],
        "output_tokens": data["usage"]["output_tokens"],
        "saved_usd": cache["saved_usd"],
        "saved_seconds": cache["saved_seconds"],
        "attempts": len(data["attempts"]),
        "error_type": error.get("type"),
        "error": error.get("message"),
        "tags": " ".join(data["tags"]),
        "variables": _json(data["variables"]) if data["variables"] else "",
        "output": data["output"]["text"],
    }
    return {name: row[name] for name in COLUMNS}


def export(runs: Iterable[Run], kind: ExportFormat) -> Iterator[str]:
    """The runs as pieces of one text, read one at a time.

    Args:
        kind: `jsonl` (a run a line), `json` (`{"runs": [...], "next": null}`), or `csv` (RFC 4180, one row a run with
            the `COLUMNS`, cells defused).
    """
    return EXPORTERS[kind](runs)


def _json(value: Any) -> str:
    return json.dumps(to_jsonable_python(value, inf_nan_mode="null"), ensure_ascii=False)


def _jsonl(runs: Iterable[Run]) -> Iterator[str]:
    for run in runs:
        yield _json(run.as_json()) + "\n"


def _one_json(runs: Iterable[Run]) -> Iterator[str]:
    yield '{"runs": ['
    separator = "\n"
    for run in runs:
        yield separator + _json(run.as_json())
        separator = ",\n"
    yield '\n], "next": null}\n'


def _csv(runs: Iterable[Run]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS)
    writer.writeheader()
    for run in runs:
        writer.writerow({name: defuse(cell) for name, cell in flat(run).items()})
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


EXPORTERS: Mapping[ExportFormat, Callable[[Iterable[Run]], Iterator[str]]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "json": _one_json,
}
"""Format -> how runs are written in it."""
