"""`health` and `health outage`: what the page shows, and simulated outages that every process sees."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result
from tests.cli.server import ModelServer

pytestmark = pytest.mark.e2e

Cli = Callable[..., Result]


def test_everything_as_json(cli: Cli, task: Path) -> None:
    found = cli("health", "--json").json
    assert set(found) == {
        *(
            "at",
            "queue",
            "providers",
            "outages",
            "actors",
            "trouble",
            "shared",
            "sharing_trouble",
            "machine",
            "history_pool",
        ),
    }
    (acme,) = found["providers"]
    assert acme["name"] == "acme"
    assert acme["state"] == "ready"
    assert acme["max_concurrency"] == 32
    assert found["shared"] is False
    assert found["machine"]["memory_free_bytes"] > 0
    assert 0 <= found["machine"]["processor_ratio"] <= 1
    assert sum(found["machine"]["threads"].values()) >= 1
    assert found["history_pool"]["most"] >= found["history_pool"]["open"]


def test_for_people(cli: Cli, task: Path, model_server: ModelServer, data_dir: Path) -> None:
    providers = data_dir / "providers.toml"
    providers.write_text(providers.read_text() + "requests_per_minute = 60\n")
    model_server.status = 500
    assert cli("run", str(task), "--var", "text=x").code == 1
    found = cli("health")
    assert found.code == 0
    assert "acme\tready\t0 of 32\tacme: 10 requests at once, 60 a minute" in found.out
    assert "free" in found.out
    assert "\terror\tShorten\t" in found.out
    assert "HTTP 500" in found.out


def test_an_outage_from_its_beginning_to_its_end(cli: Cli, task: Path, model_server: ModelServer) -> None:
    begun = cli("health", "outage", "acme", "--minutes", "5", "--json")
    assert begun.code == 0
    outage = begun.json["outage"]
    assert set(outage) == {"provider", "actor_id", "since", "until"}
    refused = cli("run", str(task), "--var", "text=x", "--json")
    assert refused.code == 1
    assert "refuses connections" in refused.json["error"]["message"]
    assert model_server.requests == []
    now = cli("health", "--json").json
    assert now["outages"] == [outage]
    assert now["providers"][0]["outage_until"] == outage["until"]
    assert [(one["kind"], one["provider"]) for one in now["trouble"]] == [("error", "acme")]
    assert "outage simulated until" in cli("health").out
    assert cli("health", "outage", "acme", "--end").code == 0
    again = cli("health", "outage", "acme", "--end", "--json")
    assert (again.code, again.json) == (1, {"provider": "acme", "ended": False})
    assert cli("run", str(task), "--var", "text=x").code == 0
    assert json.loads(cli("health", "--json").out)["outages"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        ("acme",),
        ("acme", "--minutes", "0"),
        ("acme", "--minutes", "1441"),
        ("acme", "--minutes", "nan"),
        ("acme", "--minutes", "5", "--end"),
        ("nobody", "--minutes", "5"),
        ("nobody", "--end"),
    ],
)
def test_wrong_use_is_told(cli: Cli, task: Path, wrong: tuple[str, ...]) -> None:
    found = cli("health", "outage", *wrong)
    assert found.code == 2
    assert "hint:" in found.err
    assert found.out == ""
