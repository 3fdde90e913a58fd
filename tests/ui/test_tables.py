from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from mcp_core.models import CacheOutcome, RunStatus, utcnow
from mcp_core.store import NEWEST_FIRST, SORTS, RunFilter, RunSort, open_store
from mcp_core.ui.run_words import hit_words, miss_words
from mcp_core.ui.tables import COLUMNS, DEFAULT_COLUMNS, ORDERS, order_asked, readable
from tests.made_runs import made_run, seed

pytestmark = pytest.mark.unit


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    with open_store("", data_dir=tmp_path) as store:
        seed(
            store,
            [
                made_run(hours_ago=1, name="", cost_usd=None),
                made_run(hours_ago=2, cache=CacheOutcome(outcome="hit", saved_seconds=2.0), cost_usd=Decimal(0)),
                made_run(hours_ago=3, status=RunStatus.QUEUED, started_at=None, finished_at=None, model=None),
                made_run(hours_ago=4, status=RunStatus.RUNNING, finished_at=None, started_at=utcnow()),
            ],
        )
        return readable(store.runs_frame(RunFilter(), limit=10), ZoneInfo("Europe/Berlin"))


def test_only_what_is_unknown_is_missing(frame: pd.DataFrame) -> None:
    missing = {name: frame[name].isna().tolist() for name in COLUMNS if frame[name].isna().any()}
    assert missing == {
        "cost_usd": [True, False, False, False],
        "saved_usd": [False, True, False, False],
        "finished_at": [False, False, True, True],
    }


def test_cells_read_as_people_read(frame: pd.DataFrame) -> None:
    assert frame["status"].tolist() == [["Succeeded"], ["Succeeded"], ["Queued"], ["Running"]]
    assert frame["cache"].tolist()[1] == ["Hit"]
    assert frame["name"].tolist()[0] == "llm_prompt", "a run without a name goes by its type"
    assert frame["model"].tolist()[2] == ""
    assert frame["duration_seconds"].tolist()[:3] == [1.0, 1.0, 0.0]
    assert 0 <= frame["duration_seconds"].tolist()[3] < 60, "an open run shows its time so far"
    assert str(frame["created_at"].dt.tz) == "Europe/Berlin"


def test_the_columns_shown_first_exist(frame: pd.DataFrame) -> None:
    assert set(DEFAULT_COLUMNS) <= set(COLUMNS) <= set(frame.columns)


def test_a_columns_header_asks_for_its_order_and_then_for_the_other_way_round() -> None:
    assert order_asked(["cost_usd"], NEWEST_FIRST) == RunSort("cost")
    assert order_asked(["cost_usd"], RunSort("cost")) == RunSort("cost", False)
    assert order_asked(["name"], RunSort("cost")) == RunSort("task", False)
    assert order_asked(["created_at"], NEWEST_FIRST) == RunSort("created", False)
    for other in ([], ["open"], ["id"], ["retry_of"], ["gone"]):
        assert order_asked(other, NEWEST_FIRST) is None
    assert set(ORDERS) == set(SORTS)


def test_an_empty_table_is_readable(tmp_path: Path) -> None:
    with open_store("", data_dir=tmp_path) as store:
        assert readable(store.runs_frame(RunFilter(), limit=10), ZoneInfo("UTC")).empty


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (None, "has not been run like this before"),
        ([], "expired, been evicted or cleared"),
        (["temperature"], "since the last such run: the temperature."),
        (["credential", "messages", "top_k"], "the key of the model server, the text that was sent and top k."),
    ],
)
def test_a_miss_says_why(changed: list[str] | None, words: str) -> None:
    assert words in miss_words(changed)


def test_a_result_that_was_made_anew_is_no_asked_model() -> None:
    assert miss_words(None, model_asked=False).startswith("The work was done anew: this task")
    assert "the result had expired" in miss_words([], model_asked=False)
    words = miss_words(["code", "(version)", "![x](http://evil.example)"], model_asked=False)
    assert "code, the version of the task's type and " in words
    assert words.endswith(" and ` ![x](http://evil.example `."), "as code, which shows no image"


def test_a_hit_tells_where_it_came_from() -> None:
    hit = CacheOutcome(outcome="hit", age_seconds=90.0, saved_seconds=2.5, saved_usd=Decimal("0.02"))
    assert hit_words(hit) == "The answer came from the cache, 1 min 30 s old. That saved 2.5 s and $0.02."
    shared = CacheOutcome(outcome="hit", age_seconds=0.0)
    assert hit_words(shared) == "An equal call was under way, and its answer served here too."
    stale = CacheOutcome(outcome="stale", age_seconds=5.0, saved_seconds=1.0)
    assert "It was out of date" in hit_words(stale)
