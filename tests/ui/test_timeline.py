from datetime import timedelta

import pytest

from mcp_core.models import Attempt, RunStatus, utcnow
from mcp_core.ui.palette import STATUS_COLOURS
from mcp_core.ui.timeline import MOST_CHILDREN, timeline_bars, timeline_figure
from tests.made_runs import made_run

pytestmark = pytest.mark.unit


def test_a_run_its_attempts_and_its_children_are_bars_in_order() -> None:
    run = made_run(seconds=4.0)
    began = run.created_at
    attempts = (
        Attempt(
            number=1,
            provider="acme",
            model="m",
            status=500,
            started_at=began + timedelta(seconds=1),
            duration_seconds=0.5,
            error="500",
        ),
        Attempt(
            number=2,
            provider="acme",
            model="m",
            status=200,
            started_at=began + timedelta(seconds=2),
            duration_seconds=2.0,
        ),
    )
    child = made_run(parent_id=run.id, name="A child with a name too long for the side of a chart")
    bars = timeline_bars(run.model_copy(update={"attempts": attempts}), [child], now=utcnow())
    assert [bar.name for bar in bars[:4]] == ["Waiting", "This run", "Attempt 1", "Attempt 2"]
    assert len(bars[4].name) == 28
    assert bars[1].length == pytest.approx(4.0)
    assert bars[2].colour == STATUS_COLOURS["failed"]
    assert bars[2].pattern
    assert (bars[3].start, bars[3].pattern) == (2.0, "")


def test_an_open_run_ends_now_and_one_that_waits_has_only_its_wait() -> None:
    now = utcnow()
    queued = made_run(status=RunStatus.QUEUED, started_at=None, finished_at=None, created_at=now - timedelta(seconds=3))
    assert [(bar.name, bar.length) for bar in timeline_bars(queued, [], now=now)] == [("Waiting", 3.0)]
    running = queued.model_copy(update={"status": RunStatus.RUNNING, "started_at": now - timedelta(seconds=2)})
    wait, work = timeline_bars(running, [], now=now)
    assert (wait.length, work.start, work.length) == (1.0, 1.0, 2.0)


def test_a_run_refused_before_it_began_is_drawn() -> None:
    run = made_run(status=RunStatus.CANCELLED, started_at=None)
    assert [bar.name for bar in timeline_bars(run, [], now=utcnow())] == ["Waiting"]


def test_children_are_bounded() -> None:
    run = made_run()
    bars = timeline_bars(run, [made_run() for _ in range(MOST_CHILDREN + 5)], now=utcnow())
    assert len(bars) == 2 + MOST_CHILDREN


def test_clocks_that_disagree_draw_nothing_before_the_beginning() -> None:
    run = made_run()
    attempt = Attempt(
        number=1, provider="acme", model="m", started_at=run.created_at - timedelta(seconds=5), duration_seconds=1.0
    )
    bars = timeline_bars(run.model_copy(update={"attempts": (attempt,)}), [], now=utcnow())
    assert bars[-1].start == 0
    assert "no answer" in bars[-1].note


@pytest.mark.parametrize(("seconds", "unit"), [(0.2, " ms"), (5.0, " s")])
def test_the_figure_names_its_bars_and_its_unit(seconds: float, unit: str) -> None:
    bars = timeline_bars(made_run(seconds=seconds), [], now=utcnow())
    figure = timeline_figure(bars)
    assert list(figure.layout.yaxis.ticktext) == ["Waiting", "This run"]
    assert figure.layout.xaxis.ticksuffix == unit
    assert figure.layout.meta["alt"].startswith("Timeline of the run: 2 bars over")
