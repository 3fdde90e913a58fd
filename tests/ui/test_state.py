import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_core.api.client import MCPClient
from mcp_core.errors import ConfigurationError
from mcp_core.models import Run
from mcp_core.security.redaction import MASK, redactor
from mcp_core.ui import state
from mcp_core.ui.state import FormState

pytestmark = pytest.mark.integration

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    config=st.dictionaries(NAMES, JSON, max_size=4), variables=st.dictionaries(NAMES, st.text(max_size=900), max_size=4)
)
def test_a_state_comes_back_from_its_parameters(client: MCPClient, config: dict[str, Any], variables: Any) -> None:
    held = FormState(config, variables)
    assert state.from_params(client, state.to_params(client, held)) == ("", held)


def test_small_states_stand_in_the_address_and_large_ones_are_drafts(client: MCPClient) -> None:
    assert state.to_params(client, FormState({}, {"text": "hi", "n": 3})) == {"var.text": "hi", "var.n": "3"}
    params = state.to_params(client, FormState({"seed": 1}, {"text": "x" * 2000}))
    assert list(params) == ["draft"]
    assert state.from_params(client, {**params, "task": "t"}) == ("t", FormState({"seed": 1}, {"text": "x" * 2000}))


def test_a_draft_that_is_gone_is_told(client: MCPClient) -> None:
    with pytest.raises(ConfigurationError, match="not kept any more") as caught:
        state.from_params(client, {"draft": "nope"})
    assert "30 days" in caught.value.hint


@pytest.mark.parametrize("written", ["{", "[1]", "3", "[" * 100_000])
def test_settings_that_cannot_be_read_are_told(client: MCPClient, written: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        state.from_params(client, {"set": written})


def test_parameters_of_a_form_are_known_by_name() -> None:
    names = ("draft", "set", "from", "task", "var.text", "run", "variable")
    assert [state.is_form_param(name) for name in names] == [True] * 5 + [False] * 2
    assert not FormState()


def test_the_form_of_a_run_is_that_of_its_task_and_what_was_changed(client: MCPClient) -> None:
    config = client.tasks.load("summarise").model_dump(mode="json")
    run = Run(id="r", type="llm_prompt", name=config["name"], config={**config, "seed": 3}, variables={"text": "a"})
    assert state.of_run(client, run) == ("summarise", FormState({"seed": 3}, {"text": "a"}))
    client.store.save_run(run)
    assert state.from_params(client, {"from": "r"}) == ("summarise", FormState({"seed": 3}, {"text": "a"}))


def test_the_form_of_a_run_without_a_task_is_that_of_its_type(client: MCPClient) -> None:
    run = Run(id="r", type="llm_prompt", name="Gone", config={"type": "llm_prompt", "template": "hi"})
    assert state.of_run(client, run) == ("llm_prompt", FormState({"template": "hi"}, {}))


@pytest.mark.parametrize("secret", ["hunter2-of-the-state", 'with "quotes" and \\ in it'])
def test_a_known_secret_never_gets_into_an_address(client: MCPClient, secret: str) -> None:
    redactor.learn([secret])
    for held in (
        FormState({}, {"text": f"the key is {secret}"}),
        FormState({"system": [secret]}),
        FormState({}, {"data": {secret: 1}}),
    ):
        params = state.to_params(client, held)
        assert list(params) == ["draft"]
        _, found = state.from_params(client, params)
        kept = json.dumps([found.config, found.variables])
        assert secret not in str([found.config, found.variables])
        assert MASK in kept


@pytest.mark.parametrize("value", ["5", "null", 5, None, True, ["5"], {"a": "5"}, "plain"], ids=repr)
def test_a_json_variable_is_written_so_that_texts_and_numbers_differ(client: MCPClient, value: Any) -> None:
    params = state.to_params(client, FormState({}, {"x": value, "y": "5"}), json_names={"x"})
    assert json.loads(params["var.x"]) == value
    assert params["var.y"] == "5"
