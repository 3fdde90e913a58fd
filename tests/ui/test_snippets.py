import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mcp_core.models import Run, RunEvent, TaskDefinition, utcnow
from mcp_core.types.llm_prompt import LLMPromptConfig
from mcp_core.types.registry import default_registry
from mcp_core.ui import snippets

pytestmark = pytest.mark.unit

CONFIG = LLMPromptConfig(template="It's {{ text }}", model="acme/m", temperature=0.5)
HOSTILE = 'it\'s $HOME `id` "x"\n; rm -rf /'


def run(**fields: Any) -> Run:
    given = {"id": "r1", "type": "llm_prompt", "config": CONFIG.model_dump(mode="json"), "variables": {"text": HOSTILE}}
    return Run(**{**given, **fields})


def test_the_command_names_an_unchanged_task_and_quotes_every_value() -> None:
    task = TaskDefinition(name="my task", type="llm_prompt", config=run().config, source="x.yaml")
    words = shlex.split(snippets.as_command(run(variables={"text": HOSTILE, "n": 3}), default_registry(), [task]))
    assert words == ["python", "-m", "mcp_core", "run", "my task", "--var", f"text={HOSTILE}", "--var", "n=3"]


def test_the_command_writes_a_task_file_of_a_changed_task(tmp_path: Path) -> None:
    command = snippets.as_command(run(variables={}), default_registry())
    writing, _, calling = command.rpartition("\n")
    subprocess.run(["sh", "-c", writing], cwd=tmp_path, check=True)
    assert calling == "python -m mcp_core run task.yaml"
    written = (tmp_path / "task.yaml").read_text()
    assert LLMPromptConfig.model_validate({**json.loads(json.dumps(_yaml(written)))}) == CONFIG


def test_a_task_cannot_end_its_own_file_and_have_the_shell_run_the_rest(tmp_path: Path) -> None:
    template = "|\nEND_OF_TASK\ntouch owned\n"
    config = {"type": "gone", "x": template}
    hostile = run(variables={}, type="gone", config=config)
    raw = run(variables={}, config=LLMPromptConfig(template=template).model_dump(mode="json"))
    for command in (snippets.as_command(item, default_registry()) for item in (hostile, raw)):
        writing, _, _ = command.rpartition("\n")
        subprocess.run(["sh", "-c", writing], cwd=tmp_path, check=True)
        assert [path.name for path in tmp_path.iterdir()] == ["task.yaml"]


def _yaml(text: str) -> Any:
    import yaml

    return yaml.safe_load(text)


def test_a_task_of_a_type_that_is_gone_is_written_as_it_was() -> None:
    gone = run(type="gone", config={"type": "gone", "a": 1})
    assert json.loads(snippets.task_file(gone, default_registry())) == {"type": "gone", "a": 1}


def test_the_python_program_makes_the_same_task() -> None:
    names: dict[str, Any] = {}
    program = snippets.as_python(run()).partition("with MCPClient")[0]
    exec(program, names)
    assert LLMPromptConfig.model_validate(names["task"]) == CONFIG
    assert names["variables"] == {"text": HOSTILE}


def test_a_priority_is_part_of_either() -> None:
    assert snippets.as_command(run(priority="high"), default_registry()).endswith(" --priority high")
    assert 'client.execute(task, variables, priority="high")' in snippets.as_python(run(priority="high"))


def exchange(url: str, request: object) -> RunEvent:
    return RunEvent(run_id="r1", seq=1, kind="exchange", at=utcnow(), data={"url": url, "request": request})


BEARER = {"Authorization": "Bearer $ACME_KEY"}


def test_curl_repeats_the_request_with_the_key_by_name() -> None:
    body = json.dumps({"messages": [{"role": "user", "content": HOSTILE}]})
    command = snippets.as_curl(exchange("https://a.example/v1/chat/completions", body), BEARER, "ACME_KEY")
    assert command is not None
    words = shlex.split(command)
    assert words[:2] == ["curl", "https://a.example/v1/chat/completions"]
    assert "Authorization: Bearer $ACME_KEY" in words
    assert words[-1] == body


def test_curl_of_the_anthropic_protocol_has_its_headers() -> None:
    headers = {
        "x-api-key": "$ACME_KEY",
        "anthropic-version": "2023-06-01",
        "X-Team": HOSTILE,
        "X-Not": "$ACME_KEY;$(x)",
    }
    command = snippets.as_curl(exchange("https://a.example/v1/messages", "{}"), headers, "ACME_KEY")
    assert command is not None
    assert '-H "x-api-key: $ACME_KEY"' in command
    words = shlex.split(command.replace("\\\n", ""))
    assert words[5:12:2] == [f"{name}: {value}" for name, value in headers.items()]
    assert '"X-' not in command


@pytest.mark.parametrize(
    "event", [None, exchange("https://a.example", '{"cut": "of'), exchange("https://a.example", 3)]
)
def test_there_is_no_curl_without_a_whole_request(event: RunEvent | None) -> None:
    assert snippets.as_curl(event, {}, "K") is None


def test_curl_without_a_key_sends_none() -> None:
    assert "Authorization" not in (
        snippets.as_curl(exchange("http://localhost/v1/chat/completions", "{}"), {}, "") or ""
    )
