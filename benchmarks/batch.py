"""A batch of slow calls through the panel, history on, against the ideal and against threads with bare `requests`.

    python benchmarks/batch.py [--json] [--calls 500] [--delay-ms 50] [--workers 32] [--rounds 5]

The ideal is that no worker ever waits for anything but the model: calls x delay / workers. What is told is how much
of it is reached, 1 at most. Every question is fresh, so nothing comes from the cache, and every answer goes into it.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from calls import body, panel
from common import Figure, figure, model_server, report, settle

from mcp_core import LLMPromptConfig, MCPClient

TARGET = 0.85


def through_the_panel(client: MCPClient, questions: list[str]) -> None:
    """Submit all, then wait for all; every one is in the history by then."""
    config = LLMPromptConfig(template="question {{ n }}", model="bench/m")
    handles = [client.submit(config, {"n": question}, stream=False) for question in questions]
    for handle in handles:
        run = handle.result()
        if run.status != "succeeded" or run.cache != "miss":
            raise SystemExit(f"a run went wrong: {run.status}, {run.cache}, {run.error}")


def with_threads(session: requests.Session, workers: int, url: str, questions: list[str]) -> None:
    """The same calls from a thread pool, and nothing kept."""

    def ask(question: str) -> None:
        session.post(f"{url}/chat/completions", json=body(question), timeout=30).json()

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(ask, questions))


def measure(calls: int, delay_ms: float, workers: int, rounds: int, directory: Path) -> list[Figure]:
    """Both ways by turns, and the share of the ideal that each reaches (median)."""
    ideal = calls * delay_ms / 1000 / workers
    session = requests.Session()
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=workers)
    session.mount("http://", adapter)
    taken: dict[str, list[float]] = {}
    burnt: dict[str, list[float]] = {}
    with (
        model_server(delay_ms) as url,
        panel(directory, url, "sqlite", MCP_WORKERS=str(workers), MCP_QUEUE_SIZE=str(calls)) as client,
    ):
        ways: dict[str, Callable[[list[str]], None]] = {
            "panel": lambda questions: through_the_panel(client, questions),
            "threads + requests": lambda questions: with_threads(session, workers, url, questions),
        }
        settle()
        for turn in range(rounds + 1):
            for name, way in ways.items():
                questions = [f"{name} {turn} {number}" for number in range(calls)]
                began, cpu = time.perf_counter(), time.process_time()
                way(questions)
                if turn:  # the first one warms up: imports, threads, connections
                    taken.setdefault(name, []).append(time.perf_counter() - began)
                    burnt.setdefault(name, []).append((time.process_time() - cpu) / calls)
        kept = client.runs.count()
    if kept != calls * (rounds + 1):
        raise SystemExit(f"{kept} runs are in the history, not {calls * (rounds + 1)}")
    shares = {name: ideal / statistics.median(times) for name, times in taken.items()}
    what = f"batch of {calls} x {delay_ms:g} ms at {workers}"
    return [
        figure(f"{what}: panel, history on", shares["panel"], "of the ideal", target=TARGET, at_least=True),
        figure(f"{what}: threads + requests", shares["threads + requests"], "of the ideal"),
        *(
            figure(f"processor time a call: {name}", statistics.median(each) * 1e3, "ms")
            for name, each in burnt.items()
        ),
        figure(f"{what}: machine", os.cpu_count() or 1, "cores"),
    ]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--delay-ms", type=float, default=50.0)
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        figures = measure(args.calls, args.delay_ms, args.workers, args.rounds, Path(directory))
    report(figures, as_json=args.json)


if __name__ == "__main__":
    main()
