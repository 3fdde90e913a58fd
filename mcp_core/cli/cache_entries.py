"""`cache entries`, `show`, `pin`, `unpin`, `refresh` and `delete`."""

from argparse import Namespace
from typing import TYPE_CHECKING

from mcp_core.cache.entry import EntryFilter, Item
from mcp_core.cli.dates import parse_since
from mcp_core.cli.output import Output, money, plain, seconds
from mcp_core.cli.parser import UsageError
from mcp_core.cli.session import open_client
from mcp_core.formats import age, count, file_size
from mcp_core.models import RunStatus, utcnow
from mcp_core.security.redaction import redactor

if TYPE_CHECKING:
    from mcp_core.api.client import MCPClient

__all__ = ["delete", "list_entries", "pin", "refresh", "show", "unpin"]

_RIGHT = ("size", "hits", "saved")
_WHOLE = ("key", "state")
_DROP = ("saved", "size", "age", "task")
_SHOWN = 16
"""Digits of a key in a table: enough to tell entries apart and to copy."""


def list_entries(namespace: Namespace, out: Output) -> int:
    """Print a page of entries."""
    wanted = _filter(namespace)
    with open_client(namespace) as client:
        items = client.cache.find(wanted, order=namespace.order, limit=namespace.limit, offset=max(0, namespace.offset))
        meant = client.cache.count(wanted)
    if out.as_json:
        document = {"entries": [item.as_json() for item in items], "count": meant.entries}
        out.document({**document, "size_bytes": meant.size_bytes})
        return 0
    if not items:
        out.note("No entry matches.")
        return 0
    headings = ["key", "state", "model", "task", "age", "size", "hits", "saved"]
    out.table(headings, [_row(item) for item in items], right=_RIGHT, whole=_WHOLE, drop=_DROP)
    if meant.entries > namespace.offset + len(items):
        out.note(f"{meant.entries:,} in all. More: --offset {namespace.offset + len(items)}")
    return 0


def show(namespace: Namespace, out: Output) -> int:
    """Print one entry with its answer, secrets masked."""
    with open_client(namespace) as client:
        item, entry = client.cache.show(namespace.key)
    body = "" if entry is None else redactor.shapes(entry.body.decode("utf-8", "replace"))
    parts = {} if entry is None else {name: redactor.shapes(text) for name, text in entry.parts().items()}
    if out.as_json:
        out.document({**item.as_json(), "parts": parts, "body": None if entry is None else body})
        return 0
    saved = "unknown" if item.saved_usd is None else money(item.saved_usd)
    facts = {
        "key": item.key,
        "state": _state(item),
        "model": item.labels.get("model", ""),
        "task": item.labels.get("task") or item.labels.get("type", ""),
        "stored": f"{age(max(0.0, utcnow().timestamp() - item.created_at))} ago",
        "size": file_size(item.size_bytes),
        "took": seconds(item.latency_seconds),
        "hits": f"{item.hits:,}",
        "saved": f"{seconds(item.saved_seconds)}, {saved}",
        "run": item.run_id or "unknown",
    }
    for name, text in facts.items():
        out.line(f"{name:<9} {plain(text)}")
    for name, text in parts.items():
        out.line(f"{plain(name):<9} {plain(text)}")
    out.line()
    out.line(plain(body, lines=True) if entry is not None else "The answer itself cannot be read.")
    return 0


def pin(namespace: Namespace, out: Output) -> int:
    """Keep an entry whatever comes."""
    return _pin(namespace, out, pinned=True)


def unpin(namespace: Namespace, out: Output) -> int:
    """Let go of it."""
    return _pin(namespace, out, pinned=False)


def _pin(namespace: Namespace, out: Output, *, pinned: bool) -> int:
    with open_client(namespace) as client:
        item = client.cache.pin(namespace.key, pinned=pinned)
    if out.as_json:
        out.document(item.as_json())
    else:
        out.line(f"{item.key} is {'pinned' if pinned else 'no longer pinned'}.")
    return 0


def refresh(namespace: Namespace, out: Output) -> int:
    """Ask again, and wait for the answer."""
    with open_client(namespace) as client:
        run = client.cache.refresh(namespace.key).result()
    if out.as_json:
        out.document(run.as_json())
    elif run.status is RunStatus.SUCCEEDED:
        out.line(f"Run {run.id} got a new answer.")
    if run.status is not RunStatus.SUCCEEDED:
        why = f": {run.error.message}" if run.error else "."
        out.note(f"Run {run.id} {run.status.value}{why} The former answer stays.")
    return 0 if run.status is RunStatus.SUCCEEDED else 1


def delete(namespace: Namespace, out: Output) -> int:
    """Forget entries, once a person has seen how many and said so."""
    wanted = _filter(namespace)
    if bool(namespace.keys) is (wanted != EntryFilter()):
        raise UsageError("Give either keys or filters.", hint="`cache clear` forgets all that are not pinned.")
    with open_client(namespace) as client:
        deleted = (
            _delete_keys(client, namespace, out) if namespace.keys else _delete_all(client, namespace, wanted, out)
        )
    if deleted is None:
        out.note("Nothing was deleted.")
        return 1
    if out.as_json:
        out.document({"deleted": deleted})
    else:
        out.line(f"{count(deleted, 'answers')} forgotten.")
    return 0


def _delete_keys(client: "MCPClient", namespace: Namespace, out: Output) -> int | None:
    items = [client.cache.show(key)[0] for key in namespace.keys]
    size = sum(item.size_bytes for item in items)
    if not out.confirm(f"Forget {count(len(items), 'answers')} of {file_size(size)}?", yes=namespace.yes):
        return None
    return sum(client.cache.delete(item.key) for item in items)


def _delete_all(client: "MCPClient", namespace: Namespace, wanted: EntryFilter, out: Output) -> int | None:
    pinned = namespace.pinned_too or namespace.pinned
    meant = client.cache.count(wanted if pinned else _filter(namespace, pinned=False))
    if not out.confirm(
        f"Forget {count(meant.entries, 'answers')} of {file_size(meant.size_bytes)}?", yes=namespace.yes
    ):
        return None
    return client.cache.forget(wanted, pinned=pinned)


def _filter(namespace: Namespace, pinned: bool | None = None) -> EntryFilter:
    before = parse_since(namespace.older_than, "--older-than")
    return EntryFilter(
        type=namespace.type,
        provider=namespace.provider,
        model=namespace.model,
        task=namespace.task,
        text=namespace.text,
        older_than_seconds=None if before is None else (utcnow() - before).total_seconds(),
        never_hit=namespace.never_hit,
        pinned=True if namespace.pinned else pinned,
    )


def _row(item: Item) -> list[str]:
    return [
        item.key[:_SHOWN],
        _state(item),
        item.labels.get("model", ""),
        item.labels.get("task") or item.labels.get("type", ""),
        age(max(0.0, utcnow().timestamp() - item.created_at)),
        file_size(item.size_bytes),
        f"{item.hits:,}",
        seconds(item.saved_seconds),
    ]


def _state(item: Item) -> str:
    return ("fresh" if item.is_fresh() else "outdated") + (", pinned" if item.pinned else "")
