"""An outage from the page: simulated, seen as fallbacks and an open circuit, ended, and seen to close."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import App, running_app
from tests.faulty import FaultyServer, chat

pytestmark = pytest.mark.e2e

SLOW = 90_000
"""Milliseconds a page may take on a busy machine."""


@pytest.fixture
def acme() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        server.default = chat("from acme")
        yield server


@pytest.fixture
def spare() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        server.default = chat("from spare")
        yield server


@pytest.fixture
def panel(tmp_path: Path, acme: FaultyServer, spare: FaultyServer) -> Iterator[App]:
    """An app with a task that asks `acme`, and `spare` in its place."""
    data = tmp_path / "app"
    (data / "tasks").mkdir(parents=True)
    (data / "providers.toml").write_text(
        f'version = 1\n[providers.acme]\nbase_url = "{acme.url}"\nmodels = ["m"]\n'
        "breaker_failures = 1\nbreaker_seconds = 2\n"
        f'[providers.spare]\nbase_url = "{spare.url}"\nmodels = ["m"]\n'
    )
    (data / "tasks" / "ask.yaml").write_text(
        'type: llm_prompt\nname: Ask\ntemplate: "{{ question }}"\nmodel: acme/m\nfallbacks: [spare/m]\n'
        "max_retries: 0\ncache: bypass\n"
    )
    with running_app(data, MCP_LOCAL_MODEL="off") as running:
        yield running


def test_an_outage_is_simulated_watched_and_ended(
    panel: App, page: Page, acme: FaultyServer, spare: FaultyServer
) -> None:
    page.goto(f"{panel.url}/health")
    card = page.locator(".st-key-server_acme")
    expect(card.get_by_text("Circuit closed").first).to_be_visible(timeout=SLOW)

    card.get_by_role("button", name="Outage").click()
    page.get_by_role("button", name="Simulate the outage").click(timeout=SLOW)
    expect(card.get_by_text("An outage is simulated").first).to_be_visible(timeout=SLOW)
    card.get_by_role("button", name="Test").click()
    expect(card.get_by_text("refuses connections").first).to_be_visible(timeout=SLOW)

    people = page.context.new_page()
    people.goto(f"{panel.url}/run?task=ask")
    question = people.get_by_role("textbox", name="Question")
    question.fill("one", timeout=SLOW)
    question.press("Control+Enter")
    expect(people.get_by_test_id("stMain").get_by_text("from spare").first).to_be_visible(timeout=SLOW)
    assert (acme.calls, spare.calls) == (0, 1)
    expect(card.get_by_text(re.compile("Circuit (open|half-open)")).first).to_be_visible(timeout=SLOW)
    expect(page.get_by_test_id("stDataFrame")).to_be_visible(timeout=SLOW)

    card.get_by_role("button", name="End the outage").click(timeout=SLOW)
    expect(card.get_by_role("button", name="Outage")).to_be_visible(timeout=SLOW)
    # The circuit closes with the first call after its pause; until then the fallback answers.
    deadline = time.monotonic() + SLOW / 1000
    while not acme.calls:
        assert time.monotonic() < deadline, "acme was never asked again"
        before = spare.calls
        people.get_by_role("button", name="Run again").click(timeout=SLOW)
        people.wait_for_timeout(200)
        while acme.calls + spare.calls == before:
            assert time.monotonic() < deadline, "nobody was asked"
            people.wait_for_timeout(100)
    expect(people.get_by_test_id("stMain").get_by_text("from acme").first).to_be_visible(timeout=SLOW)
    expect(card.get_by_text("Circuit closed").first).to_be_visible(timeout=SLOW)
    card.get_by_role("button", name="Test").click()
    expect(card.get_by_text("refuses connections").first).to_be_hidden(timeout=SLOW)
    assert page.get_by_test_id("stException").count() == 0


def test_only_its_confirmation_simulates_an_outage(panel: App, page: Page, acme: FaultyServer) -> None:
    page.goto(f"{panel.url}/health")
    card = page.locator(".st-key-server_acme")
    card.get_by_role("button", name="Outage").click(timeout=SLOW)
    expect(page.get_by_role("button", name="Simulate the outage")).to_be_visible(timeout=SLOW)
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Simulate the outage")).to_be_hidden(timeout=SLOW)
    expect(card.get_by_text("An outage is simulated").first).to_be_hidden()
