"""Between what travels and what is stored: runs, events, times, JSON."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from mcp_core.errors import StoreError
from mcp_core.models import CacheOutcome, Run, RunEvent, RunOutput, RunStatus, Usage

__all__ = [
    "OPEN",
    "Row",
    "dumps",
    "event_row",
    "from_micros",
    "loads",
    "plain",
    "provider_of",
    "read_event",
    "read_run",
    "run_row",
    "search_text",
    "tag_pattern",
    "to_micros",
]

Row: TypeAlias = dict[str, Any]

OPEN = (RunStatus.QUEUED.value, RunStatus.RUNNING.value)
"""States, as they are stored, of a run that is not over."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SEARCHED_VARIABLES = 1000
_SEARCHED_OUTPUT = 1000
_SEARCHED_ERROR = 500

_ascii_encoder = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=to_jsonable_python)
# A raw line break never occurs inside a JSON string, so a quoted tag can only be found as a whole element.
_tags_encoder = json.JSONEncoder(ensure_ascii=True, separators=(",\n", ":"))

_NO_CACHE = CacheOutcome()


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970 in UTC, exact. A time without a zone is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(value: int) -> datetime:
    """The moment, timezone-aware, in UTC."""
    return _EPOCH + timedelta(microseconds=value)


def dumps(value: object) -> str:
    """Compact JSON that every database can keep.

    Raises:
        StoreError: `value` holds something that JSON cannot express.
    """
    try:
        return to_json(value, inf_nan_mode="constants").decode()
    except PydanticSerializationError:
        # Lone surrogates are no UTF-8; the standard library escapes them.
        try:
            return _ascii_encoder.encode(value)
        except (ValueError, TypeError) as error:
            raise StoreError(
                f"A value cannot be kept in the history: {error}.", hint="Configs, outputs and events have to be JSON."
            ) from None


def loads(text: str | None) -> Any:
    """What `dumps` wrote; None for an absent value."""
    return None if text is None else json.loads(text)


def plain(text: str) -> str:
    """`text` as any database can keep it: without NUL and lone surrogates."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "\ufffd") if "\0" in text else text


def provider_of(model: str | None) -> str | None:
    """The provider in `provider/model`; None where there is none."""
    provider, slash, _ = (model or "").partition("/")
    return provider if slash else None


def tag_pattern(tag: str) -> str:
    """What to look for in the stored tags to find exactly this one."""
    return _tags_encoder.encode(plain(tag))


def search_text(text: str) -> str:
    """`text` folded as the `search` column is, so that case does not matter."""
    return plain(text).casefold()


def _optional(value: object) -> str | None:
    return dumps(value) if value else None


def run_row(run: Run) -> Row:
    """Every column of `runs` for one run."""
    cache, error, output = run.cache, run.error, run.output
    values = " ".join([str(value) for value in run.variables.values()])
    found = [run.name, values[:_SEARCHED_VARIABLES], output.text[:_SEARCHED_OUTPUT]]
    if error is not None:
        found.append(f"{error.type} {error.message}"[:_SEARCHED_ERROR])
    data = output.data
    stored_output = None
    if output.text or data is not None or output.artifacts:
        stored_output = dumps({"text": output.text, "data": data, "artifacts": output.artifacts})
    return {
        "id": run.id,
        "created_at": to_micros(run.created_at),
        "type": plain(run.type),
        "name": plain(run.name),
        "status": run.status.value,
        "actor_id": plain(run.actor_id),
        "team": plain(run.team),
        "model": None if run.model is None else plain(run.model),
        "provider": provider_of(run.model),
        "parent_id": run.parent_id,
        "retry_of": run.retry_of,
        "owner": run.owner,
        "started_at": None if run.started_at is None else to_micros(run.started_at),
        "finished_at": None if run.finished_at is None else to_micros(run.finished_at),
        "duration_seconds": run.duration_seconds,
        "cache_outcome": cache.outcome,
        "cache_key": cache.key,
        "saved_usd": None if cache.saved_usd is None else str(cache.saved_usd),
        "saved_seconds": _finite(cache.saved_seconds),
        "input_tokens": run.usage.input_tokens,
        "output_tokens": run.usage.output_tokens,
        "cost_usd": None if run.cost_usd is None else str(run.cost_usd),
        "error_type": None if error is None else plain(error.type),
        "attempt_count": len(run.attempts),
        "tags": _tags_encoder.encode([plain(tag) for tag in run.tags]) if run.tags else "[]",
        "search": search_text("\n".join(found)),
        "cache": None if cache == _NO_CACHE else dumps(cache),
        "error": None if error is None else dumps(error),
        "attempts": _optional(run.attempts),
        "variables": _optional(run.variables),
        "config": _optional(run.config),
        "output": stored_output,
        "priority": run.priority,
        "stored_bytes": len(stored_output.encode()) if stored_output and run.status.is_final else 0,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def read_run(row: Mapping[Any, Any]) -> Run:
    """The run of a full row of `runs`."""
    cache = loads(row["cache"])
    output = loads(row["output"])
    return Run(
        id=row["id"],
        type=row["type"],
        name=row["name"],
        status=row["status"],
        actor_id=row["actor_id"],
        team=row["team"],
        config=loads(row["config"]) or {},
        variables=loads(row["variables"]) or {},
        tags=tuple(loads(row["tags"])),
        model=row["model"],
        priority=row["priority"],
        output=RunOutput() if output is None else RunOutput(**output),
        usage=Usage(input_tokens=row["input_tokens"], output_tokens=row["output_tokens"]),
        cost_usd=None if row["cost_usd"] is None else Decimal(row["cost_usd"]),
        cache=CacheOutcome(outcome=row["cache_outcome"]) if cache is None else CacheOutcome(**cache),
        attempts=tuple(loads(row["attempts"]) or ()),
        error=loads(row["error"]),
        created_at=from_micros(row["created_at"]),
        started_at=None if row["started_at"] is None else from_micros(row["started_at"]),
        finished_at=None if row["finished_at"] is None else from_micros(row["finished_at"]),
        parent_id=row["parent_id"],
        retry_of=row["retry_of"],
        owner=row["owner"],
    )


def event_row(event: RunEvent) -> Row:
    """Every column of `run_events` for one event."""
    return {
        "run_id": event.run_id,
        "seq": event.seq,
        "kind": plain(event.kind),
        "at": to_micros(event.at),
        "data": dumps(event.data),
    }


def read_event(row: Mapping[Any, Any]) -> RunEvent:
    """The event of a full row of `run_events`."""
    return RunEvent(
        run_id=row["run_id"], seq=row["seq"], kind=row["kind"], at=from_micros(row["at"]), data=loads(row["data"])
    )
