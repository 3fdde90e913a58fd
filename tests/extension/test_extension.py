"""Packages of other people, really installed: a type with form, history, cache and commands, and what goes wrong."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uv

from tests.cli.server import ModelServer, serving

pytestmark = pytest.mark.e2e

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

Use = Callable[..., "subprocess.CompletedProcess[str]"]


def install(target: Path, *packages: str) -> Path:
    """Install packages of this directory as anybody would; their build needs nothing that is not there."""
    command = [uv.find_uv_bin(), "pip", "install", "--offline", "--no-deps", "--quiet", "--python", sys.executable]
    subprocess.run(
        [*command, "--cache-dir", str(target / "cache"), "--target", str(target), *(str(HERE / p) for p in packages)],
        check=True,
    )
    return target


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("plugin"), "mcp_sentiment")


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("trouble"), "mcp_trouble")


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with serving() as running:
        running.answer = ['{"mood": ', '"glad"}']
        yield running


@pytest.fixture
def use(tmp_path: Path, server: ModelServer) -> Use:
    """Runs a script in a process that has the package."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "providers.toml").write_text(f'[providers.acme]\nbase_url = "{server.url}"\nmodels = ["small"]\n')
    task = data / "tasks" / "mood.yaml"
    task.parent.mkdir()
    task.write_text("type: sentiment\nname: Mood\ntext: What a lovely day.\nmodel: acme/small\n")

    def run(package: Path, script: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            capture_output=True,
            check=False,
            text=True,
            cwd=tmp_path,
            timeout=120,
            env={
                **os.environ,
                "MCP_DATA_DIR": str(data),
                "MCP_LOCAL_MODEL": "off",
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(package)]),
                "PANEL": str(ROOT),
                **environ,
            },
        )

    return run


def test_the_type_has_a_command_line_a_history_and_the_plugins_own_cache(
    plugin: Path, use: Use, server: ModelServer, tmp_path: Path
) -> None:
    done = use(
        plugin,
        """
        import contextlib, io, json
        from mcp_core.cli import main

        def call(*arguments):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                code = main([*arguments, "--json"])
            return {"code": code, "answer": json.loads(out.getvalue())}

        print(json.dumps({
            "first": call("run", "mood"),
            "second": call("run", "mood"),
            "bad": call("run", "mood", "--model", "nonsense"),
            "history": call("history", "list", "--type", "sentiment"),
            "stats": call("cache", "stats"),
            "doctor": call("doctor"),
        }))
        """,
        MCP_CACHE_BACKEND="ledger",
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    first, second = told["first"]["answer"], told["second"]["answer"]
    assert (first["status"], first["type"], first["cache"]["outcome"]) == ("succeeded", "sentiment", "miss")
    assert (first["output"]["text"], first["output"]["data"]) == ("glad", {"mood": "glad"})
    assert first["model"] == "acme/small"
    assert (second["cache"]["outcome"], second["output"]) == ("hit", first["output"])
    assert len(server.requests) == 1
    assert "Read this 3 times" in server.requests[0]["messages"][-1]["content"]
    assert told["bad"]["code"] == 2
    assert [run["id"] for run in told["history"]["answer"]["runs"]] == [second["id"], first["id"]]
    assert (told["stats"]["answer"]["backend"], told["stats"]["answer"]["entries"]) == ("ledger", 1)
    assert len(list((tmp_path / "data" / "ledger").glob("*.json"))) == 1
    checks = {check["name"]: check for check in told["doctor"]["answer"]["checks"]}
    assert "sentiment" in checks["types"]["message"]
    assert checks["cache"]["status"] == "ok"
    assert "ledger" in checks["cache"]["message"]


def test_a_client_of_ones_own_raises_errors_of_the_panel_alone(plugin: Path, use: Use, server: ModelServer) -> None:
    done = use(
        plugin,
        """
        import asyncio, json
        from mcp_core import MCPError, MCPType, PermissionDeniedError, Actor
        from mcp_sentiment import MoodClient, SentimentConfig

        with MoodClient() as client:
            run = asyncio.run(client.execute_custom("What a lovely day.", care=5))
            stored = client.runs.get(run.id)
            failed = asyncio.run(client.execute_custom("What a lovely day.", model="nobody/small"))
        with MoodClient(actor=Actor(id="eve", name="Eve", role="viewer")) as client:
            try:
                asyncio.run(client.execute_custom("What a lovely day."))
            except MCPError as error:
                refused = type(error).__name__
        print(json.dumps({
            "run": run.as_json(), "stored": stored.as_json(), "failed": failed.as_json(), "refused": refused,
            "type": MCPType("sentiment"), "tokens": run.usage.output_tokens,
        }))
        """,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["run"] == told["stored"]
    assert (told["run"]["name"], told["run"]["status"], told["run"]["output"]["text"]) == ("Mood", "succeeded", "glad")
    assert told["failed"]["status"] == "failed"
    assert told["failed"]["error"]["type"] == "ConfigurationError"
    assert told["refused"] == "PermissionDeniedError"
    assert told["type"] == "sentiment"
    assert len(server.requests) == 1


def test_the_type_has_a_form_with_its_own_widget(plugin: Path, use: Use, server: ModelServer) -> None:
    done = use(
        plugin,
        """
        import json, os
        from pathlib import Path
        from streamlit.testing.v1 import AppTest

        from mcp_core import MCPClient

        page = AppTest.from_file(str(Path(os.environ["PANEL"]) / "pages" / "run.py"), default_timeout=60)
        page.query_params["task"] = "sentiment"
        page.run()
        field = "run.sentiment.settings."
        drawn = page.feedback(key=field + "care").value
        page.text_input(key=field + "text").set_value("What a lovely day.")
        page.feedback(key=field + "care").set_value(4)
        page.selectbox(key=field + "model").set_value("acme/small")
        page.run()
        page.button(key="run.start").click().run()
        run_id = "".join(page.query_params["run"])
        with MCPClient() as client:
            for event in client.runs.follow(run_id):
                pass
            run = client.runs.get(run_id).as_json()
        print(json.dumps({"exceptions": [e.value for e in page.exception], "drawn": drawn, "run": run}))
        """,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["exceptions"] == []
    assert told["drawn"] == 2  # the third star, counted from 0
    assert told["run"]["status"] == "succeeded"
    assert (told["run"]["config"]["care"], told["run"]["output"]["text"]) == (5, "glad")
    assert "Read this 5 times" in server.requests[0]["messages"][-1]["content"]


def test_what_is_wrong_with_a_plugin_is_told_and_left_out(trouble: Path, use: Use, tmp_path: Path) -> None:
    done = use(
        trouble,
        """
        import contextlib, io, json
        from mcp_core.cli import main
        from mcp_core.types.registry import default_registry

        registry = default_registry()
        with contextlib.redirect_stdout(io.StringIO()) as out:
            code = main(["doctor", "--json"])
        print(json.dumps({
            "names": registry.names(), "broken": registry.broken, "code": code,
            "owner": registry.get("llm_prompt").execute.__module__, "doctor": json.loads(out.getvalue()),
        }))
        """,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["names"] == ["llm_prompt"]
    assert told["owner"] == "mcp_core.types.llm_prompt"
    assert set(told["broken"]) == {"twin", "broken", "plain"}
    assert "mcp_trouble.run_twin" in told["broken"]["twin"]
    assert "already registered by mcp_core.types.llm_prompt.run_llm_prompt" in told["broken"]["twin"]
    assert "a_module_that_nobody_has" in told["broken"]["broken"]
    assert "is not an executor" in told["broken"]["plain"]
    assert told["code"] == 1
    failed = {check["name"] for check in told["doctor"]["checks"] if check["status"] == "fail"}
    assert failed == {"plugin twin", "plugin broken", "plugin plain"}
    logged = (tmp_path / "data" / "logs" / "panel.log").read_text("utf-8")
    assert "The plugin twin was left out" in logged
    assert "The plugin broken could not be imported" in logged


def test_a_cache_that_is_none_stops_the_start(trouble: Path, use: Use) -> None:
    done = use(
        trouble,
        'import sys\nfrom mcp_core.cli import main\nsys.exit(main(["cache", "stats", "--json"]))',
        MCP_CACHE_BACKEND="halfway",
    )
    assert done.returncode == 2
    assert "lacks the methods set, delete" in json.loads(done.stdout)["error"]["message"]
