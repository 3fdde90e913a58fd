"""What work costs, in calls, transactions, imports and growth: figures in seconds are for benchmarks/."""

import gc
import json
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcp_core.api.client import MCPClient
from mcp_core.settings import load_settings
from mcp_core.store.writer import Operation, Writer
from mcp_core.types.llm_prompt import LLMPromptConfig
from tests.faulty import FaultyServer

pytestmark = pytest.mark.performance

ROOT = Path(__file__).parents[1]
CONFIG = LLMPromptConfig(template="hi {{ n }}", model="acme/m")


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        yield server


@pytest.fixture
def panel(tmp_path: Path, server: FaultyServer) -> Iterator[MCPClient]:
    (tmp_path / "providers.toml").write_text(
        f'version = 1\n[providers.acme]\nbase_url = "{server.url}"\n'
        'prices = [{ model = "priced", input_usd_per_million = 1, output_usd_per_million = 1 }]\n'
    )
    values = {"MCP_DATA_DIR": str(tmp_path), "MCP_LOCAL_MODEL": "off"}
    client = MCPClient(load_settings(values, directory=tmp_path))
    yield client
    client.close(drain_seconds=0)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What this thread has so far waited to see written to the history."""
    waited_for: list[object] = []
    run = Writer.run
    caller = threading.get_ident()

    def counted(writer: Writer[Any], operation: Operation[Any, Any]) -> object:
        if threading.get_ident() == caller:
            waited_for.append(operation)
        return run(writer, operation)

    monkeypatch.setattr(Writer, "run", counted)
    return waited_for


def test_a_cached_run_asks_nobody_and_writes_once(panel: MCPClient, server: FaultyServer, writes: list[object]) -> None:
    panel.execute(CONFIG, {"n": 1})
    before = len(writes)
    for _ in range(50):
        assert panel.execute(CONFIG, {"n": 1}).cache == "hit"
    assert server.calls == 1
    assert len(writes) - before == 50


def test_an_uncached_run_writes_before_it_asks_and_when_it_ends(
    panel: MCPClient, server: FaultyServer, writes: list[object]
) -> None:
    panel.execute(CONFIG, {"n": 0})
    before = len(writes)
    for n in range(1, 21):
        panel.execute(CONFIG, {"n": n})
    assert server.calls == 21
    assert len(writes) - before == 40
    assert server.connections == 1, "one connection is enough for one caller"


def test_a_budget_costs_an_uncached_run_one_more_write_and_a_hit_none(
    panel: MCPClient, server: FaultyServer, writes: list[object]
) -> None:
    panel.budgets.set("actor", "local", "month", 1000)
    panel.budgets.set("team", "default", "day", 1000)
    priced = CONFIG.model_copy(update={"model": "acme/priced"})
    panel.execute(priced, {"n": 0})
    before = len(writes)
    for n in range(1, 21):
        panel.execute(priced, {"n": n})
    assert len(writes) - before == 60
    for n in range(1, 21):
        assert panel.execute(priced, {"n": n}).cache == "hit"
    assert len(writes) - before == 80


def test_memory_does_not_grow_with_the_number_of_runs(panel: MCPClient) -> None:
    for _ in range(200):
        panel.execute(CONFIG, {"n": 1})
    tracemalloc.start()
    try:
        panel.store.flush()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(400):
            panel.execute(CONFIG, {"n": 1})
        panel.store.flush()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 400 * 250, "less than a run's id and status would take, let alone its record"
    assert panel.runs.live() == []


def loaded(code: str) -> set[str]:
    """Top-level modules that a fresh process has loaded after `code`."""
    tail = "; import sys, json; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", code + tail], capture_output=True, text=True, check=True, cwd=ROOT, timeout=120
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_loads_nothing_heavy() -> None:
    code = "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n try:\n  "
    code += "from mcp_core.cli import main; main(['--help'])\n except SystemExit: pass\n1"
    heavy = {"sqlalchemy", "requests", "requests_cache", "streamlit", "pandas", "plotly", "redis", "xllamacpp"}
    assert loaded(code) & heavy == set()


def test_a_client_is_opened_without_http_charts_or_frames(tmp_path: Path) -> None:
    code = (
        "from mcp_core import MCPClient, load_settings\n"
        f"MCPClient(load_settings({{'MCP_DATA_DIR': {str(tmp_path)!r}, 'MCP_LOCAL_MODEL': 'off'}})).close()\n1"
    )
    assert loaded(code) & {"requests", "requests_cache", "streamlit", "pandas", "plotly", "genai_prices"} == set()


def test_a_benchmark_prints_its_figures_in_the_one_shape() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/calls.py", "--json", "--rounds", "5"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=120,
    )
    figures = json.loads(done.stdout)["figures"]
    assert {"uncached call: panel", "cached: panel, memory", "cached: panel, sqlite"} <= {f["name"] for f in figures}
    for figure in figures:
        assert set(figure) == {"name", "value", "unit", "baseline", "ratio", "target", "ok"}
        assert figure["value"] > 0
