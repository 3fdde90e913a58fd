"""What a page shows where the history cannot be read: words and a hint, and all is well once it can be read again."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from mcp_core.models import Run, RunStatus, utcnow
from tests.pages.conftest import Panel, shown

pytestmark = pytest.mark.integration


def _rename(folder: Path, before: str, after: str) -> None:
    with closing(sqlite3.connect(folder / "data" / "history.db")) as connection:
        connection.execute(f"ALTER TABLE {before} RENAME TO {after}")


@pytest.mark.parametrize(
    ("page", "params"), [("home", {}), ("history", {}), ("history", {"run": "r"}), ("run", {"run": "r"})]
)
def test_a_history_that_cannot_be_read_is_explained(
    panel: Panel, tmp_path: Path, page: str, params: dict[str, str]
) -> None:
    panel.open()
    _rename(tmp_path, "runs", "elsewhere")
    session = panel.open(page, **params)
    assert not session.exception
    assert session.error[0].proto.title == "This part of the page cannot be shown"
    assert "history" in session.error[0].value
    assert ":material/lightbulb:" in shown(session)
    _rename(tmp_path, "elsewhere", "runs")
    session.run()
    assert not session.error


def test_a_run_that_is_followed_is_followed_on_after_the_trouble(panel: Panel, tmp_path: Path) -> None:
    panel.open()
    panel.client.store.heartbeat("elsewhere")
    run = Run(id="theirs", type="llm_prompt", status=RunStatus.RUNNING, started_at=utcnow(), owner="elsewhere")
    panel.client.store.save_run(run)
    _rename(tmp_path, "run_events", "gone")
    session = panel.open("run", run="theirs")
    assert not session.exception
    assert session.error[0].proto.title == "This part of the page cannot be shown"
    _rename(tmp_path, "gone", "run_events")
    session.run()
    assert not session.error
    assert "Cancel" in [button.label for button in session.button]


def test_a_fragment_explains_itself_and_leaves_the_rest_of_the_page() -> None:
    def script() -> None:
        import streamlit as st

        from mcp_core.errors import StoreError
        from mcp_core.ui.trouble import fragment

        def part(words: str) -> None:
            st.markdown(words)
            raise StoreError("The *disk* is gone.", hint="Bring it back.")

        fragment(part, every=None)("drawn before")
        st.markdown("drawn after")

    session = AppTest.from_function(script).run()
    assert not session.exception
    assert session.error[0].value == "The \\*disk\\* is gone\\."
    assert [part.value for part in session.markdown] == [
        "drawn before",
        ":material/lightbulb: Bring it back\\.",
        "drawn after",
    ]
