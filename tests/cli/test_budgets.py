"""`budgets` and `run --dry-run`: what they print and how they end."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result
from tests.cli.server import ModelServer

pytestmark = pytest.mark.integration

Cli = Callable[..., Result]
PRICES = '\nprices = [{ model = "small", input_usd_per_million = 1000, output_usd_per_million = 1000 }]\n'


@pytest.fixture
def priced(data_dir: Path, task: Path) -> Path:
    file = data_dir / "providers.toml"
    file.write_text(file.read_text() + PRICES)
    return task


def test_budgets_are_set_listed_and_deleted(cli: Cli, data_dir: Path) -> None:
    empty = cli("budgets", "list")
    assert (empty.code, empty.out) == (0, "")
    assert "`budgets set` sets one" in empty.err
    assert cli("budgets", "list", "--json").json == {"budgets": []}
    made = cli("budgets", "set", "team", "red", "month", "12.50", "--json").json
    assert (made["limit_usd"], made["left_usd"], made["spent_usd"]) == ("12.5", "12.5", "0")
    assert cli("budgets", "set", "team", "red", "month", "$20").code == 0
    table = cli("budgets", "list").out.splitlines()
    assert table[0].split("\t")[:7] == ["scope", "name", "period", "limit", "spent", "reserved", "left"]
    assert table[1].split("\t")[:7] == ["team", "red", "month", "$20.00", "$0", "$0", "$20.00"]
    unsure = cli("budgets", "delete", "team", "red", "month")
    assert unsure.code == 2
    assert "--yes" in unsure.err
    assert cli("budgets", "delete", "team", "red", "month", "--yes", "--json").json == {"deleted": 1}
    gone = cli("budgets", "delete", "team", "red", "month", "--yes")
    assert gone.code == 2
    assert "There is no monthly budget for the team 'red'." in gone.err


def test_wrong_use_is_told(cli: Cli, data_dir: Path) -> None:
    assert cli("budgets", "set", "person", "ann", "day", "1").code == 2
    wrong = cli("budgets", "set", "actor", "ann", "day", "much", "--json")
    assert wrong.code == 2
    assert wrong.json["error"]["message"].startswith("limit_usd: found 'much'")


def test_a_dry_run_tells_what_a_run_would_take_and_starts_none(
    cli: Cli, priced: Path, model_server: ModelServer
) -> None:
    look = cli("run", "shorten", "--var", "text=It rained.", "--dry-run")
    assert look.code == 0
    rows = dict(line.split("\t") for line in look.out.splitlines())
    assert rows["model"] == "acme/small"
    assert rows["tokens in"] == "about 5"
    assert rows["tokens out"] == "about 512, at most 512"
    assert rows["cache"] == "has no answer"
    assert rows["time"].startswith("unknown")
    assert cli("history", "list", "--json").json["runs"] == []
    cli("run", "shorten", "--var", "text=It rained.")
    data = cli("run", "shorten", "--var", "text=It rained.", "--dry-run", "--json").json
    assert (data["cache"], data["cost_usd"], data["like_runs"]) == ("hit", "0", 1)


def test_a_dry_run_without_a_key_ends_as_the_run_would(cli: Cli, task: Path, data_dir: Path) -> None:
    (data_dir / "providers.toml").write_text(
        '[providers.acme]\nbase_url = "http://127.0.0.1:9/v1"\napi_key_env = "NO_SUCH_KEY"\n'
    )
    ahead = cli("run", "shorten", "--var", "text=x", "--dry-run")
    assert (ahead.code, cli("run", "shorten", "--var", "text=x").code) == (2, 2)
    assert "NO_SUCH_KEY" in ahead.err


def test_a_dry_run_of_what_would_be_refused_ends_as_failed(cli: Cli, priced: Path) -> None:
    cli("budgets", "set", "task", "Shorten", "day", "0.1")
    look = cli("run", "shorten", "--var", "text=It rained.", "--dry-run")
    assert look.code == 1
    assert "it would be refused: The budget of the task Shorten, $0.10 a day, has $0.10 left" in look.err
    assert "$0.10 of $0.10 a day left" in look.out
    refused = cli("run", "shorten", "--var", "text=It rained.", "--json")
    assert refused.code == 1
    assert refused.json["error"]["type"] == "PermissionDeniedError"
