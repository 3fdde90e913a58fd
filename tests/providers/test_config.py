"""The providers file: what it may say, and what is said about what it may not."""

from pathlib import Path

import pytest

from mcp_core.errors import ConfigurationError
from mcp_core.providers import config
from mcp_core.providers.config import ProviderConfig, load_providers, local_alias
from mcp_core.settings import Settings, load_settings

pytestmark = pytest.mark.unit

SECRET = "sk-proj-canary0123456789abcdefABCDEF0123456789"


def settings(tmp_path: Path, **values: str) -> Settings:
    return load_settings({"MCP_DATA_DIR": str(tmp_path / "data"), **values}, directory=tmp_path)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "data" / "providers.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def test_the_local_model_is_always_there(tmp_path: Path) -> None:
    found = load_providers(settings(tmp_path))
    assert list(found) == ["local"]
    assert found["local"].models == ("smollm2-135m-instruct",)


def test_presets_come_with_their_keys(tmp_path: Path) -> None:
    found = load_providers(settings(tmp_path, OPENAI_API_KEY="sk-a", ANTHROPIC_API_KEY="sk-b", MCP_LOCAL_MODEL="off"))
    assert list(found) == ["openai", "anthropic"]
    assert found["anthropic"].protocol == "anthropic"
    assert found["openai"].api_key_env == "OPENAI_API_KEY"


def test_everything_a_provider_may_have(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        version = 1
        [providers.acme-eu]
        protocol = "anthropic"
        base_url = "https://acme.example:8443/models/"
        api_key_env = "ACME_KEY"
        models = ["big", "small"]
        headers = { X-Team = "blue" }
        query = { api-version = "2024-10-21" }
        max_concurrency = 4
        requests_per_minute = 60
        tokens_per_minute = 100000
        prices = [{ model = "big", input_usd_per_million = 1.5, output_usd_per_million = "6" }]
        """,
    )
    acme = load_providers(settings(tmp_path))["acme-eu"]
    assert acme.base_url == "https://acme.example:8443/models"
    assert (acme.max_concurrency, acme.requests_per_minute, acme.tokens_per_minute) == (4, 60, 100_000)
    assert str(acme.prices[0].input_usd_per_million) == "1.5"


def test_the_file_goes_before_secrets_and_those_before_presets(tmp_path: Path) -> None:
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text(
        f'OPENAI_API_KEY = "{SECRET}"\n'
        '[providers.openai]\nbase_url = "https://secrets.example"\n'
        '[providers.mine]\nbase_url = "https://secrets.example"\n'
        '[providers.only]\nbase_url = "https://secrets.example"\n'
    )
    write(tmp_path, '[providers.mine]\nbase_url = "https://file.example"\n')
    found = load_providers(settings(tmp_path, MCP_LOCAL_MODEL="off"))
    assert {name: c.base_url for name, c in found.items()} == {
        "openai": "https://secrets.example",
        "mine": "https://file.example",
        "only": "https://secrets.example",
    }


def test_a_file_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.toml"
    path.write_text('[providers.a]\nbase_url = "http://[::1]:80"\n')
    assert "a" in load_providers(settings(tmp_path, MCP_PROVIDERS_FILE=str(path)))
    with pytest.raises(ConfigurationError, match="does not exist"):
        load_providers(settings(tmp_path, MCP_PROVIDERS_FILE=str(tmp_path / "nowhere.toml")))


def one(line: str) -> str:
    return f'[providers.a]\nbase_url = "https://a.example"\n{line}\n'


def test_the_first_endpoint_stands_for_all_unless_another_does(tmp_path: Path) -> None:
    endpoints = 'endpoints = [{ base_url = "https://a.example/" }, { base_url = "https://b.example", weight = 2 }]\n'
    write(tmp_path, f'[providers.x]\n{endpoints}[providers.y]\nbase_url = "https://b.example"\n{endpoints}')
    found = load_providers(settings(tmp_path))
    assert (found["x"].base_url, found["y"].base_url) == ("https://a.example", "https://b.example")
    assert [(e.base_url, e.weight) for e in found["x"].endpoints] == [
        ("https://a.example", 1),
        ("https://b.example", 2),
    ]


BAD = {
    "no TOML": ("[providers", "is not TOML", ""),
    "newer": ("version = 2", "version 2", "Update"),
    "older than any": ("version = 0", "`version` is 0", "version = 1"),
    "no version": ('version = "1"', "`version` is '1'", "version = 1"),
    "true version": ("version = true", "`version` is True", "version = 1"),
    "unknown top": ("timeout = 3", "`timeout` is unknown", "table"),
    "no tables": ('providers = "acme"', "allowed are tables", "table"),
    "no table": ('[providers]\nacme = "x"', "`providers.acme` is not a table", "[providers.acme]"),
    "local": ('[providers.local]\nbase_url = "http://a"', "built-in", "MCP_LOCAL_MODEL"),
    "bad name": ('[providers."A b"]\nbase_url = "http://a"', "`providers.A b.name`", ""),
    "no address": ("[providers.a]\n", "`providers.a.base_url`: field required", ""),
    "ftp": ('[providers.a]\nbase_url = "ftp://a"', "http:// or https://", ""),
    "no host": ('[providers.a]\nbase_url = "https://"', "http:// or https://", ""),
    "bad port": ('[providers.a]\nbase_url = "http://a:99999"', "http:// or https://", ""),
    "port 0": ('[providers.a]\nbase_url = "http://a:0"', "http:// or https://", ""),
    "space": ('[providers.a]\nbase_url = "http://a b"', "http:// or https://", ""),
    "credentials": (f'[providers.a]\nbase_url = "https://u:{SECRET}@a"', "no user name or password", ""),
    "query": (f'[providers.a]\nbase_url = "https://a/?key={SECRET}"', "may hold no query", ""),
    "unknown": (one("colour = 1"), "`providers.a.colour` is unknown", "base_url"),
    "a key": (one(f'api_key = "{SECRET}"'), "`providers.a.api_key` is unknown", "`api_key_env`"),
    "key as name": (one(f'api_key_env = "{SECRET}"'), "`providers.a.api_key_env`", ""),
    "protocol": (one('protocol = "soap"'), "`providers.a.protocol` is 'soap'", ""),
    "authorization": (one(f'headers = {{ Authorization = "Bearer {SECRET}" }}'), "Authorization may hold a secret", ""),
    "x-api-key": (one(f'headers = {{ x-api-key = "{SECRET}" }}'), "x-api-key may hold a secret", ""),
    "header name": (one('headers = { "a b" = "c" }'), "no header that can be sent", ""),
    "header value": (one('headers = { X-A = "a\\nb" }'), "no header that can be sent", ""),
    "secret query": (one(f'query = {{ key = "{SECRET}" }}'), "key may hold a secret", ""),
    "concurrency": (one("max_concurrency = 0"), "`providers.a.max_concurrency` is 0", ""),
    "price": (
        one('prices = [{ model = "m", input_usd_per_million = -1, output_usd_per_million = 1 }]'),
        "prices.0",
        "",
    ),
    "breaker": (one("breaker_failures = 0"), "`providers.a.breaker_failures` is 0", ""),
    "endpoint credentials": (
        f'[providers.a]\nendpoints = [{{ base_url = "https://u:{SECRET}@a" }}]',
        "no user name or password",
        "",
    ),
    "endpoint field": (
        '[providers.a]\nendpoints = [{ base_url = "https://a", heaviness = 1 }]',
        "`providers.a.endpoints.0.heaviness` is unknown",
        "weight",
    ),
    "endpoint weight": (
        '[providers.a]\nendpoints = [{ base_url = "https://a", weight = 0 }]',
        "endpoints.0.weight",
        "",
    ),
    "endpoints alike": (
        '[providers.a]\nendpoints = [{ base_url = "https://a" }, { base_url = "https://a/" }]',
        "same base_url",
        "",
    ),
    "an endpoint missing": (one('endpoints = [{ base_url = "https://b.example" }]'), "has to be one of them", ""),
    "no endpoints": ("[providers.a]\nendpoints = []", "`providers.a.base_url`: field required", ""),
    "endpoints of no kind": ("[providers.a]\nendpoints = 3", "`providers.a", ""),
    "price field": (
        one('prices = [{ model = "m", input = 1, input_usd_per_million = 1, output_usd_per_million = 1 }]'),
        "`providers.a.prices.0.input` is unknown",
        "input_usd_per_million",
    ),
}


@pytest.mark.parametrize(("text", "said", "hint"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str, hint: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        load_providers(settings(tmp_path))
    error = caught.value
    assert str(path) in error.message
    assert said in error.message
    assert hint in error.hint
    assert error.hint
    assert error.field
    assert SECRET not in repr([str(error), error.field])


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "directory"
    path.mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_providers(settings(tmp_path, MCP_PROVIDERS_FILE=str(path)))
    (tmp_path / "latin.toml").write_bytes(b'[providers.a]\nbase_url = "http://\xe4"\n')
    with pytest.raises(ConfigurationError, match="is not TOML"):
        load_providers(settings(tmp_path, MCP_PROVIDERS_FILE=str(tmp_path / "latin.toml")))


def test_secrets_that_describe_no_provider(tmp_path: Path) -> None:
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text('[providers.a]\nbase_url = "nowhere"\n')
    with pytest.raises(ConfigurationError, match=r"secrets\.toml: `providers\.a\.base_url`"):
        load_providers(settings(tmp_path))


def test_an_older_file_is_upgraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "PROVIDERS_VERSION", 3)
    monkeypatch.setattr(
        config,
        "_UPGRADES",
        {
            1: lambda old: {"servers": old["providers"]},
            2: lambda old: {"providers": {name: {"base_url": url} for name, url in old["servers"].items()}},
        },
    )
    write(tmp_path, 'version = 1\n[providers]\na = "https://a.example"\n')
    assert load_providers(settings(tmp_path))["a"].base_url == "https://a.example"


@pytest.mark.parametrize(
    ("given", "alias"),
    [
        ("", "smollm2-135m-instruct"),
        ("off", ""),
        ("OFF", ""),
        ("/m/Qwen 2.5 (0.5B).Q4.gguf", "qwen-2.5-0.5b-.q4"),
        ("/ä.gguf", "model"),
    ],
)
def test_the_local_model_is_named_after_its_file(tmp_path: Path, given: str, alias: str) -> None:
    assert local_alias(settings(tmp_path, **({"MCP_LOCAL_MODEL": given} if given else {}))) == alias


def test_a_provider_does_not_change() -> None:
    acme = ProviderConfig(name="a", base_url="http://a/")
    with pytest.raises(ValueError, match="frozen"):
        setattr(acme, "base_url", "http://b")  # noqa: B010  (the type checker knows that it is frozen)


def test_a_local_model_that_is_no_file_is_named_at_the_start(tmp_path: Path) -> None:
    values = {"MCP_DATA_DIR": str(tmp_path), "MCP_LOCAL_MODEL": "/no/such.gguf"}
    with pytest.raises(ConfigurationError, match=r"names /no/such\.gguf, which is no file") as caught:
        load_providers(load_settings(values, directory=tmp_path))
    assert "`off`" in caught.value.hint
