"""Configs: frozen, strict, versioned, and read from files with errors that name everything."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mcp_core.errors import ConfigurationError
from mcp_core.models import RunOutput
from mcp_core.types.base import BaseMCPConfig, MCPType, RunContext, executor
from mcp_core.types.files import dump_task, load_task, parse_task
from mcp_core.types.llm_prompt import LLMPromptConfig, chat_request
from mcp_core.types.registry import Registry, default_registry

pytestmark = pytest.mark.unit

EXAMPLES = Path(__file__).parents[2] / "examples"


class RenamedConfig(BaseMCPConfig):
    """A type in its third version: `words` was called `text`, and before that `body`."""

    current_version: ClassVar[int] = 3
    upgrades: ClassVar[Mapping[int, Any]] = MappingProxyType(
        {
            1: lambda raw: {"text": raw.pop("body"), **raw},
            2: lambda raw: {"words": raw.pop("text").split(), **raw},
        }
    )
    type: Literal["renamed"] = "renamed"
    schema_version: int = 3
    words: list[str]


@executor(RenamedConfig)
def run_renamed(config: RenamedConfig, ctx: RunContext) -> RunOutput:
    return RunOutput(text=" ".join(config.words))


@pytest.fixture
def registry() -> Registry:
    return default_registry()


def test_a_config_is_frozen_and_strict() -> None:
    config = LLMPromptConfig(template="hi")
    with pytest.raises(ValidationError, match="frozen"):
        config.template = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        LLMPromptConfig.model_validate({"template": "hi", "tempature": 1})


def test_cache_has_a_short_form() -> None:
    assert LLMPromptConfig.model_validate({"template": "x", "cache": "refresh"}).cache.mode == "refresh"
    config = LLMPromptConfig.model_validate({"template": "x", "cache": {"mode": "only", "ttl": 60}})
    assert config.cache.policy().ttl_seconds == 60


@pytest.mark.parametrize("ttl", [0, -1, float("inf"), float("nan"), 1e15])
def test_a_time_to_live_is_one_a_calendar_can_tell(ttl: float) -> None:
    with pytest.raises(ValidationError, match="ttl"):
        LLMPromptConfig.model_validate({"template": "x", "cache": {"ttl": ttl}})


def test_variables_are_found_and_declared_ones_come_first() -> None:
    config = LLMPromptConfig.model_validate(
        {
            "template": "{{ text }} {{ tone }}",
            "system_prompt": "You are {{ role }}.",
            "variables": {"tone": {"type": "string", "default": "dry"}},
        }
    )
    assert list(config.variable_specs()) == ["tone", "role", "text"]
    assert config.variable_specs()["tone"].default == "dry"


def test_a_bad_template_or_schema_is_refused_when_written() -> None:
    with pytest.raises(ValidationError, match="line 1"):
        LLMPromptConfig(template="{{ open")
    with pytest.raises(ValidationError, match="not a JSON schema"):
        LLMPromptConfig(template="x", output_schema={"type": "nonsense"})


def test_a_request_has_the_rendered_prompts() -> None:
    config = LLMPromptConfig(template="Sum {{ a }}", system_prompt="Be {{ a }}", model="acme/large", max_tokens=9)
    request = chat_request(config, {"a": "up"}, sample=2)
    assert [(m.role, m.content) for m in request.messages] == [("system", "Be up"), ("user", "Sum up")]
    assert (request.provider, request.model_name, request.max_tokens, request.sample) == ("acme", "large", 9, 2)


def test_an_older_version_is_upgraded_and_a_newer_refused() -> None:
    registry = Registry()
    registry.register(run_renamed)
    old = registry.parse({"type": "renamed", "schema_version": 1, "body": "two words"})
    assert isinstance(old, RenamedConfig)
    assert (old.words, old.schema_version) == (["two", "words"], 3)
    with pytest.raises(ConfigurationError, match="found version 4, allowed up to 3"):
        registry.parse({"type": "renamed", "schema_version": 4, "words": []})


def test_the_types_are_named_and_open_to_more() -> None:
    assert MCPType("llm_prompt") is MCPType.LLM_PROMPT
    assert [str(member) for member in MCPType] == ["llm_prompt", "jupyter_notebook", "python_script", "ai_assistant"]
    with pytest.raises(ValueError, match="renamed_later"):
        MCPType("renamed_later")
    Registry().register(run_renamed)
    assert MCPType("renamed") == "renamed"


def test_a_taken_name_is_refused(registry: Registry) -> None:
    class OtherConfig(BaseMCPConfig):
        """Claims the name of a built-in type."""

        type: Literal["llm_prompt"] = "llm_prompt"

    @executor(OtherConfig)
    def run_other(config: OtherConfig, ctx: RunContext) -> RunOutput:
        return RunOutput()

    with pytest.raises(ConfigurationError, match=r"already registered by mcp_core\.types\.llm_prompt"):
        registry.register(run_other)


def test_what_is_no_executor_is_refused(registry: Registry) -> None:
    with pytest.raises(ConfigurationError, match="not an executor"):
        registry.register(lambda config, ctx: RunOutput())
    with pytest.raises(ConfigurationError, match="has no default"):
        executor(BaseMCPConfig)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_loads(path: Path, registry: Registry) -> None:
    config = load_task(path, registry)
    assert config.name
    assert config.description


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type: llm_prompt\ntemplate: hi\ntemperature: 5", r"task\.yaml: temperature: found '5', allowed: .*2"),
        ("type: llm_prompt", r"task\.yaml: template: missing"),
        ("type: llm_prompt\ntemplate: hi\nmodle: x", r"task\.yaml: modle: no such field; known are .*model"),
        ("type: poem\ntemplate: hi", r"task\.yaml: type: found 'poem', allowed are llm_prompt"),
        ("template: hi", r"task\.yaml: type: found None"),
        ("- a\n- b", r"task\.yaml: found list, allowed is a mapping"),
        ("a: [", r"task\.yaml cannot be parsed: line 1, column 5: while parsing a flow node, [^\"^]*\.$"),
        ("a\0", r"task\.yaml cannot be parsed: special characters are not allowed \(character 2\)\.$"),
        ("# nothing\n", r"task\.yaml is empty\. A task file starts with"),
        ("type: llm_promt", r"found 'llm_promt', allowed are .* Did you mean llm_prompt\?"),
        ("type: llm_prompt\ntemplate: hi\nmodel: nope", r"found 'nope', allowed: a model written provider/model\.$"),
        ("type: llm_prompt\ntemplate: 'hi {{ x'", r"template: The template has an error in line 1: [^.]*\.$"),
        ("!!python/object/apply:os.system ['true']", r"task\.yaml cannot be parsed"),
    ],
)
def test_a_wrong_file_is_explained(text: str, expected: str, tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=expected):
        load_task(path, registry)


def test_a_bomb_of_aliases_is_refused(registry: Registry) -> None:
    bomb = "a: &a [x]\nb: [" + ", ".join(["*a"] * 200) + "]"
    with pytest.raises(ConfigurationError, match="aliases"):
        parse_task(bomb, registry, source="bomb.yaml")


def test_a_file_that_is_missing_huge_or_no_text(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(ConfigurationError, match="no task file"):
        load_task(tmp_path / "none.yaml", registry)
    (tmp_path / "huge.yaml").write_bytes(b"#" * 2_000_001)
    with pytest.raises(ConfigurationError, match="larger than"):
        load_task(tmp_path / "huge.yaml", registry)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_task(tmp_path / "binary.yaml", registry)


def test_json_files_are_read_too(tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "task.json"
    path.write_text(json.dumps({"type": "llm_prompt", "template": "hi"}))
    assert load_task(path, registry) == LLMPromptConfig(template="hi")


_texts = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=60)


@given(
    template=_texts.filter(lambda text: text != "" and "{" not in text),
    name=_texts,
    tags=st.lists(_texts, max_size=3),
    temperature=st.floats(0, 2),
    stop=st.lists(_texts.filter(bool), max_size=3),
    metadata=st.dictionaries(_texts, st.one_of(st.none(), st.booleans(), st.integers(), _texts), max_size=3),
)
def test_a_task_written_as_a_file_is_read_back_equal(
    template: str, name: str, tags: list[str], temperature: float, stop: list[str], metadata: dict[str, Any]
) -> None:
    config = LLMPromptConfig.model_validate(
        {
            "template": template,
            "name": name,
            "tags": tags,
            "temperature": temperature,
            "stop_sequences": stop,
            "metadata": metadata,
        }
    )
    assert parse_task(dump_task(config), default_registry(), source="task.yaml") == config
