"""`cache stats` and `cache clear`."""

from argparse import Namespace

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
    rows = [
        ("backend", found["backend"]),
        ("entries", entries),
        ("size", f"{file_size(found['size_bytes'])} of {file_size(found['max_bytes'])}"),
        ("fresh for", seconds(found["ttl_seconds"])),
        ("hits", f"{found['hits']:,}"),
        ("misses", f"{found['misses']:,}"),
        ("stale answers", f"{found['stale']:,}"),
        ("bypassed", f"{found['bypass']:,}"),
        ("hit ratio", ratio(found["hit_ratio"])),
        ("money saved", money(found["saved_usd"])),
        ("time saved", seconds(found["saved_seconds"])),
    ]
    out.table(["cache", f"since {found['since'][:16].replace('T', ' ')} UTC"], rows)
    return 0


def clear(namespace: Namespace, out: Output) -> int:
    """Forget all answers, once a person has said so."""
    with open_client(namespace) as client:
        held = client.cache.size()
        question = f"Forget all that is remembered, {count(held.entries, 'answers')} of {file_size(held.size_bytes)}?"
        if not out.confirm(question, yes=namespace.yes):
            out.note("Nothing was cleared.")
            return 1
        cleared = client.cache.clear()
    if out.as_json:
        out.document({"cleared": cleared})
    else:
        out.line(f"{count(cleared, 'answers')} forgotten.")
    return 0
