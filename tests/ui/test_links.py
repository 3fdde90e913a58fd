import pytest
from streamlit.testing.v1 import AppTest

from mcp_core.settings import Settings
from mcp_core.ui import links

pytestmark = pytest.mark.unit


def script(public_url: str) -> None:
    import streamlit as st

    from mcp_core.settings import load_settings
    from mcp_core.ui import links

    settings = load_settings({"MCP_PUBLIC_URL": public_url})
    st.text(links.app_url(settings))
    st.text(links.run_url(settings, "r1"))
    st.text(links.page_url(settings, "run", {"task": "a b", "var.text": "&="}))
    st.text(links.page_url(settings, ""))


@pytest.mark.parametrize(
    ("here", "app"),
    [
        ("http://localhost:8501/", "http://localhost:8501"),
        ("http://localhost:8501/run", "http://localhost:8501"),
        ("https://tools.example/panel/history", "https://tools.example/panel"),
        ("https://tools.example/panel/", "https://tools.example/panel"),
        (None, "https://public.example/p"),
    ],
)
def test_links_begin_where_the_reader_has_the_app(here: str | None, app: str) -> None:
    page = AppTest.from_function(script, args=("https://public.example/p/",), default_timeout=30)
    if here:
        page.context = {"url": here}
    page.run()
    assert not page.exception
    assert [element.value for element in page.text] == [
        app,
        f"{app}/history?run=r1",
        f"{app}/run?task=a+b&var.text=%26%3D",
        f"{app}/",
    ]


def test_outside_a_page_there_is_no_address_without_the_setting(settings: Settings) -> None:
    assert links.app_url(settings) == ""
