"""`llm_prompt`: a template with variables, asked of a chat model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for
from pydantic import Field, JsonValue, field_validator

from mcp_core.errors import ConfigurationError
from mcp_core.models import RunOutput
from mcp_core.providers.base import ChatRequest, Message
from mcp_core.providers.llm import DEFAULT_MODEL
from mcp_core.types import templates
from mcp_core.types.base import MODEL_PATTERN, BaseMCPConfig, RunContext, executor
from mcp_core.types.variables import VariableSpec

__all__ = ["LLMPromptConfig", "chat_request", "run_llm_prompt"]


class LLMPromptConfig(BaseMCPConfig):
    """A prompt template with variables for a chat model."""

    type: Literal["llm_prompt"] = Field("llm_prompt", title="Type", json_schema_extra={"hidden": True})
    template: str = Field(
        min_length=1,
        max_length=500_000,
        title="Prompt template",
        description="Jinja2: {{ name }} is a variable; it need not be declared.",
        examples=["Summarise in one sentence: {{ text }}"],
        json_schema_extra={"widget": "textarea"},
    )
    system_prompt: str = Field(
        "",
        max_length=500_000,
        title="System prompt",
        description="What the model is told about its role. May use the same variables.",
        examples=["You are a careful editor."],
        json_schema_extra={"widget": "textarea"},
    )
    model: str = Field(
        DEFAULT_MODEL,
        pattern=MODEL_PATTERN,
        max_length=300,
        title="Model",
        description="Written provider/model.",
        examples=[DEFAULT_MODEL],
        json_schema_extra={"widget": "model"},
    )
    fallbacks: tuple[
        Annotated[
            str,
            Field(
                pattern=MODEL_PATTERN,
                max_length=300,
                title="Fallback",
                examples=["openai/gpt-4o-mini"],
                json_schema_extra={"widget": "model"},
            ),
        ],
        ...,
    ] = Field(
        (),
        max_length=8,
        title="Fallbacks",
        description="Models asked in turn where the one before is down, overloaded or missing.",
        json_schema_extra={"advanced": True},
    )
    temperature: float = Field(
        0.0,
        ge=0,
        le=2,
        title="Temperature",
        description="0 is steady, 1 varied.",
        json_schema_extra={"group": "Sampling"},
    )
    top_p: float | None = Field(
        None,
        gt=0,
        le=1,
        title="Top p",
        description="Share of the likeliest tokens that are considered; empty for the server's default.",
        json_schema_extra={"advanced": True, "group": "Sampling"},
    )
    max_tokens: int = Field(
        512,
        ge=1,
        le=1_000_000,
        title="Longest answer",
        description="The answer is cut there.",
        json_schema_extra={"unit": "tokens", "group": "Sampling"},
    )
    stop_sequences: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        (),
        max_length=16,
        title="Stop sequences",
        description="Texts at which the answer ends.",
        json_schema_extra={"advanced": True},
    )
    presence_penalty: float | None = Field(
        None, ge=-2, le=2, title="Presence penalty", json_schema_extra={"advanced": True, "group": "Sampling"}
    )
    frequency_penalty: float | None = Field(
        None, ge=-2, le=2, title="Frequency penalty", json_schema_extra={"advanced": True, "group": "Sampling"}
    )
    seed: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        title="Seed",
        description="The same seed gives the same answer, where the server honours it.",
        json_schema_extra={"advanced": True, "group": "Sampling"},
    )
    output_schema: dict[str, JsonValue] | None = Field(
        None,
        title="Output schema",
        description="JSON schema the answer has to match; the run's data is then the parsed answer.",
        json_schema_extra={"advanced": True, "widget": "json"},
    )
    samples: int = Field(
        1,
        ge=1,
        le=20,
        title="Samples",
        description="How many answers to ask for; each is remembered by itself.",
        json_schema_extra={"advanced": True},
    )

    @field_validator("template", "system_prompt")
    @classmethod
    def _compiles(cls, value: str, info: Any) -> str:
        try:
            templates.find_variables(value, field=info.field_name)
        except ConfigurationError as error:
            raise ValueError(error.message) from None
        return value

    @field_validator("output_schema")
    @classmethod
    def _is_a_schema(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            try:
                validator_for(value).check_schema(value)
            except SchemaError as error:
                raise ValueError(f"not a JSON schema: {error.message}") from None
        return value

    def variable_specs(self) -> dict[str, VariableSpec]:
        """Declared variables first, then those the templates use without declaring them: required texts."""
        specs = dict(self.variables)
        for field in ("system_prompt", "template"):
            for name in templates.find_variables(getattr(self, field), field=field):
                specs.setdefault(name, VariableSpec())
        return specs

    def asked_model(self) -> str:
        """The model asked."""
        return self.model

    def planned_requests(self, variables: Mapping[str, Any]) -> Sequence[ChatRequest]:
        """One request for each sample."""
        request = chat_request(self, dict(variables))
        return [replace(request, sample=sample) for sample in range(self.samples)]


def chat_request(config: LLMPromptConfig, variables: dict[str, Any], *, sample: int = 0) -> ChatRequest:
    """The request a run of `config` sends: templates rendered, sampling settings taken over.

    Raises:
        ConfigurationError: a template cannot be rendered with these variables.
    """
    messages = [Message("user", templates.render(config.template, variables))]
    if config.system_prompt:
        system = templates.render(config.system_prompt, variables, field="system_prompt")
        messages.insert(0, Message("system", system))
    return ChatRequest(
        model=config.model,
        messages=tuple(messages),
        temperature=config.temperature,
        top_p=config.top_p,
        max_tokens=config.max_tokens,
        stop=config.stop_sequences,
        presence_penalty=config.presence_penalty,
        frequency_penalty=config.frequency_penalty,
        seed=config.seed,
        output_schema=config.output_schema,
        sample=sample,
        fallbacks=tuple(model for model in dict.fromkeys(config.fallbacks) if model != config.model),
    )


@executor(LLMPromptConfig, interruptible=True)
def run_llm_prompt(config: LLMPromptConfig, ctx: RunContext) -> RunOutput:
    """Ask for each sample in turn. With several samples the text is the first and the data is the list of all."""
    answers = []
    for sample in range(config.samples):
        if config.samples > 1:
            ctx.emit("progress", {"done": sample, "total": config.samples, "unit": "samples"})
        answers.append(ctx.llm.complete(chat_request(config, dict(ctx.variables), sample=sample)))
    if len(answers) == 1:
        return RunOutput(text=answers[0].text, data=answers[0].data)
    return RunOutput(
        text=answers[0].text,
        data={"samples": [{"text": a.text, "data": a.data, "finish_reason": a.finish_reason} for a in answers]},
    )
