from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from mcp_core.models import Artifact, Attempt, CacheOutcome, Run, RunError, RunOutput, RunStatus, Usage, utcnow
from mcp_core.ui import output

pytestmark = pytest.mark.unit


def script(run: "Any") -> None:
    from mcp_core.ui import live

    live.show(run)


def drawn(**fields: Any) -> AppTest:
    now = utcnow()
    given = {"id": "r", "type": "llm_prompt", "status": RunStatus.SUCCEEDED, "created_at": now, "started_at": now}
    run = Run(**{**given, "finished_at": now + timedelta(seconds=2), **fields})
    page = AppTest.from_function(script, args=(run,), default_timeout=30).run()
    assert not page.exception
    return page


def metrics(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def test_figures_have_units_and_an_unknown_cost_is_not_zero() -> None:
    page = drawn(usage=Usage(input_tokens=5, output_tokens=1200), output=RunOutput(text="x"))
    assert metrics(page) == {"Time": "2.0 s", "Tokens": "1,200", "Speed": "600 tokens/s", "Cost": "unknown"}
    assert "providers.toml" in page.metric[3].help


def test_the_speed_is_that_of_the_model_and_not_of_its_start() -> None:
    def tried(number: int, seconds: float, waited: float, error: str | None = None) -> Attempt:
        return Attempt(
            number=number,
            provider="local",
            model="m",
            started_at=utcnow(),
            duration_seconds=seconds,
            waited_seconds=waited,
            error=error,
        )

    usage = Usage(output_tokens=120)
    started = drawn(usage=usage, output=RunOutput(text="x"), attempts=(tried(1, 60.0, 0.0, "Down."), tried(2, 31, 30)))
    assert metrics(started)["Speed"] == "120 tokens/s"
    samples = drawn(usage=usage, output=RunOutput(text="x"), attempts=(tried(1, 31, 30), tried(1, 1, 0)))
    assert metrics(samples)["Speed"] == "60 tokens/s"
    stopped = drawn(usage=usage, status=RunStatus.CANCELLED, attempts=(tried(1, 4, 2, "Cancelled."),))
    assert metrics(stopped)["Speed"] == "60 tokens/s"
    without = drawn(usage=usage, output=RunOutput(text="x"))
    assert metrics(without)["Speed"] == "60 tokens/s"


def test_a_hit_shows_what_it_saved() -> None:
    cache = CacheOutcome(outcome="hit", age_seconds=90, saved_seconds=4.5, saved_usd=Decimal("0.01"))
    page = drawn(cache=cache, cost_usd=Decimal(0), output=RunOutput(text="x"))
    assert metrics(page)["Saved"] == "4.5 s"
    assert metrics(page)["Cost"] == "$0"
    assert "Money spared: \\$0.01" in page.metric[2].help


@pytest.mark.parametrize(
    ("cache", "words"),
    [
        (CacheOutcome(outcome="hit", age_seconds=90), "From the cache, 1 min 30 s old"),
        (CacheOutcome(outcome="hit"), "From the cache"),
        (CacheOutcome(outcome="stale", age_seconds=7200), "From the cache, outdated (2 h 00 min old)"),
        (CacheOutcome(outcome="miss"), "Asked the model"),
        (CacheOutcome(), "Cache not asked"),
    ],
)
def test_the_cache_is_told_in_words(cache: CacheOutcome, words: str) -> None:
    assert output.cache_words(cache) == words


def test_an_error_is_what_happened_and_what_to_do_and_what_it_names_is_code() -> None:
    error = RunError(type="SomethingElse", message="It *broke* [here](http://x).", hint="Mend `it`.")
    page = drawn(status=RunStatus.FAILED, error=error)
    assert page.error[0].proto.title == "The run failed"
    assert page.error[0].value.startswith("It \\*broke\\* \\[` here](http://x `")
    assert "Mend ` it `" in page.markdown[-1].value
    assert not page.metric


def test_files_and_code_and_empty_answers_are_named() -> None:
    file = Artifact(name="plot.png", media_type="image/png", size_bytes=3400, sha256="0")
    page = drawn(output=RunOutput(text="```python\nx = 1\n```", artifacts=(file,)))
    assert page.code[0].value == "x = 1"
    assert "plot\\.png (3.4 kB)" in page.markdown[-1].value
    assert [caption.value for caption in drawn().caption] == ["The answer is empty."]


def test_data_is_shown_beside_a_text_that_says_something_else() -> None:
    page = drawn(output=RunOutput(text="Summary", data={"a": 1}))
    assert page.json[0].value == '{"a": 1}'
    assert "Summary" in [markdown.value for markdown in page.markdown]


def test_a_huge_answer_is_cut_and_says_so() -> None:
    page = drawn(output=RunOutput(text="a" * (output.LONGEST_SHOWN + 1)))
    assert max(len(markdown.value) for markdown in page.markdown) == output.LONGEST_SHOWN
    assert "The first 200,000 of 200,001 characters" in page.caption[0].value
