"""The first charts and tables after a start, asked for by several sessions at once."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]

WHILE_HALF_IMPORTED = """
import sys, threading
import streamlit  # as in the app, long before the first page

half, drawn = threading.Event(), threading.Event()


class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "pandas.core.api":
            half.set()
            drawn.wait(2)  # whoever draws now either fails by then, or waits for this import
        return None


sys.meta_path.insert(0, Slow())
failures = []


def table():
    from mcp_core.store.frames import frame

    frame([(1, "x")], {"n": "integer", "t": "text"})


def chart():
    from mcp_core.ui.timeline import Bar, timeline_figure

    half.wait()
    try:
        timeline_figure([Bar("Waiting", 0.0, 1.0, "#123456", "waited")]).to_json()
    except Exception as error:
        failures.append(repr(error))
    drawn.set()


threads = [threading.Thread(target=work) for work in (table, chart)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(", ".join(failures) or 0)
"""

ALL_AT_ONCE = """
import sys, threading
import streamlit

sys.setswitchinterval(1e-5)
failures = []


def frames():
    from mcp_core.store.frames import frame

    frame([(1, "x", None)], {"n": "integer", "t": "text", "m": "money"})


def figures():
    from mcp_core.ui.timeline import Bar, timeline_figure

    timeline_figure([Bar("Waiting", 0.0, 1.0, "#123456", "waited")]).to_json()


def warm():
    from mcp_core.ui.client import _warm_up

    _warm_up()


work = [frames, figures, warm] * 6
together = threading.Barrier(len(work))


def begin(what):
    together.wait()
    try:
        what()
    except BaseException as error:
        failures.append(repr(error))


threads = [threading.Thread(target=begin, args=(what,)) for what in work]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(", ".join(failures) or 0)
"""


@pytest.mark.parametrize("script", [WHILE_HALF_IMPORTED, ALL_AT_ONCE], ids=["half imported", "all at once"])
def test_first_charts_and_tables_in_several_threads(script: str) -> None:
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
