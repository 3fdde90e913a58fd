"""Keys of four vendors' styles, echoed by every server: they are found nowhere afterwards."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from mcp_core.api.client import MCPClient
from mcp_core.errors import MCPError
from mcp_core.logs import configure_logs
from mcp_core.models import Run
from mcp_core.security.redaction import redactor
from mcp_core.settings import load_settings
from mcp_core.types.llm_prompt import LLMPromptConfig
from tests.faulty import Connection, FaultyServer, chat, http, messages, status, stream

pytestmark = pytest.mark.integration

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
def panel(tmp_path: Path) -> Iterator[MCPClient]:
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
        values = {"MCP_DATA_DIR": str(data), "MCP_LOCAL_MODEL": "off", "MCP_LOG_LEVEL": "DEBUG", **CANARIES}
        settings = load_settings(values, directory=tmp_path)
        configure_logs(settings, redactor.shapes)
        client = MCPClient(settings)
        yield client
        client.close(drain_seconds=0)
        logger.remove()


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
