"""`run`: what it prints, records and returns."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcp_core.cli.parser import CACHE_MODES, STATUSES
from mcp_core.models import RunStatus
from mcp_core.types.base import CacheConfig
from mcp_core.types.files import MAX_FILE_BYTES
from tests.cli.conftest import Result
from tests.cli.server import ModelServer, serving

pytestmark = pytest.mark.integration

SECRET = "hunter2hunter2"

Cli = Callable[..., Result]


def test_a_run_is_one_json_document_and_then_a_hit(cli: Cli, task: Path, model_server: ModelServer) -> None:
    first = cli("run", str(task), "--var", "text=a=b", "--json")
    assert first.code == 0
    run = first.json
    assert (run["status"], run["cache"]["outcome"]) == ("succeeded", "miss")
    assert run["output"]["text"] == "A short answer."
    assert run["usage"] == {"input_tokens": 7, "output_tokens": 3}
    assert run["cost_usd"] is None
    assert run["variables"] == {"text": "a=b"}
    second = cli("run", "shorten", "--var", "text=a=b", "--json").json
    assert (second["cache"]["outcome"], second["output"]["text"]) == ("hit", "A short answer.")
    assert second["cost_usd"] == "0"
    assert len(model_server.requests) == 1
    listed = cli("history", "list", "--json").json
    assert [item["id"] for item in listed["runs"]] == [second["id"], run["id"]]
    assert listed["next"] is None


def test_the_answer_alone_is_on_standard_output(cli: Cli, task: Path) -> None:
    result = cli("run", "shorten", "--var", "text=x")
    assert result.out == "A short answer.\n"
    assert "succeeded" in result.err
    assert "cost unknown" in result.err


def test_the_cache_and_the_model_can_be_chosen(cli: Cli, task: Path, model_server: ModelServer) -> None:
    cli("run", "shorten", "--var", "text=x")
    assert cli("run", "shorten", "--var", "text=x", "--cache", "bypass", "--json").json["cache"]["outcome"] == "bypass"
    assert cli("run", "shorten", "--var", "text=x", "--cache", "refresh", "--json").json["cache"]["outcome"] == "miss"
    assert cli("run", "shorten", "--var", "text=x", "--cache", "only", "--json").json["cache"]["outcome"] == "hit"
    other = cli("run", "shorten", "--var", "text=x", "--model", "acme/other", "--json").json
    assert other["model"] == "acme/other"
    assert model_server.requests[-1]["model"] == "other"
    assert len(model_server.requests) == 4


def test_who_answered_in_place_of_the_model_is_told(
    cli: Cli, task: Path, data_dir: Path, model_server: ModelServer
) -> None:
    task.write_text(task.read_text() + "fallbacks: [spare/b]\n")
    model_server.status = 503
    with serving() as spare:
        (data_dir / "providers.toml").write_text(
            f'version = 1\n[providers.acme]\nbase_url = "{model_server.url}"\n'
            f'[providers.spare]\nbase_url = "{spare.url}"\n'
        )
        for outcome in ("miss", "hit"):
            said = cli("run", "shorten", "--var", "text=x").err
            assert "spare/b in place of acme/small" in said
            assert said.count("Asking spare/b instead") == 1
            assert "WARNING" not in said
            assert f"cache {outcome}" in said
            shown = cli("history", "show", said.split()[-1]).out
            assert "model     spare/b in place of acme/small" in shown
    model_server.status = 200
    said = cli("run", "shorten", "--var", "text=y").err
    assert "acme/small" in said
    assert "in place of" not in said


def test_a_run_of_a_given_id_is_started_once(cli: Cli, task: Path, model_server: ModelServer) -> None:
    first = cli("run", "shorten", "--var", "text=x", "--run-id", "nightly-1", "--json").json
    again = cli("run", "shorten", "--var", "text=y", "--run-id", "nightly-1", "--json").json
    assert first == again
    assert first["id"] == "nightly-1"
    assert len(model_server.requests) == 1


def test_a_failed_run_is_printed_and_recorded(cli: Cli, task: Path, model_server: ModelServer) -> None:
    model_server.status = 404
    result = cli("run", "shorten", "--var", "text=x", "--json")
    assert result.code == 1
    run = result.json
    assert run["status"] == "failed"
    assert run["error"]["type"] == "APIError"
    assert run["error"]["hint"]
    assert run["error"]["message"] in result.err
    assert cli("history", "show", run["id"], "--json").json == run


def test_a_refused_run_is_recorded_and_printed(cli: Cli, task: Path) -> None:
    result = cli("run", "shorten", "--json")
    assert result.code == 2
    assert result.json["error"]["type"] == "ConfigurationError"
    assert "`text` is missing" in result.json["error"]["message"]
    assert result.json["status"] == "failed"
    assert "`text` is missing" in result.err
    human = cli("run", "shorten")
    assert (human.code, human.out) == (2, "")
    assert "--var text=…" in human.err
    ahead = cli("run", "shorten", "--dry-run")
    assert (ahead.code, ahead.out) == (2, "")
    assert "--var text=…" in ahead.err
    assert "run: " in human.err


def test_a_configuration_error_within_a_run_is_code_2(cli: Cli, task: Path) -> None:
    result = cli("run", "shorten", "--var", "text=x", "--model", "nobody/small", "--json")
    assert result.code == 2
    assert result.json["error"]["type"] == "ConfigurationError"
    assert "nobody" in result.json["error"]["message"]


def test_a_known_provider_without_its_key_says_which_key(cli: Cli, task: Path) -> None:
    for options in ([], ["--dry-run"]):
        for provider, key in (("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY")):
            result = cli("run", "shorten", "--var", "text=x", "--model", f"{provider}/large", *options)
            assert result.code == 2
            assert f"The provider '{provider}' has no key." in result.err
            assert f"Set {key} " in result.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], ["TASK"]),
        (["run", "nothing-here"], ["no task 'nothing-here'", "shorten"]),
        (["run", "missing.yaml"], ["no task file missing.yaml"]),
        (["run", "shorten", "--cache", "sometimes"], ["sometimes", "refresh"]),
        (["run", "shorten", "--var", "text"], ["--var", "'text'", "NAME=VALUE"]),
        (["run", "shorten", "--var", "text=a", "--var", "text=b"], ["`text` is given twice"]),
        (["run", "shorten", "--var-file", "text=gone.txt"], ["gone.txt", "cannot be read"]),
        (["run", "shorten", "--var", "text=x", "--model", "nonsense"], ["model", "nonsense"]),
        (["run", "shorten", "--frobnicate"], ["--frobnicate"]),
        (["fly"], ["fly"]),
        (["history", "list", "--limit", "0"], ["--limit", "count of at least 1"]),
        (["history", "list", "--since", "yesterday"], ["--since", "'yesterday'", "7d"]),
        (["history", "list", "--type", "llm_promt"], ["llm_promt", "llm_prompt"]),
        (["history", "list", "--cursor", "garbage"], ["'garbage'", "next"]),
        (["history", "show", "nope"], ["There is no run 'nope'"]),
        (["serve", "--port", "99999"], ["--port", "port from 0 to 65535"]),
    ],
)
def test_wrong_use_is_code_2_and_one_sentence(cli: Cli, task: Path, arguments: list[str], words: list[str]) -> None:
    result = cli(*arguments)
    assert (result.code, result.out) == (2, "")
    for word in words:
        assert word in result.err
    assert "Traceback" not in result.err


def test_wrong_use_is_json_where_json_was_asked_for(cli: Cli, task: Path) -> None:
    for arguments in (["run", "--json"], ["run", "nothing-here", "--json"], ["history", "show", "nope", "--json"]):
        result = cli(*arguments)
        assert result.code == 2
        assert set(result.json) == {"error"}
        assert set(result.json["error"]) == {"type", "message", "hint"}
        assert result.json["error"]["type"] == "ConfigurationError"


@pytest.mark.parametrize(
    ("name", "text", "recorded"),
    [
        ("cut.yaml", f"type: llm_prompt\ntemplate: [{SECRET}", "cut.yaml cannot be parsed: line 2,"),
        (
            "cut.json",
            '{"type": "llm_prompt", "template": "' + SECRET,
            "cut.json cannot be parsed: line 1, column 36.",
        ),
        (
            "odd.yaml",
            f"type: llm_prompt\ntemplate: hi\ntemperature: {SECRET}",
            "odd.yaml: temperature: Input should be a",
        ),
        ("own.yaml", f"type: llm_prompt\ntemplate: '{{{{ {SECRET} '", "own.yaml: template: wrong."),
        ("key.yaml", f"type: llm_prompt\ntemplate: hi\napi_key: {SECRET}", "key.yaml: api_key: Extra inputs are not"),
        ("less.yaml", f"type: llm_prompt\nname: {SECRET}", "less.yaml: template: Field required."),
    ],
)
def test_a_task_file_that_is_wrong_leaves_a_failed_run_without_its_words(
    cli: Cli, data_dir: Path, tmp_path: Path, name: str, text: str, recorded: str
) -> None:
    (tmp_path / name).write_text(text)
    result = cli("run", str(tmp_path / name), "--json")
    assert result.code == 2
    run = result.json
    assert (run["status"], run["type"], run["name"]) == ("failed", "llm_prompt", name.partition(".")[0])
    assert run["error"]["type"] == "ConfigurationError"
    assert run["error"]["message"].startswith(recorded)
    assert name in result.err
    (listed,) = cli("history", "list", "--json").json["runs"]
    assert listed == run
    history = b"".join(path.read_bytes() for path in data_dir.rglob("*") if path.is_file())
    assert SECRET.encode() not in history
    assert cli("run", str(tmp_path / name)).out == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"- a list",
        b"template: hi",
        b"type: poem\ntemplate: hi",
        b"\0\0type",
        b"type: [",
        b"\xff\xfe",
        b"#" * (MAX_FILE_BYTES + 1),
    ],
)
def test_a_task_file_of_no_known_type_is_a_failed_run_too(cli: Cli, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.yaml").write_bytes(content)
    result = cli("run", str(tmp_path / "odd.yaml"), "--json")
    assert result.code == 2
    assert (result.json["status"], result.json["type"], result.json["name"]) == ("failed", "unknown", "odd")
    assert "poem" not in result.out
    assert cli("history", "list", "--json").json["runs"] == [result.json]


def test_a_task_file_that_is_not_there_is_no_run(cli: Cli, data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    for name in ("gone.yaml", "folder.yaml"):
        result = cli("run", str(tmp_path / name), "--json")
        assert result.code == 2
        assert set(result.json) == {"error"}
    assert cli("history", "list", "--json").json["runs"] == []


def test_looking_ahead_at_a_wrong_task_file_records_nothing(cli: Cli, data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("type: llm_prompt\n")
    assert cli("run", str(tmp_path / "wrong.yaml"), "--dry-run").code == 2
    assert cli("history", "list", "--json").json["runs"] == []


def test_a_bad_setting_is_code_2(cli: Cli, task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_WORKERS", "many")
    result = cli("run", "shorten", "--var", "text=x", "--json")
    assert result.code == 2
    assert "MCP_WORKERS" in result.json["error"]["message"]


def test_variables_come_from_files_and_standard_input(
    cli: Cli, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.txt").write_bytes("\ufeffgrüße = schön\n".encode())
    run = cli("run", "shorten", "--var-file", "text=text.txt", "--json").json
    assert run["variables"] == {"text": "grüße = schön\n"}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe")))
    run = cli("run", "shorten", "--var-file", "text=-", "--json").json
    assert run["variables"] == {"text": "from a pipe"}


@pytest.mark.parametrize(
    ("content", "words"), [(b"\xff\xfe\x00", "not text in UTF-8"), (b"x" * 4_000_001, "larger than 4,000,000 bytes")]
)
def test_files_that_are_no_value_are_refused(cli: Cli, task: Path, tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "text.bin").write_bytes(content)
    result = cli("run", "shorten", "--var-file", "text=text.bin")
    assert result.code == 2
    assert words in result.err


def test_typed_variables_are_read_as_declared(cli: Cli, data_dir: Path) -> None:
    path = data_dir / "typed.yaml"
    path.write_text(
        "type: llm_prompt\ntemplate: '{{ n }} {{ level }} {{ extra.key }} {{ day }}'\nmodel: acme/small\n"
        "variables:\n  n: {type: integer}\n  level: {type: integer, choices: [1, 2]}\n  extra: {type: json}\n"
        "  day: {type: date}\n"
    )
    typed = ["--var", "n=3", "--var", "level=2", "--var", "day=2026-01-31"]
    run = cli("run", path, *typed, "--var", 'extra={"key": [1]}', "--json").json
    assert run["variables"] == {"n": 3, "level": 2, "extra": {"key": [1]}, "day": "2026-01-31"}
    bad = cli("run", path, *typed, "--var", "extra={key}")
    assert bad.code == 2
    assert "allowed is JSON" in bad.err


def test_a_type_without_a_model_takes_no_model(cli: Cli, data_dir: Path) -> None:
    """Only types that ask a model have one to change."""
    (data_dir / "odd.json").write_text(json.dumps({"type": "llm_prompt", "template": "x", "model": "acme/small"}))
    assert cli("run", data_dir / "odd.json", "--model", "acme/other").code == 0


def test_secrets_in_an_error_are_masked(cli: Cli, task: Path) -> None:
    key = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"
    result = cli("run", key, "--json")
    assert result.code == 2
    assert key not in result.out + result.err


def test_what_the_parser_offers_is_what_there_is() -> None:
    assert list(STATUSES) == [status.value for status in RunStatus]
    modes: Any = CacheConfig.model_fields["mode"].annotation
    assert modes.__args__ == CACHE_MODES


def test_what_was_logged_stays_off_standard_output(cli: Cli, task: Path, data_dir: Path) -> None:
    result = cli("run", "shorten", "--var", "text=x", "--json", "--verbose")
    assert result.code == 0
    assert result.json["status"] == "succeeded"
    assert "INFO" in result.err
    quiet = cli("run", "shorten", "--var", "text=x", "--json")
    assert quiet.err == ""
    assert quiet.json["id"] in (data_dir / "logs" / "panel.log").read_text()
