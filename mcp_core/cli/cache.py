"""`cache stats` and `cache clear`."""

from argparse import Namespace
from typing import Any

from mcp_core.cache.entry import EntryFilter
from mcp_core.cli.dates import parse_since
from mcp_core.cli.output import Output, money, seconds
from mcp_core.cli.session import open_client
from mcp_core.formats import count, file_size, ratio

__all__ = ["clear", "stats"]


def stats(namespace: Namespace, out: Output) -> int:
    """Print what the cache holds and what it saved."""
    with open_client(namespace) as client:
        found = client.cache.stats(since=parse_since(namespace.since))
    if out.as_json:
        out.document(found)
        return 0
    entries = "unknown" if found["entries"] is None else f"{found['entries']:,}"
    pinned = f", {found['pinned']:,} of them pinned" if found["pinned"] else ""
    rows = [
        ("backend", found["backend"]),
        ("entries", f"{entries}{pinned}"),
        ("size", f"{file_size(found['size_bytes'])} of {file_size(found['max_bytes'])}"),
        ("fresh for", seconds(found["ttl_seconds"])),
        ("hits", f"{found['hits']:,}"),
        ("misses", f"{found['misses']:,}"),
        ("stale answers", f"{found['stale']:,}"),
        ("bypassed", f"{found['bypass']:,}"),
        ("hit ratio", ratio(found["hit_ratio"])),
        ("money saved", money(found["saved_usd"])),
        ("time saved", seconds(found["saved_seconds"])),
        ("stored", f"{count(found['stored'], 'answers')}, {file_size(found['stored_bytes'])}"),
        ("evictions", f"{count(found['evictions'], 'entries')}, {file_size(found['evicted_bytes'])}"),
    ]
    out.table(["cache", f"since {found['since'][:16].replace('T', ' ')} UTC"], rows)
    if namespace.by is not None:
        headings = [namespace.by, "hits", "misses", "stale", "hit ratio", "saved", "time saved", "stored", "evictions"]
        out.line()
        out.table(headings, [_row(row) for row in found["by"][namespace.by]], right=headings[1:], whole=headings[:1])
    return 0


def _row(row: dict[str, Any]) -> list[str]:
    return [
        row["name"] or "none",
        f"{row['hits']:,}",
        f"{row['misses']:,}",
        f"{row['stale']:,}",
        ratio(row["hit_ratio"]),
        money(row["saved_usd"]),
        seconds(row["saved_seconds"]),
        file_size(row["stored_bytes"]),
        f"{row['evictions']:,}",
    ]


def clear(namespace: Namespace, out: Output) -> int:
    """Forget all answers that are not pinned, once a person has said so."""
    with open_client(namespace) as client:
        held = client.cache.count(EntryFilter(pinned=None if namespace.pinned_too else False))
        question = f"Forget {count(held.entries, 'answers')} of {file_size(held.size_bytes)}?"
        if not out.confirm(question, yes=namespace.yes):
            out.note("Nothing was cleared.")
            return 1
        cleared = client.cache.clear(pinned=namespace.pinned_too)
    if out.as_json:
        out.document({"cleared": cleared})
    else:
        out.line(f"{count(cleared, 'answers')} forgotten.")
    return 0
