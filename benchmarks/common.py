"""What the benchmarks share: the stand-in model server, interleaved timing, and the one shape of their output."""

import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        ratio: value by baseline, where there is a baseline.
        target: what the ratio (or, without a baseline, the value) should not exceed; None for information.
        at_least: whether the target is what it should reach instead.
    """

    name: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    target: float | None = None
    ok: bool | None = None
    at_least: bool = False


def figure(
    name: str,
    value: float,
    unit: str,
    *,
    baseline: float | None = None,
    target: float | None = None,
    at_least: bool = False,
) -> Figure:
    """A figure with its ratio and verdict worked out."""
    ratio = value / baseline if baseline else None
    judged = ratio if ratio is not None else value
    ok = None if target is None else (judged >= target if at_least else judged <= target)
    return Figure(
        name,
        float(f"{value:.5g}"),
        unit,
        None if baseline is None else float(f"{baseline:.5g}"),
        None if ratio is None else round(ratio, 3),
        target,
        ok,
        at_least,
    )


def report(figures: list[Figure], *, as_json: bool) -> None:
    """Print the figures, for people or as JSON."""
    if as_json:
        # Which way a target is judged is in `ok`; the shape of the output is the same for every benchmark.
        shown = [{name: value for name, value in asdict(item).items() if name != "at_least"} for item in figures]
        print(json.dumps({"figures": shown}, indent=1))
        return
    for item in figures:
        ratio = "" if item.ratio is None else f"{item.ratio:8.2f}x"
        sign = ">= " if item.at_least else ""
        said = "ok" if item.ok else "MISSED"
        verdict = "" if item.ok is None else f"  target {sign}{item.target:g}: {said}"
        print(f"{item.name:52} {item.value:10.4g} {item.unit:4} {ratio:9}{verdict}")


def settle() -> None:
    """Leave what was loaded out of the collector's rounds, as the app does once it has started."""
    gc.collect()
    gc.freeze()


BLOCK = 10
"""Calls of one case in a row: measured is what it costs in use, not what its neighbours left of the caches."""


def interleaved(cases: Mapping[str, Callable[[int], object]], rounds: int, *, warm_up: int = 10) -> dict[str, float]:
    """Every case by turns, in blocks and in rotating order; the median seconds of each.

    Each case is called `rounds` times after `warm_up` times that do not count, with 0, 1, 2, ...
    """
    settle()
    names = list(cases)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn, first in enumerate(range(0, rounds + warm_up, BLOCK)):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            for call in range(first, min(first + BLOCK, rounds + warm_up)):
                began = time.perf_counter()
                cases[name](call)
                if call >= warm_up:
                    times[name].append(time.perf_counter() - began)
    return {name: statistics.median(taken) for name, taken in times.items()}


@contextmanager
def model_server(delay_ms: float = 0.0) -> Iterator[str]:
    """A running model server; gives its base URL."""
    script = Path(__file__).with_name("model_server.py")
    with subprocess.Popen(
        [sys.executable, script, "--delay-ms", str(delay_ms)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()
