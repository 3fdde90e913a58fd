"""The main job as a person does it: fill in a form, watch the answer, run again, find both, send the link."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import App

pytestmark = pytest.mark.e2e

TEXT = "The harbour was quiet. Two boats came back before noon with a good catch of herring."
SLOW = 90_000
"""Milliseconds a model may take on a busy machine."""


@pytest.fixture
def quiet(page: Page) -> Callable[[], list[str]]:
    """Errors of the page's scripts so far."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    return lambda: errors


def shows(page: Page, text: str) -> None:
    """Wait until the page shows the text: it is drawn piece by piece."""
    expect(page.get_by_test_id("stMain")).to_contain_text(text, timeout=SLOW)


def start(page: Page, app: App, text: str) -> None:
    page.goto(f"{app.url}/run?task=summarise")
    box = page.get_by_role("textbox", name="Text")
    box.fill(text)
    box.press("Control+Enter")


def finished(page: Page) -> None:
    expect(page.get_by_test_id("stMain").get_by_text("Succeeded").first).to_be_visible(timeout=SLOW)


def test_form_stream_cache_history_and_link(
    app: App, page: Page, browser: Browser, quiet: Callable[[], list[str]]
) -> None:
    start(page, app, TEXT)
    finished(page)
    expect(page.get_by_text("Asked the model")).to_be_visible(timeout=SLOW)
    first = re.search(r"run=(\w+)", page.url)
    assert first is not None
    shows(page, "tokens/s")

    page.get_by_role("button", name="Run again").click()
    page.wait_for_url(lambda url: "run=" in url and first[1] not in url, timeout=SLOW)
    finished(page)
    expect(page.get_by_text("Asked the model")).to_be_hidden(timeout=SLOW)
    second = re.search(r"run=(\w+)", page.url)
    assert second is not None

    page.goto(f"{app.url}/history")
    expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible(timeout=SLOW)
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible(timeout=SLOW)
    shows(page, "50 %")

    colleague = browser.new_context().new_page()
    for address in (f"{app.url}/history?run={second[1]}", f"{app.url}/run?run={first[1]}"):
        colleague.goto(address)
        finished(colleague)
        shows(colleague, "herring")
    colleague.context.close()
    assert quiet() == []


def test_a_reload_in_mid_run_loses_nothing(app: App, page: Page) -> None:
    text = "Tell me everything about the sea. " * 20
    start(page, app, text)
    page.wait_for_url(re.compile(r"run=\w+"), timeout=SLOW)
    address = page.url
    page.reload()
    finished(page)
    assert page.url.split("run=")[1][:26] == address.split("run=")[1][:26]
    text_box = page.get_by_role("textbox", name="Text")
    expect(text_box).to_have_value(re.compile("everything about the sea"), timeout=SLOW)


def test_a_wrong_link_says_so(app: App, page: Page) -> None:
    page.goto(f"{app.url}/history?run=nothing")
    expect(page.get_by_test_id("stMain").get_by_text(re.compile("no run", re.IGNORECASE)).first).to_be_visible(
        timeout=SLOW
    )


@pytest.mark.parametrize("path", ["", "run", "history", "cache", "budgets", "health"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_phone(app: App, browser: Browser, path: str, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": 400, "height": 850},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    page.goto(f"{app.url}/{path}")
    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=SLOW)
    expect(page.get_by_test_id("stStatusWidget")).to_be_hidden(timeout=SLOW)
    too_wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert not too_wide
    assert page.get_by_test_id("stException").count() == 0
    context.close()


def test_nothing_is_fetched_from_elsewhere(app: App, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in ("", "run", "history", "cache", "budgets", "health"):
        page.goto(f"{app.url}/{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=SLOW)
    foreign = [url for url in asked if not url.startswith((app.url, "data:", "blob:"))]
    assert foreign == []
