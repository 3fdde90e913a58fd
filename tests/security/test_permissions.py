"""The permission table and the master key."""

import stat
import threading
from pathlib import Path

import pytest

from mcp_core.errors import ConfigurationError, PermissionDeniedError
from mcp_core.models import Actor
from mcp_core.security.master_key import load_master_key
from mcp_core.security.permissions import PERMISSIONS, ROLES, check
from mcp_core.settings import load_settings

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("action", PERMISSIONS)
def test_each_role_may_do_what_the_table_says(role: str, action: str) -> None:
    actor = Actor.model_validate({"id": "x", "name": "Somebody", "role": role})
    allowed = ROLES.index(role) >= ROLES.index(PERMISSIONS[action])  # type: ignore[index]
    if allowed:
        check(actor, action)  # type: ignore[arg-type]
    else:
        with pytest.raises(PermissionDeniedError, match="Somebody is"):
            check(actor, action)  # type: ignore[arg-type]


def test_the_master_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    settings = load_settings({"MCP_DATA_DIR": str(tmp_path / "data")}, directory=tmp_path)
    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(load_master_key(settings))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    path = tmp_path / "data" / "master.key"
    assert set(keys) == {path.read_bytes()}
    assert len(keys) == 8
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["master.key"]


def test_the_master_key_of_the_environment_wins(tmp_path: Path) -> None:
    settings = load_settings({"MCP_DATA_DIR": str(tmp_path), "MCP_MASTER_KEY": "given"}, directory=tmp_path)
    assert load_master_key(settings) == b"given"


def test_a_master_key_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = load_settings({"MCP_DATA_DIR": str(tmp_path / "file" / "data")}, directory=tmp_path)
    with pytest.raises(ConfigurationError, match="master key") as caught:
        load_master_key(settings)
    assert "MCP_MASTER_KEY" in caught.value.hint
