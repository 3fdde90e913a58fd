"""Settings: their sources, and what is refused with which words."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_core.errors import ConfigurationError
from mcp_core.settings import _ALLOWED, Settings, load_settings

pytestmark = pytest.mark.unit


def test_every_setting_has_a_default(tmp_path: Path) -> None:
    settings = load_settings({}, directory=tmp_path)
    assert settings.cache_backend == "sqlite"
    assert settings.data_dir.is_absolute()
    assert settings.source_of("workers") == "default"


def test_the_environment_wins_over_env_file_and_secrets(tmp_path: Path) -> None:
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text(
        'MCP_WORKERS = 3\nMCP_QUEUE_SIZE = 7\nACME_KEY = "from-secrets"\n[providers.acme]\nprotocol = "openai"\n'
    )
    (tmp_path / ".env").write_text("MCP_WORKERS=4\nMCP_CACHE_TTL=12h\n")
    settings = load_settings({"MCP_WORKERS": "5"}, directory=tmp_path)
    assert (settings.workers, settings.queue_size, settings.cache_ttl) == (5, 7, 43_200)
    assert settings.source_of("workers") == "environment"
    assert settings.source_of("cache_ttl") == ".env"
    assert settings.source_of("queue_size") == "secrets.toml"
    assert settings.value_of("ACME_KEY") == "from-secrets"
    assert settings.secret_tables["providers"] == {"acme": {"protocol": "openai"}}


@pytest.mark.parametrize(
    ("text", "expected"), [("500MB", 500_000_000), ("1 GiB", 1024**3), ("2000000", 2_000_000), ("1.5gb", 1_500_000_000)]
)
def test_sizes_have_units(text: str, expected: int, tmp_path: Path) -> None:
    assert load_settings({"MCP_CACHE_MAX_BYTES": text}, directory=tmp_path).cache_max_bytes == expected


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("MCP_WORKERS", "many", ["MCP_WORKERS", "environment", "'many'", "integer"]),
        ("MCP_WORKERS", "0", ["MCP_WORKERS", "greater than or equal to 1"]),
        ("MCP_CACHE_BACKEND", "floppy", ["MCP_CACHE_BACKEND", "'floppy'", "sqlite"]),
        ("MCP_LOG_LEVEL", "LOUD", ["MCP_LOG_LEVEL", "'LOUD'"]),
        ("MCP_WORKER", "4", ["MCP_WORKER", "not a setting", "Did you mean MCP_WORKERS?"]),
        ("MCP_QQQQ", "4", ["MCP_QQQQ", "Known are", "MCP_DATA_DIR"]),
        ("MCP_PUBLIC_URL", "javascript:alert(1)", ["MCP_PUBLIC_URL"]),
        ("MCP_SETTINGS_VERSION", "99", ["version 99", "up to 1"]),
        ("MCP_DATABASE_URL", "postgresql://ada:hunter2@[host/db", ["MCP_DATABASE_URL", "(hidden)", "URL", "%XX"]),
        ("MCP_DATABASE_URL", "postgresql://ada:hunter2@host:port/db", ["MCP_DATABASE_URL", "(hidden)", "URL"]),
        ("MCP_REDIS_URL", "redis://:hunter2[x@host", ["MCP_REDIS_URL", "(hidden)", "URL"]),
    ],
)
def test_a_bad_value_or_name_is_explained(name: str, value: str, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({name: value}, directory=tmp_path)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.field == name
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_can_say_what_it_may_be(field: str) -> None:
    assert _ALLOWED[field]


def test_the_hint_is_the_fix(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"MCP_WORKERS": "abc"}, directory=tmp_path)
    assert caught.value.hint == "Set it to a whole number from 1 to 256, or remove it."


def test_a_broken_secrets_file_is_named(tmp_path: Path) -> None:
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text("not toml at all =")
    with pytest.raises(ConfigurationError, match=r"secrets\.toml cannot be read"):
        load_settings({}, directory=tmp_path)


def test_directories_are_separated_as_in_path(tmp_path: Path) -> None:
    settings = load_settings({"MCP_SCRIPTS_DIRS": "/a:/b"}, directory=tmp_path)
    assert settings.scripts_dirs == (Path("/a"), Path("/b"))


def test_the_master_key_is_not_shown(tmp_path: Path) -> None:
    settings = load_settings({"MCP_MASTER_KEY": "hunter2hunter2"}, directory=tmp_path)
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()


def test_secrets_are_known_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text(
        """
        TOP_TOKEN = "secret-top"
        [auth]
        client_id = "public-id"
        client_secret = "secret-client"
        cookie_secret = "secret-cookie"
        max_tokens = 100000
        [auth.deep.deeper]
        password = "secret-deep"
        [connections.sql]
        url = "postgresql://ada:secret%2Furl@host/db"
        [[servers]]
        api_key = "secret-listed"
        [tokens]
        ada = "secret-table"
        """
    )
    settings = load_settings(
        {"MCP_REDIS_URL": "redis://:secret-redis@host", "MCP_DATABASE_URL": "postgresql://u:secret-db@host/x"},
        directory=tmp_path,
    )
    found = set(settings.secret_values())
    assert found >= {
        "secret-top",
        "secret-client",
        "secret-cookie",
        "secret-deep",
        "secret%2Furl",
        "secret/url",
        "secret-listed",
        "secret-table",
        "secret-redis",
        "secret-db",
    }
    assert not found & {"public-id", "100000"}


@pytest.mark.integration
def test_a_home_directory_that_may_not_be_entered_holds_no_secrets(tmp_path: Path) -> None:
    """A service that gave its rights up keeps the home directory of whoever started it."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    code = "import os; from mcp_core.settings import load_settings; from pathlib import Path\n"
    code += "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"
    code += "else: os.chmod(os.environ['HOME'], 0)\n"
    code += "print(load_settings({'MCP_WORKERS': '3'}, directory=Path('/')).workers)"
    # It gives up its rights, also those to where a measurement of coverage would be written.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    environ |= {"HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=False)
    home.chmod(0o700)
    assert done.stdout == "3\n", done.stderr
