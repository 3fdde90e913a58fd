"""Which model servers there are: built in, from the environment, from Streamlit secrets, and from `providers.toml`."""

import re
import tomllib
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mcp_core.errors import ConfigurationError
from mcp_core.settings import LONGEST_TTL, Seconds, Settings

__all__ = [
    "BUNDLED_MODEL",
    "LOCAL",
    "PRESET_KEYS",
    "PROVIDERS_VERSION",
    "EndpointConfig",
    "ModelLimit",
    "ModelPrice",
    "ProviderConfig",
    "load_providers",
    "local_alias",
]

PROVIDERS_VERSION = 1
"""Version of the providers file that this code writes about and reads."""

PRESET_KEYS: Mapping[str, str] = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
"""Provider that is there as soon as its key is set -> the variable of the key."""
_PRESETS: Mapping[str, tuple[Literal["openai", "anthropic"], str]] = {
    "openai": ("openai", "https://api.openai.com/v1"),
    "anthropic": ("anthropic", "https://api.anthropic.com"),
}

LOCAL = "local"
"""Name of the built-in provider."""

BUNDLED_MODEL = "smollm2-135m-instruct"
"""Name of the model that comes with the panel."""

_UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""version -> function that turns a document of that version into one of the next."""

_SECRET_HEADERS = ("authorization", "api-key", "apikey", "token", "secret", "cookie", "password")
_SECRET_QUERY = ("key", "api-key", "api_key", "apikey", "token", "access_token", "sig", "secret", "password")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelPrice(_Strict):
    """A negotiated or self-hosted rate, which goes before the public one.

    Attributes:
        model: the model's name at the provider, or `*` for all of its models.
    """

    model: str = Field(min_length=1)
    input_usd_per_million: Decimal = Field(ge=0)
    output_usd_per_million: Decimal = Field(ge=0)


class ModelLimit(_Strict):
    """What one model gets a minute, beside what its provider gets.

    Attributes:
        model: the model's name at the provider, or `*` for each of those without a limit of their own.
    """

    model: str = Field(min_length=1)
    requests_per_minute: int | None = Field(None, ge=1)
    tokens_per_minute: int | None = Field(None, ge=1)


def _plain_url(value: str) -> str:
    wrong = ValueError("it has to be an http:// or https:// address")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or any(c.isspace() for c in value):
        raise wrong
    if parts.username is not None or parts.password is not None:
        raise ValueError("it may hold no user name or password; name the key's variable as api_key_env")
    if parts.query or parts.fragment:
        raise ValueError("it may hold no query; put it into the table `query`")
    return value.rstrip("/")


_Url = Annotated[str, AfterValidator(_plain_url)]


class EndpointConfig(_Strict):
    """One of several addresses of a provider that answer alike.

    Attributes:
        weight: its share of the calls, against that of the others.
    """

    base_url: _Url
    weight: float = Field(1.0, gt=0, le=1000)


class ProviderConfig(_Strict):
    """One model server.

    Attributes:
        base_url: where the protocol's paths are appended to; http or https, without credentials and query. Where there
            are endpoints it is one of them, the first if left out: answers are remembered as of this address.
        endpoints: addresses that answer alike, where there are several.
        api_key_env: name of the environment variable, `.env` line or secret that holds the key; empty for none.
        models: names offered; empty to ask the server for its list.
        headers: sent with every request; never secrets.
        query: appended to every URL, such as Azure's `api-version`; never secrets.
        max_concurrency: requests under way at the same time.
        requests_per_minute, tokens_per_minute: what the provider's plan allows.
        limits: what it allows for single models.
        breaker_failures: failures in a row after which the provider is left alone for a while.
        breaker_seconds: how long it is left alone the first time; doubled after each failed probe, up to ten times.
        cache_ttl: how long its answers stay fresh where the task does not say, as seconds or such as 12h; None for the
            panel's own.
        shared: whether an answer got with one team's credentials may answer another team's, or another credential's.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    protocol: Literal["openai", "anthropic"] = "openai"
    base_url: _Url
    endpoints: tuple[EndpointConfig, ...] = ()
    api_key_env: Annotated[str, Field(pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")] = ""
    models: tuple[str, ...] = ()
    headers: Mapping[str, str] = Field(default_factory=dict)
    query: Mapping[str, str] = Field(default_factory=dict)
    max_concurrency: int = Field(32, ge=1, le=1000)
    requests_per_minute: int | None = Field(None, ge=1)
    tokens_per_minute: int | None = Field(None, ge=1)
    breaker_failures: int = Field(5, ge=1, le=1000)
    breaker_seconds: float = Field(30.0, gt=0, le=3600)
    cache_ttl: Seconds | None = Field(None, gt=0, le=LONGEST_TTL)
    shared: bool = False
    prices: tuple[ModelPrice, ...] = ()
    limits: tuple[ModelLimit, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _first_endpoint(cls, data: Any) -> Any:
        """Let the first endpoint stand for all where no address does."""
        if isinstance(data, Mapping) and "base_url" not in data:
            endpoints = data.get("endpoints")
            first = endpoints[0] if isinstance(endpoints, list | tuple) and endpoints else None
            if isinstance(first, Mapping) and "base_url" in first:
                return {**data, "base_url": first["base_url"]}
        return data

    @field_validator("endpoints")
    @classmethod
    def _distinct(cls, value: tuple[EndpointConfig, ...], info: ValidationInfo) -> tuple[EndpointConfig, ...]:
        urls = [endpoint.base_url for endpoint in value]
        if len(set(urls)) < len(urls):
            raise ValueError("two endpoints have the same base_url")
        if urls and "base_url" in info.data and info.data["base_url"] not in urls:
            raise ValueError("the provider's own base_url has to be one of them, or be left out")
        return value

    @field_validator("limits")
    @classmethod
    def _one_limit_a_model(cls, value: tuple[ModelLimit, ...]) -> tuple[ModelLimit, ...]:
        names = [limit.model for limit in value]
        if len(set(names)) < len(names):
            raise ValueError("a model is named twice")
        return value

    @field_validator("headers")
    @classmethod
    def _no_secret_headers(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name, text in value.items():
            if any(word in name.lower() for word in _SECRET_HEADERS):
                raise ValueError(f"{name} may hold a secret; name the key's variable as api_key_env instead")
            if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum() or not text.isprintable():
                raise ValueError(f"{name!r} is no header that can be sent")
        return value

    @field_validator("query")
    @classmethod
    def _no_secret_query(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name in value:
            if name.lower() in _SECRET_QUERY:
                raise ValueError(f"{name} may hold a secret and addresses are logged; use api_key_env instead")
        return value


def load_providers(settings: Settings) -> dict[str, ProviderConfig]:
    """All configured providers by name; a later source replaces an earlier one of the same name.

    The order: the built-in local model, presets whose key is set, `[providers.NAME]` of the Streamlit secrets, the
    providers file. The address of the local one stands for all of its servers: each gets a port when it starts.

    Raises:
        ConfigurationError: something is wrong; names file, field, what was found and what is allowed.
    """
    found: dict[str, ProviderConfig] = {}
    if alias := local_alias(settings):
        _require_model_file(settings)
        found[LOCAL] = ProviderConfig(name=LOCAL, base_url="http://127.0.0.1/v1", models=(alias,))
    for name, key in PRESET_KEYS.items():
        if settings.value_of(key):
            protocol, base_url = _PRESETS[name]
            found[name] = ProviderConfig(name=name, protocol=protocol, base_url=base_url, api_key_env=key)
    found.update(_tables(settings.secret_tables.get("providers", {}), "secrets.toml"))
    path = settings.providers_file or settings.data_dir / "providers.toml"
    if path.exists():
        found.update(_tables(_document(path).get("providers", {}), str(path)))
    elif settings.providers_file is not None:
        raise ConfigurationError(
            f"The providers file {path} does not exist.",
            hint="Create it, or unset MCP_PROVIDERS_FILE.",
            field="MCP_PROVIDERS_FILE",
        )
    return found


def _require_model_file(settings: Settings) -> None:
    given = settings.local_model.strip()
    if given and not Path(given).expanduser().is_file():
        raise ConfigurationError(
            f"MCP_LOCAL_MODEL names {given}, which is no file.",
            hint="Set it to the path of a GGUF file, to `off`, or remove it for the bundled model.",
            field="MCP_LOCAL_MODEL",
        )


def local_alias(settings: Settings) -> str:
    """Name of the model the built-in server offers; empty where it is switched off."""
    given = settings.local_model.strip()
    if not given:
        return BUNDLED_MODEL
    return (
        "" if given.lower() == "off" else re.sub(r"[^a-z0-9._-]+", "-", Path(given).stem.lower()).strip("-") or "model"
    )


def _document(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"The providers file {path} cannot be read: {error.strerror}.", hint="Make it readable.", field=str(path)
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(
            f"The providers file {path} is not TOML: {error}.", hint="Mend it at the place named.", field=str(path)
        ) from None
    version = document.pop("version", PROVIDERS_VERSION)
    oldest = min(_UPGRADES, default=PROVIDERS_VERSION)
    if isinstance(version, bool) or not isinstance(version, int) or version < oldest:
        raise ConfigurationError(
            f"{path}: `version` is {version!r}; allowed are {oldest} to {PROVIDERS_VERSION}.",
            hint=f"Write `version = {PROVIDERS_VERSION}`.",
            field="version",
        )
    if version > PROVIDERS_VERSION:
        raise ConfigurationError(
            f"{path} is of version {version}; this version understands up to {PROVIDERS_VERSION}.",
            hint="Update Model Control Panel, or write the file for the older version.",
            field="version",
        )
    for step in range(version, PROVIDERS_VERSION):
        document = _UPGRADES[step](document)
    if unknown := sorted(set(document) - {"providers"}):
        raise ConfigurationError(
            f"{path}: `{unknown[0]}` is unknown at the top; allowed are `version` and tables `[providers.NAME]`.",
            hint="Move it into the table of its provider, or delete it.",
            field=unknown[0],
        )
    return document


def _tables(tables: object, source: str) -> dict[str, ProviderConfig]:
    if not isinstance(tables, Mapping):
        raise ConfigurationError(
            f"{source}: `providers` is {tables!r}; allowed are tables `[providers.NAME]`.",
            hint="Write one table for each provider.",
            field="providers",
        )
    found = {}
    for name, table in tables.items():
        where = f"providers.{name}"
        if not isinstance(table, Mapping):
            raise ConfigurationError(
                f"{source}: `{where}` is not a table.", hint=f"Write `[{where}]` above its settings.", field=where
            )
        if name == LOCAL:
            raise ConfigurationError(
                f"{source}: `{where}` is the name of the built-in model server.",
                hint="Give the provider another name; MCP_LOCAL_MODEL changes what the built-in one serves.",
                field=where,
            )
        try:
            found[name] = ProviderConfig.model_validate({**table, "name": name})
        except ValidationError as error:
            raise _explain(error, source, where) from None
    return found


def _explain(error: ValidationError, source: str, where: str) -> ConfigurationError:
    first = error.errors(include_url=False, include_context=False)[0]
    path = [str(part) for part in first["loc"]]
    field = ".".join([where, *path])
    if first["type"] == "extra_forbidden":
        inner: dict[str, type[BaseModel]] = {
            "prices": ModelPrice,
            "limits": ModelLimit,
            "endpoints": EndpointConfig,
        }
        names = inner.get(path[0], ProviderConfig).model_fields if len(path) > 1 else ProviderConfig.model_fields
        allowed = ", ".join(name for name in names if name != "name")
        if "key" in path[-1].lower():
            hint = "Put the key into an environment variable and that variable's name into `api_key_env`."
        else:
            hint = f"Allowed are {allowed}."
        # What was found under an unknown name is not repeated: it may be a key.
        return ConfigurationError(f"{source}: `{field}` is unknown.", hint=hint, field=field)
    own = first["type"] == "value_error"
    reason = first["msg"].removeprefix("Value error, ") if own else first["msg"][0].lower() + first["msg"][1:]
    secret = path[0] in ("headers", "query", "base_url", "endpoints", "api_key_env")
    shown = "" if secret or first["type"] == "missing" else f" is {first['input']!r}"
    return ConfigurationError(f"{source}: `{field}`{shown}: {reason}.", hint="Change it there.", field=field)
