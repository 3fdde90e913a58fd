"""`doctor`: every finding, with what to do about it."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcp_core.api import doctor
from mcp_core.api.notes import Note
from mcp_core.settings import Settings
from tests.cache.helpers import closed_port, valkey
from tests.cli.conftest import Result
from tests.cli.server import ModelServer

pytestmark = pytest.mark.integration

Cli = Callable[..., Result]


@pytest.fixture
def checks(cli: Cli) -> Callable[[], dict[str, dict[str, str]]]:
    def run() -> dict[str, dict[str, str]]:
        return {check["name"]: check for check in cli("doctor", "--json").json["checks"]}

    return run


Checks = Callable[[], dict[str, dict[str, str]]]


@pytest.fixture(autouse=True)
def healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose disk is kept and whose memory is ample, wherever these tests run."""
    monkeypatch.setattr(doctor, "notes", lambda settings: [])


def test_all_is_well(cli: Cli, data_dir: Path) -> None:
    result = cli("doctor", "--json")
    assert result.code == 0
    assert result.json["ok"] is True
    found = {check["name"]: check["status"] for check in result.json["checks"]}
    assert set(found.values()) == {"ok"}
    told = " ".join(check["message"] for check in result.json["checks"])
    assert "the local model takes about 400 MB." in told
    assert "0 entries, 0 B" in told
    assert list(found) == [
        "python",
        "packages",
        "settings",
        "data directory",
        "disk",
        "memory",
        "history",
        "cache",
        "types",
        "local model",
        "provider acme",
    ]
    human = cli("doctor")
    assert human.code == 0
    assert "ok    history: 0 runs in sqlite" in human.out
    assert human.out.endswith("Everything needed works.\n")
    assert [path.name for path in data_dir.iterdir() if path.name.startswith(".doctor")] == []


def test_a_bad_setting_is_a_finding(cli: Cli, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_WORKERS", "many")
    result = cli("doctor")
    assert result.code == 2
    assert "FAIL  settings: MCP_WORKERS" in result.out
    assert "      -> " in result.out
    assert "Failed: 1 of 3 checks" in result.out


def test_settings_are_named_with_their_source(checks: Checks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MCP_MASTER_KEY", "hunter2hunter2")
    (tmp_path / ".env").write_text("MCP_WORKERS=3\n")
    message = checks()["settings"]["message"]
    assert "MCP_MASTER_KEY (environment)" in message
    assert "MCP_WORKERS (.env)" in message
    assert "hunter2" not in message


def test_notes_on_the_machine_are_findings(checks: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(_: Settings) -> list[Note]:
        return [Note("memory", "warning", "Little memory.", "More."), Note("disk", "info", "A container.", "Mount.")]

    monkeypatch.setattr(doctor, "notes", told)
    found = checks()
    assert found["memory"] == {"name": "memory", "status": "warn", "message": "Little memory.", "hint": "More."}
    assert (found["disk"]["status"], found["disk"]["hint"]) == ("warn", "Mount.")


def test_what_lies_in_the_way_is_a_finding(cli: Cli, checks: Checks, data_dir: Path) -> None:
    (data_dir / "history.db").mkdir()
    (data_dir / "cache.sqlite").mkdir()
    (data_dir / "providers.toml").write_text("[providers.acme]\nbase_url = 'ftp://x'\n")
    found = checks()
    for name in ("history", "cache", "providers"):
        assert found[name]["status"] == "fail", found[name]
        assert found[name]["hint"]
    assert cli("doctor").code == 1


def test_a_data_directory_that_is_a_file_is_a_finding(
    checks: Checks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MCP_DATA_DIR", str(tmp_path / "file"))
    found = checks()
    assert found["data directory"]["status"] == "fail"
    assert "MCP_DATA_DIR" in found["data directory"]["hint"]


def patiently(works: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not works():
        assert time.monotonic() < deadline


def test_redis_is_tried_where_it_is_named(cli: Cli, checks: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_REDIS_URL", f"redis://:hunter2hunter2@127.0.0.1:{closed_port()}/0")
    away = cli("doctor", "--json")
    found = {check["name"]: check for check in away.json["checks"]}["redis"]
    assert (away.code, found["status"]) == (1, "fail")
    assert "Redis cannot be used: " in found["message"]
    assert "MCP_REDIS_URL" in found["hint"]
    assert "hunter2" not in away.out
    told = cli("health")
    assert "Redis cannot be used: " in told.out
    assert cli("health", "--json").json["sharing_trouble"]
    with valkey() as server:
        monkeypatch.setenv("MCP_REDIS_URL", f"redis://127.0.0.1:{server.port}/0")
        # A server on a busy machine may take longer than anybody waits for it.
        patiently(lambda: checks()["redis"]["status"] == "ok")
        patiently(lambda: "Redis answers" in cli("health").out)
        patiently(lambda: cli("health", "--json").json["sharing_trouble"] == "")


def test_little_space_is_a_finding(checks: Checks, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = os.statvfs(data_dir).f_bavail * os.statvfs(data_dir).f_frsize
    monkeypatch.setattr(doctor, "_SPACE", free * 2)
    assert checks()["data directory"]["status"] == "warn"


def test_missing_packages_are_a_finding(checks: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("pydantic", "a-package-nobody-has"))
    found = checks()["packages"]
    assert (found["status"], found["message"]) == ("fail", "Missing: a-package-nobody-has.")
    assert "requirements.txt" in found["hint"]


def test_providers_that_do_not_answer_are_findings(
    cli: Cli, checks: Checks, data_dir: Path, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = data_dir / "providers.toml"
    file.write_text(
        file.read_text() + '[providers.keyless]\nbase_url = "http://127.0.0.1:9/v1"\napi_key_env = "NONE"\n'
    )
    model_server.status = 500
    found = checks()
    assert found["provider acme"]["status"] == "warn"
    assert "500" in found["provider acme"]["message"]
    assert found["provider keyless"]["status"] == "warn"
    assert "key" in found["provider keyless"]["message"]
    assert cli("doctor").code == 0


def test_the_local_model_is_loaded_where_it_is_there(
    checks: Checks, data_dir: Path, local_model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MCP_LOCAL_MODEL")
    absent: dict[str, Any] = checks()["local model"]
    assert absent["status"] == "warn"
    assert "models pull" in absent["hint"]
    place = data_dir / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    place.parent.mkdir()
    place.write_bytes(b"GGUF and nothing more")
    damaged = checks()["local model"]
    assert damaged["status"] == "fail"
    assert "checksum" in damaged["message"]
    place.unlink()
    place.symlink_to(local_model_file)
    there = checks()["local model"]
    assert there["status"] == "ok", there
    assert there["message"].startswith("local/smollm2-135m-instruct loads in ")


def test_a_model_of_ones_own_that_is_none_is_a_finding(
    checks: Checks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCP_LOCAL_MODEL", str(tmp_path / "mine.gguf"))
    found = checks()["providers"]
    assert found["status"] == "fail"
    assert "MCP_LOCAL_MODEL" in found["message"]
    assert "`off`" in found["hint"]
