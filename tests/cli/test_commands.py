"""`tasks`, `history`, `cache`, `models`, `serve`: what they print and do."""

import csv
import io
import json
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from mcp_core import __version__
from mcp_core.cli.serve import APP, streamlit_command
from mcp_core.errors import ConfigurationError
from tests.cli.conftest import Result
from tests.cli.server import ModelServer

pytestmark = pytest.mark.integration

Cli = Callable[..., Result]


@pytest.fixture
def three(cli: Cli, task: Path, model_server: ModelServer) -> list[str]:
    """Ids of three runs, oldest first: a miss, a hit, a failure."""
    ids = [cli("run", "shorten", "--var", "text==cmd|calc", "--json").json["id"] for _ in range(2)]
    model_server.status = 404
    ids.append(cli("run", "shorten", "--var", "text=other", "--json").json["id"])
    return ids


def test_tasks_are_listed_and_broken_files_named(cli: Cli, task: Path) -> None:
    task.with_name("broken.yaml").write_text("type: llm_prompt\ntemplat: x\n")
    listed = cli("tasks", "--json")
    names = [item["name"] for item in listed.json["tasks"]]
    assert "shorten" in names
    assert "summarise" in names
    assert "templat" in listed.json["broken"]["broken.yaml"]
    table = cli("tasks")
    assert "shorten\tllm_prompt\tShorten\tMakes it short." in table.out.splitlines()
    assert "broken.yaml was left out" in table.err


def test_history_is_listed_in_pages(cli: Cli, three: list[str]) -> None:
    page = cli("history", "list", "--limit", "2", "--json").json
    assert [run["id"] for run in page["runs"]] == three[:0:-1]
    rest = cli("history", "list", "--limit", "2", "--cursor", page["next"], "--json").json
    assert [run["id"] for run in rest["runs"]] == three[:1]
    assert rest["next"] is None
    human = cli("history", "list", "--limit", "2")
    assert page["next"] in human.err
    heading, *rows = human.out.splitlines()
    assert heading.split("\t")[:2] == ["id", "status"]
    assert [row.split("\t")[0] for row in rows] == three[:0:-1]


def test_history_is_sorted(cli: Cli, three: list[str]) -> None:
    by_words = cli("history", "list", "--sort", "error", "--limit", "1", "--json").json
    assert [run["id"] for run in by_words["runs"]] == three[2:]
    rest = cli("history", "list", "--sort", "error", "--cursor", by_words["next"], "--json").json
    assert [run["id"] for run in rest["runs"]] == three[:2]
    assert [run["id"] for run in cli("history", "list", "--sort", "created:asc", "--json").json["runs"]] == three
    human = cli("history", "list", "--sort", "tokens_out:asc", "--limit", "1")
    assert "--sort tokens_out:asc --cursor " in human.err
    wrong = cli("history", "list", "--sort", "price", "--json")
    assert wrong.code == 2
    assert wrong.json["error"]["message"].startswith("sort: found 'price', allowed are created, finished,")


def test_history_is_filtered(cli: Cli, three: list[str]) -> None:
    def ids(*arguments: str) -> list[str]:
        return [run["id"] for run in cli("history", "list", "--json", *arguments).json["runs"]]

    assert ids("--status", "failed") == three[2:]
    assert ids("--status", "failed", "--status", "succeeded") == three[::-1]
    assert ids("--text", "calc") == three[1::-1]
    assert ids("--type", "llm_prompt", "--model", "acme/small") == three[::-1]
    assert ids("--model", "acme/other") == []
    assert ids("--since", "1h") == three[::-1]
    assert ids("--since", "2199-01-01") == []
    empty = cli("history", "list", "--text", "nowhere")
    assert (empty.out, empty.code) == ("", 0)
    assert "No run matches" in empty.err


def test_a_run_is_shown(cli: Cli, three: list[str]) -> None:
    shown = cli("history", "show", three[1], "--events")
    assert "cache     hit" in shown.out
    assert f"origin    {three[0]}" in shown.out
    key = next(line.split()[-1] for line in shown.out.splitlines() if line.startswith("key "))
    assert cli("cache", "show", key, "--json").json["run_id"] == three[0]
    assert "text = =cmd|calc" in shown.out
    assert "A short answer." in shown.out
    assert " finished " in shown.out
    failed = cli("history", "show", three[2])
    assert "APIError: " in failed.out
    kinds = [event["kind"] for event in cli("history", "show", three[0], "--events", "--json").json["events"]]
    assert (kinds[0], kinds[-1]) == ("queued", "finished")
    assert "events" not in cli("history", "show", three[0], "--json").json
    assert cli("history", "show", three[0][:-1], "--json").json["id"] == three[0]


def test_history_is_exported_as_json(cli: Cli, three: list[str], tmp_path: Path) -> None:
    lines = cli("history", "export").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == three[::-1]
    document = cli("history", "export", "--format", "json", "--limit", "1").json
    assert [run["id"] for run in document["runs"]] == three[2:]
    assert document["next"] is None
    written = cli("history", "export", "--format", "json", "--status", "succeeded", "--output", "runs.json")
    assert (written.out, "2 runs written" in written.err) == ("", True)
    exported = json.loads((tmp_path / "runs.json").read_text("utf-8"))["runs"]
    assert exported == cli("history", "list", "--status", "succeeded", "--json").json["runs"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_csv_export_has_no_formulas(cli: Cli, three: list[str], task: Path, model_server: ModelServer) -> None:
    model_server.status = 200
    model_server.answer = ["=HYPERLINK", '("http://x","y")']
    task.write_text(task.read_text().replace("name: Shorten", "name: '@Shorten'"))
    cli("run", "shorten", "--var", "text=-1+1", "--json")
    rows = list(csv.DictReader(io.StringIO(cli("history", "export", "--format", "csv").out)))
    assert len(rows) == 4
    assert rows[0]["output"] == '\'=HYPERLINK("http://x","y")'
    assert rows[0]["name"] == "'@Shorten"
    assert rows[0]["input_tokens"] == "7"
    assert rows[-1]["cost_usd"] == ""
    assert rows[-2]["cache"] == "hit"
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]


def test_an_export_that_cannot_be_written_leaves_what_was_there(cli: Cli, three: list[str], tmp_path: Path) -> None:
    result = cli("history", "export", "--output", str(tmp_path / "no" / "where.jsonl"))
    assert result.code == 2
    assert "cannot be written" in result.err


def test_deleting_asks(cli: Cli, three: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    refused = cli("history", "delete", three[0])
    assert refused.code == 2
    assert "--yes" in refused.err
    assert cli("history", "delete", three[0], three[0], three[1], "--yes", "--json").json == {"deleted": 2}
    assert [run["id"] for run in cli("history", "list", "--json").json["runs"]] == three[2:]
    monkeypatch.setattr(sys, "stdin", _Terminal("no\n"))
    kept = cli("history", "delete", three[2])
    assert (kept.code, kept.out) == (1, "")
    assert "Delete 1 run" in kept.err
    monkeypatch.setattr(sys, "stdin", _Terminal("yes\n"))
    assert cli("history", "delete", three[2]).out == "1 run deleted.\n"


class _Terminal(io.StringIO):
    """What is typed by a person."""

    def isatty(self) -> bool:
        return True


def test_the_cache_is_measured_and_cleared(cli: Cli, three: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    stats = cli("cache", "stats", "--json").json
    assert (stats["entries"], stats["hits"], stats["misses"]) == (1, 1, 2), "a call that failed was a miss"
    assert stats["hit_ratio"] == pytest.approx(1 / 3)
    human = cli("cache", "stats", "--since", "7d").out
    assert "hit ratio\t33 %" in human.splitlines()
    assert cli("cache", "stats", "--since", "2199-01-01", "--json").json["hits"] == 0
    assert cli("cache", "clear").code == 2
    monkeypatch.setattr(sys, "stdin", _Terminal(""))
    assert cli("cache", "clear").code == 1
    assert cli("cache", "clear", "--yes", "--json").json == {"cleared": 1}
    assert cli("cache", "clear", "--yes").out == "0 answers forgotten.\n"


def test_models_are_listed(cli: Cli, task: Path, model_server: ModelServer, data_dir: Path) -> None:
    listed = cli("models", "list", "--json").json
    assert listed["models"] == ["acme/small"]
    (provider,) = [item for item in listed["providers"] if item["name"] == "acme"]
    assert (provider["has_key"], provider["state"], provider["error"]) == (True, "ready", None)
    assert "acme/small\tready" in cli("models", "list").out
    model_server.status = 500
    failed = cli("models", "list", "--refresh")
    assert failed.code == 0
    assert "warning: acme:" in failed.err
    assert cli("models", "list", "--refresh", "--json").json["models"] == []


def test_no_local_model_is_pulled_where_it_is_off(cli: Cli, data_dir: Path) -> None:
    result = cli("models", "pull", "--json")
    assert result.code == 2
    assert "switched off" in result.json["error"]["message"]


def test_the_local_model_is_pulled_once(
    cli: Cli, data_dir: Path, local_model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MCP_LOCAL_MODEL")
    target = data_dir / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    target.parent.mkdir()
    target.symlink_to(local_model_file)
    pulled = cli("models", "pull", "--json").json
    assert pulled == {
        "model": "local/smollm2-135m-instruct",
        "path": str(target),
        "size_bytes": 98_362_432,
        "fetched": False,
    }
    assert "was there already" in cli("models", "pull").out


def test_serving_is_streamlit_with_its_arguments(cli: Cli, data_dir: Path) -> None:
    namespace = Namespace(host="127.0.0.1", port=8600, arguments=["--server.headless=true"])
    assert streamlit_command(namespace, Path("app.py"))[1:] == [
        "-m",
        "streamlit",
        "run",
        "app.py",
        "--server.address=127.0.0.1",
        "--server.port=8600",
        "--server.headless=true",
    ]
    assert streamlit_command(Namespace(host=None, port=None, arguments=[]), Path("app.py"))[-1] == "app.py"
    assert APP.parent == Path(__file__).resolve().parents[2]


def test_an_installed_package_says_how_to_serve(
    cli: Cli, data_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("mcp_core.cli.serve.APP", tmp_path / "app.py")
    result = cli("serve")
    assert result.code == 2
    assert "streamlit run app.py" in result.err


def test_help_and_version(cli: Cli) -> None:
    assert f"Model Control Panel {__version__}" in cli("--version").out
    helped = cli("--help")
    assert helped.code == 0
    for command in ("run", "tasks", "history", "cache", "models", "doctor", "serve"):
        assert f"    {command} " in helped.out
    assert "exit codes" in helped.out


def test_an_unexpected_error_is_a_sentence(cli: Cli, task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by a defect")

    monkeypatch.setattr("mcp_core.api.tasks.TaskService.list", broken)
    result = cli("tasks", "--json")
    assert result.code == 1
    assert "ZeroDivisionError: by a defect" in result.json["error"]["message"]
    assert "Traceback" not in result.err


def test_confirmation_needs_somebody_to_ask() -> None:
    from mcp_core.cli.output import Output

    assert Output().confirm("Really?", yes=True)
    with pytest.raises(ConfigurationError, match="no terminal"):
        Output().confirm("Really?", yes=False)
