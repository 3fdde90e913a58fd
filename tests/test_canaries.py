"""Keys of four vendors' styles, echoed by every server: they are found nowhere afterwards."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block

from mcp_core.api.client import MCPClient
from mcp_core.errors import MCPError
from mcp_core.logs import configure_logs
from mcp_core.models import Run
from mcp_core.security.redaction import redactor
from mcp_core.settings import load_settings
from mcp_core.types.llm_prompt import LLMPromptConfig
from mcp_core.ui.client import current_client, release_client
from tests.faulty import Connection, FaultyServer, chat, http, messages, status, stream

pytestmark = pytest.mark.integration

APP = str(Path(__file__).resolve().parent.parent / "app.py")
PARTS = ("Timeline", "Input", "Events", "Attempts", "Log")

CANARIES = {
    "OPENAI_STYLE_KEY": "sk-proj-CANARYopenai0123456789abcdefghijklmnop",
    "AZURE_STYLE_KEY": "0a1b2c3d4e5fCANARYazure6a7b8c9d",
    "GOOGLE_STYLE_KEY": "AIzaSyCANARYgoogle0123456789abcdefghijk",
    "ANTHROPIC_STYLE_KEY": "sk-ant-api03-CANARYanthropic0123456789-abcdef",
}


def echo(connection: Connection) -> None:
    """A server that answers with all it was sent: streamed, whole, or as an error, by turns of the prompt's words."""
    received = connection.received
    heard = json.dumps(received.headers)
    body = received.body.decode()
    if "as an error" in body:
        status(401, f"bad key {heard}", headers={"X-Echo": heard})(connection)
    elif "as text" in body:
        http(200, heard.encode(), {"Content-Type": "text/plain"})(connection)
    elif received.path.endswith("/messages"):
        messages(heard)(connection)
    elif '"stream": true' in body or '"stream":true' in body:
        stream(*[heard[i : i + 7] for i in range(0, len(heard), 7)])(connection)
    else:
        chat(heard)(connection)


@pytest.fixture
def surroundings(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings of a panel whose four providers all are the echo."""
    with FaultyServer() as server:
        server.default = echo
        data = tmp_path / "data"
        data.mkdir()
        base = server.url.removesuffix("/v1")
        (data / "providers.toml").write_text(
            "version = 1\n"
            f'[providers.a]\nprotocol = "openai"\nbase_url = "{server.url}"\napi_key_env = "OPENAI_STYLE_KEY"\n'
            f'[providers.b]\nprotocol = "openai"\nbase_url = "{server.url}"\napi_key_env = "AZURE_STYLE_KEY"\n'
            'query = { api-version = "2024-10-21" }\n'
            f'[providers.c]\nprotocol = "openai"\nbase_url = "{server.url}"\napi_key_env = "GOOGLE_STYLE_KEY"\n'
            f'[providers.d]\nprotocol = "anthropic"\nbase_url = "{base}"\napi_key_env = "ANTHROPIC_STYLE_KEY"\n'
        )
        yield {"MCP_DATA_DIR": str(data), "MCP_LOCAL_MODEL": "off", "MCP_LOG_LEVEL": "DEBUG", **CANARIES}
        logger.remove()


@pytest.fixture
def panel(surroundings: dict[str, str], tmp_path: Path) -> Iterator[MCPClient]:
    settings = load_settings(surroundings, directory=tmp_path)
    configure_logs(settings, redactor.shapes)
    client = MCPClient(settings)
    yield client
    client.close(drain_seconds=0)


@pytest.fixture
def behind_pages(surroundings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[MCPClient]:
    """The client that pages use, with the same settings."""
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    yield current_client()
    release_client()


def run_everything(panel: MCPClient) -> list[Run]:
    runs = []
    for provider, canary in zip("abcd", CANARIES.values(), strict=True):
        for how in ("as an answer", "as an error", "as text"):
            config = LLMPromptConfig(template="{{ how }} {{ said }}", model=f"{provider}/m", max_retries=0)
            variables = {"how": how, "said": f"my key is {canary}"}
            runs += [panel.submit(config, variables, stream=streamed).result(30) for streamed in (True, False)]
        leaky = LLMPromptConfig(template=f"{{{{ text }}}} {canary}", model=f"{provider}/m", metadata={"note": canary})
        with pytest.raises(MCPError):
            panel.execute(leaky, {"txet": canary})
        runs.append(panel.execute(leaky, {"text": "x"}))
    return runs


def test_no_canary_is_found_anywhere(panel: MCPClient, capfd: pytest.CaptureFixture[str]) -> None:
    runs = run_everything(panel)
    assert {run.status.value for run in runs} == {"succeeded", "failed"}
    panel.save_draft({"text": CANARIES["OPENAI_STYLE_KEY"]})
    haystacks = {f"run {run.id}": json.dumps(run.as_json()) + repr(run) for run in panel.runs.iterate()}
    haystacks |= {f"events {run.id}": repr(panel.runs.events(run.id)) for run in runs}
    haystacks |= {f"entry {entry.key}": entry.body.decode() + repr(entry) for entry in panel.cache.entries()}
    haystacks["frame"] = panel.runs.frame().to_csv()
    haystacks["providers"] = repr(panel.providers.list())
    panel.close(drain_seconds=0)
    output = capfd.readouterr()
    haystacks["console"] = output.out + output.err
    files = [path for path in panel.settings.data_dir.rglob("*") if path.is_file() and path.name != "providers.toml"]
    haystacks |= {str(path): path.read_bytes().decode("latin-1") for path in files}
    assert any("panel.log" in name for name in haystacks)
    assert len(haystacks) > 40
    for canary in CANARIES.values():
        found = [name for name, text in haystacks.items() if canary in text]
        assert found == [], canary


def open_page(name: str, **params: str) -> AppTest:
    """A page in a browser session of its own."""
    session = AppTest.from_file(APP, default_timeout=120)
    session.run()
    session.switch_page(f"pages/{name}.py")
    for key, value in params.items():
        session.query_params[key] = value
    session.run()
    assert not session.exception
    return session


def drawn(session: AppTest) -> str:
    """All that a page sends to the browser: each element as it is sent, tables also as text, and the address."""
    found = [repr(dict(session.query_params))]

    def look(node: Any) -> None:
        if hasattr(node, "proto"):
            found.append(str(node.proto))
        if isinstance(node, Block):
            for child in node.children.values():
                look(child)
        elif node.type in ("arrow_data_frame", "dataframe"):
            found.append(node.value.to_csv())

    look(session._tree)
    return "\n".join(found)


def test_no_canary_is_drawn_on_any_page(behind_pages: MCPClient) -> None:
    run_everything(behind_pages)
    haystacks = {name: drawn(open_page(name)) for name in ("home", "history", "cache", "budgets", "health")}
    remembered = open_page("cache")
    table = next(frame for frame in remembered.dataframe if str(frame.key).startswith("cache_entries"))
    for row in range(len(table.value)):
        selection = {"rows": [row], "columns": [], "cells": []}
        remembered.session_state[str(table.key)] = {"selection": selection}
        haystacks[f"entry {row}"] = drawn(remembered.run())
    assert "Forget this answer" in haystacks["entry 0"]
    for run in {(run.model, run.status, run.cache.outcome): run for run in behind_pages.runs.iterate()}.values():
        haystacks[f"form of {run.id}"] = drawn(open_page("run", **{"from": run.id}))
        haystacks[f"answer of {run.id}"] = drawn(open_page("run", run=run.id))
        page = open_page("history", run=run.id)
        for part in PARTS:
            page.session_state["part"] = part
            haystacks[f"{part} of {run.id}"] = drawn(page.run())
            assert not page.exception
        page.session_state["run.exchange"] = True
        page.session_state["run.share"] = True
        for way in ("Command line", "Python", "curl"):
            page.session_state["run.way"] = way
            haystacks[f"{way} of {run.id}"] = drawn(page.run())
            assert not page.exception
    everything = "\n".join(haystacks.values())
    for told in ("bad key", "my key is", "api-version", "python -m mcp_core run", "curl ", "MCPClient", "[redacted]"):
        assert told in everything, f"{told!r} should be on some page, or this test does not look at what it means to"
    for canary in CANARIES.values():
        assert [name for name, text in haystacks.items() if canary in text] == [], canary


def test_what_is_drawn_is_looked_at(behind_pages: MCPClient) -> None:
    """The search finds what is there: in markdown, tables, JSON, code and inputs."""
    config = LLMPromptConfig(template="{{ how }} {{ said }}", model="a/m", name="Needlename", max_retries=0)
    run = behind_pages.execute(config, {"how": "as an answer", "said": "needlevariable"})
    assert "Needlename" in drawn(open_page("history"))
    page = open_page("history", run=run.id)
    assert "Needlename" in drawn(page)
    page.session_state["part"] = "Input"
    assert "needlevariable" in drawn(page.run())
    assert "needlevariable" in drawn(open_page("run", **{"from": run.id}))
    page.session_state["run.exchange"] = True
    assert "needlevariable" in drawn(page.run())
