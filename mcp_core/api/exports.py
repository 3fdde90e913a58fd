"""Runs as files: JSON lines, JSON and CSV, for people, scripts and spreadsheets."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

from pydantic_core import to_jsonable_python

from mcp_core.models import Run

__all__ = ["EXPORTERS", "ExportFormat", "defuse", "export", "flat"]

ExportFormat = Literal["jsonl", "csv", "json"]

# A spreadsheet takes a cell that begins so for a formula, or strips what comes before one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def defuse(cell: str) -> str:
    """`cell` so that no spreadsheet takes it for a formula: an apostrophe goes before what would begin one."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def flat(run: Run) -> dict[str, Any]:
    """The run as one row: texts and numbers by column, None for what is unknown.

    Times are ISO 8601 in UTC, durations seconds, money US dollars as a decimal text; `variables` is JSON.
    """
    data = run.as_json()
    cache, error = data["cache"], data["error"] or {}
    return {
        "id": data["id"],
        "type": data["type"],
        "name": data["name"],
        "status": data["status"],
        "model": data["model"],
        "actor_id": data["actor_id"],
        "team": data["team"],
        "tags": " ".join(data["tags"]),
        "created_at": data["created_at"],
        "started_at": data["started_at"],
        "finished_at": data["finished_at"],
        "queued_seconds": data["queued_seconds"],
        "duration_seconds": data["duration_seconds"],
        "input_tokens": data["usage"]["input_tokens"],
        "output_tokens": data["usage"]["output_tokens"],
        "cost_usd": data["cost_usd"],
        "cache": cache["outcome"],
        "cache_age_seconds": cache["age_seconds"],
        "saved_usd": cache["saved_usd"],
        "saved_seconds": cache["saved_seconds"],
        "attempts": len(data["attempts"]),
        "error_type": error.get("type"),
        "error_message": error.get("message"),
        "error_hint": error.get("hint"),
        "parent_id": data["parent_id"],
        "retry_of": data["retry_of"],
        "variables": _json(data["variables"]),
        "output_text": data["output"]["text"],
        "output_data": None if data["output"]["data"] is None else _json(data["output"]["data"]),
    }


def export(runs: Iterable[Run], kind: ExportFormat) -> Iterator[str]:
    """The runs as pieces of one text, read one at a time.

    Args:
        kind: `jsonl` (a run a line), `json` (`{"runs": [...], "next": null}`), or `csv` (RFC 4180, one row a run with
            the columns of `flat`, cells defused).
    """
    return EXPORTERS[kind](runs)


def _json(value: Any, *, indent: int | None = None) -> str:
    return json.dumps(to_jsonable_python(value, inf_nan_mode="null"), ensure_ascii=False, indent=indent)


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
    writer = csv.writer(buffer)
    writer.writerow(flat(Run(id="", type="")))
    for run in runs:
        writer.writerow(defuse(cell) if isinstance(cell, str) else cell for cell in flat(run).values())
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
