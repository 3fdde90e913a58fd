"""Settings: `MCP_*` names from the environment, a `.env` file and Streamlit secrets, checked before anything starts.

Nothing is read at import; `load_settings()` is the factory.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from dotenv import dotenv_values
from platformdirs import user_data_path
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
)

from mcp_core.errors import ConfigurationError

__all__ = ["CACHE_BACKENDS", "LONGEST_TTL", "SETTINGS_VERSION", "Seconds", "Settings", "load_settings"]

SETTINGS_VERSION = 1
"""Version of the names below. `MCP_SETTINGS_VERSION` states the one a deployment was written for."""

CACHE_BACKENDS = ("sqlite", "memory", "filesystem", "redis", "tiered")
"""The caches that are built in; plugins bring others under the entry point group `mcp_core.caches`."""

LONGEST_TTL = 36_500 * 86_400.0
"""Seconds an answer may stay fresh at most, 100 years: what ends later is beyond what calendars and caches can tell."""

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(b|kb|mb|gb|kib|mib|gib)?\s*$", re.IGNORECASE)
_SIZE_UNITS = {"b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1024, "mib": 1024**2, "gib": 1024**3}
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(s|m|h|d)?\s*$", re.IGNORECASE)
_DURATION_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

_SECRET_ENDINGS = ("KEY", "TOKEN", "SECRET", "PASSWORD")
_PASSWORD = re.compile(r"://[^:/?#@\s]*:([^@\s]+)@")
_HIDDEN = ("master_key", "database_url", "redis_url")

_ALLOWED: Mapping[str, str] = {
    "settings_version": "a whole number from 1",
    "data_dir": "the path of a directory",
    "database_url": "a URL as postgresql://USER:PASSWORD@HOST:5432/DATABASE",
    "cache_backend": "sqlite, memory, filesystem, redis, tiered or the name of an installed cache",
    "cache_ttl": "a number of seconds above 0, or 90m, 12h, 7d, at most 36500d",
    "cache_max_bytes": "a number of bytes from 1000000, or 500MB, 2GB",
    "cache_encryption": "on or off",
    "redis_url": "a URL as rediss://:PASSWORD@HOST:6379/0",
    "workers": "a whole number from 1 to 256",
    "queue_size": "a whole number from 1 to 1000000",
    "actor_running": "a whole number from 1 to 256, or 0 for no limit",
    "actor_queued": "a whole number from 1 to 1000000, or 0 for no limit",
    "actor_bytes": "a number of bytes, or 500MB, 2GB, or 0 for no limit",
    "drain_seconds": "a number of seconds from 0 to 3600",
    "actor_requests_per_minute": "a whole number from 0 to 1000000",
    "actor_tokens_per_minute": "a whole number from 0 to 1000000000",
    "master_key": "a long random text",
    "log_level": "DEBUG, INFO, WARNING, ERROR or CRITICAL",
    "allow_code": "auto, yes or no",
    "public_url": "an address that begins with http:// or https://",
    "providers_file": "the path of a TOML file",
    "scripts_dirs": "paths of directories, separated as in PATH",
    "notebooks_dirs": "paths of directories, separated as in PATH",
    "local_model": "the path of a GGUF file, or off",
    "local_model_idle_seconds": "a number of seconds from 0, or 90s, 15m, 1h",
}
"""Field -> what it may be set to, as the hint of a bad value says it."""


def _quantity(pattern: re.Pattern[str], units: Mapping[str, int], base: str) -> BeforeValidator:
    def parse(value: object) -> object:
        if isinstance(value, str) and (match := pattern.match(value)):
            return float(match[1]) * units[(match[2] or base).lower()]
        return value

    return BeforeValidator(parse)


def _paths(value: object) -> object:
    return tuple(Path(p) for p in value.split(os.pathsep) if p) if isinstance(value, str) else value


Bytes = Annotated[int, _quantity(_SIZE, _SIZE_UNITS, "b")]
Seconds = Annotated[float, _quantity(_DURATION, _DURATION_UNITS, "s")]
Paths = Annotated[tuple[Path, ...], BeforeValidator(_paths)]


class Settings(BaseModel):
    """All settings of the panel. The environment name is `MCP_` and the field's name in capitals.

    Every one has a default that works on one machine with nothing else installed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)

    settings_version: int = Field(
        SETTINGS_VERSION, ge=1, description="Version of the settings a deployment was written for."
    )
    data_dir: Path = Field(
        default_factory=lambda: user_data_path("model-control-panel", appauthor=False),
        description="Where history, cache, logs and the local model are kept.",
    )
    database_url: str = Field("", description="SQLAlchemy URL of the history; empty for SQLite in the data directory.")
    cache_backend: str = Field("sqlite", description="Where answers are remembered; the name of one of the caches.")
    cache_ttl: Seconds = Field(
        7 * 86400.0, gt=0, le=LONGEST_TTL, description="How long an answer stays fresh: seconds, or 90m, 12h, 7d."
    )
    cache_max_bytes: Bytes = Field(500_000_000, ge=1_000_000, description="Largest size of the cache: bytes, or 500MB.")
    cache_encryption: Literal["on", "off"] = Field(
        "off", description="Whether remembered answers are encrypted where they are stored, by the master key."
    )
    redis_url: str = Field(
        "", description="redis:// or rediss:// URL, for circuits and rates of all processes, and some caches."
    )
    workers: int = Field(8, ge=1, le=256, description="Runs executed at the same time by this process.")
    queue_size: int = Field(1000, ge=1, le=1_000_000, description="Runs that may wait in this process.")
    actor_running: int = Field(
        0, ge=0, le=256, description="Runs of one person executed at the same time by this process; 0 for no limit."
    )
    actor_queued: int = Field(
        0, ge=0, le=1_000_000, description="Runs of one person that may wait in this process; 0 for no limit."
    )
    actor_bytes: Bytes = Field(
        0, ge=0, description="Bytes of outputs and files the history keeps of one person's runs; 0 for no limit."
    )
    drain_seconds: Seconds = Field(
        10.0, ge=0, le=3600, description="How long running runs may go on when the process is told to end."
    )
    actor_requests_per_minute: int = Field(
        0, ge=0, le=1_000_000, description="Calls of models one actor may make a minute; 0 for any number."
    )
    actor_tokens_per_minute: int = Field(
        0, ge=0, le=1_000_000_000, description="Tokens one actor may use a minute; 0 for any number."
    )
    master_key: SecretStr = Field(
        SecretStr(""),
        description="Secret that isolates cache entries and seals keys; empty for a file made on first use.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="Least severe level that is logged."
    )
    allow_code: Literal["auto", "yes", "no"] = Field(
        "auto", description="Whether people's scripts and notebooks may run; auto means on loopback alone."
    )
    public_url: str = Field(
        "", pattern=r"^(https?://\S+)?$", description="Address people reach the app at, for links made outside a page."
    )
    providers_file: Path | None = Field(
        None, description="TOML file of model servers; default providers.toml in the data directory."
    )
    scripts_dirs: Paths = Field((), description="Directories scripts may be run from, separated as in PATH.")
    notebooks_dirs: Paths = Field((), description="Directories notebooks may be run from, separated as in PATH.")
    local_model: str = Field(
        "", description="A GGUF file to serve as the local model, instead of the bundled one; `off` for none."
    )
    local_model_idle_seconds: Seconds = Field(
        900.0, ge=0, description="How long the local model stays in memory unasked; 0 for as long as the app runs."
    )

    _values: Mapping[str, str] = PrivateAttr(default_factory=lambda: MappingProxyType({}))
    _secrets: Mapping[str, Any] = PrivateAttr(default_factory=lambda: MappingProxyType({}))
    _sources: Mapping[str, str] = PrivateAttr(default_factory=lambda: MappingProxyType({}))

    @field_validator("cache_backend")
    @classmethod
    def _is_installed(cls, value: str) -> str:
        if value not in CACHE_BACKENDS:
            plugins = entry_points(group="mcp_core.caches").names
            if value not in plugins:
                raise ValueError(f"allowed are {', '.join([*CACHE_BACKENDS, *sorted(plugins)])}")
        return value

    @field_validator("database_url", "redis_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        try:
            _ = urlsplit(value).port
        except ValueError:
            raise ValueError(
                "it is not a URL that can be read; in a password, write characters such as @ : / [ ] # as %XX"
            ) from None
        return value

    def value_of(self, name: str) -> str | None:
        """The value of any environment name (a provider's key, say) from the environment, `.env` or secrets."""
        return self._values.get(name)

    @property
    def secret_tables(self) -> Mapping[str, Any]:
        """Tables and lists of the Streamlit secrets file, such as `providers`."""
        return self._secrets

    def make_data_dir(self) -> Path:
        """The data directory, made for its owner alone if it is not there; an `OSError` where it cannot be."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.data_dir

    def secret_values(self) -> list[str]:
        """Values that must never be shown: those of names that end as names of secrets do, and passwords in URLs.

        The tables of the Streamlit secrets file are searched to any depth; one with such a name is secret as a whole.
        """
        found: list[str] = []
        for secret, text in _texts([self._values, self._secrets, self.database_url, self.redis_url]):
            if secret:
                found.append(text)
            for password in _PASSWORD.findall(text):
                found += [password, unquote(password)]
        return found

    def source_of(self, field: str) -> str:
        """Where a setting came from: `default`, `environment`, `.env` or `secrets.toml`."""
        return self._sources.get(f"MCP_{field.upper()}", "default")


def load_settings(
    environ: Mapping[str, str] | None = None,
    *,
    directory: Path | None = None,
) -> Settings:
    """Read and check all settings; the environment wins over `.env`, and that over Streamlit secrets.

    Args:
        environ: names and values; default the process's environment.
        directory: where `.env` and `.streamlit/secrets.toml` are looked for; default the working directory.

    Raises:
        ConfigurationError: a value is bad, a `MCP_*` name is unknown, a file cannot be read, or the settings are
            newer than this version understands. It names the setting, what was found and what is allowed.
    """
    environ = os.environ if environ is None else environ
    directory = Path.cwd() if directory is None else directory
    values: dict[str, str] = {}
    sources: dict[str, str] = {}
    tables: dict[str, Any] = {}
    for source, layer in (
        ("secrets.toml", _secrets(directory)),
        (".env", dotenv_values(directory / ".env")),
        ("environment", environ),
    ):
        for name, value in layer.items():
            if isinstance(value, Mapping) or (isinstance(value, list) and not name.startswith("MCP_")):
                tables[name] = value
            elif value is not None and str(value) != "":
                values[name] = str(value)
                sources[name] = source
    given = {name: value for name, value in values.items() if name.startswith("MCP_")}
    known = {f"MCP_{field.upper()}": field for field in Settings.model_fields}
    for name in given:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"Known are: {', '.join(sorted(known))}."
            raise ConfigurationError(f"{name} (from {sources[name]}) is not a setting.", hint=hint, field=name)
    try:
        settings = Settings.model_validate({known[name]: value for name, value in given.items()})
    except ValidationError as error:
        raise _explain(error, sources) from None
    if settings.settings_version > SETTINGS_VERSION:
        raise ConfigurationError(
            f"The settings are of version {settings.settings_version}; "
            f"this version understands up to {SETTINGS_VERSION}.",
            hint="Update Model Control Panel, or lower MCP_SETTINGS_VERSION after checking every setting.",
            field="MCP_SETTINGS_VERSION",
        )
    settings._values = MappingProxyType(values)
    settings._secrets = MappingProxyType(tables)
    settings._sources = MappingProxyType(sources)
    return settings


def _texts(value: Any, *, secret: bool = False) -> Iterator[tuple[bool, str]]:
    """Every value within `value` as text, and whether it, or what it stands in, is named as secrets are."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            # A plural is a limit where it is one number (`max_tokens`), and names secrets where it is many.
            ending = str(name).upper().removesuffix("S" if isinstance(inner, Mapping | list) else "")
            yield from _texts(inner, secret=secret or ending.endswith(_SECRET_ENDINGS))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, secret=secret)
    else:
        yield secret, str(value)


def _secrets(directory: Path) -> Mapping[str, Any]:
    for path in (directory / ".streamlit" / "secrets.toml", Path.home() / ".streamlit" / "secrets.toml"):
        # `Path.is_file` fails where the directory may not be entered, as a service's home often may not.
        if os.path.isfile(path):  # noqa: PTH113
            try:
                return tomllib.loads(path.read_text("utf-8"))
            except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
                raise ConfigurationError(
                    f"{path.name} cannot be read: {error}.", hint="Mend the file; it has to be TOML.", field=str(path)
                ) from None
    return {}


def _explain(error: ValidationError, sources: Mapping[str, str]) -> ConfigurationError:
    first = error.errors(include_url=False)[0]
    field = str(first["loc"][0])
    name = f"MCP_{field.upper()}"
    shown = "(hidden)" if field in _HIDDEN else repr(first["input"])
    return ConfigurationError(
        f"{name} (from {sources.get(name, 'default')}) is {shown}: {first['msg'].removeprefix('Value error, ')}.",
        hint=f"Set it to {_ALLOWED[field]}, or remove it.",
        field=name,
    )
