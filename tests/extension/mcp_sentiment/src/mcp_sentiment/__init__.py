"""A task type that scores the mood of a text, and a client that asks for it in one call."""

from typing import Literal

from pydantic import Field

from mcp_core import BaseMCPConfig, MCPClient, Run, RunContext, RunOutput, executor

__all__ = ["MoodClient", "SentimentConfig", "run_sentiment"]

SCHEMA = {
    "type": "object",
    "properties": {"mood": {"enum": ["glad", "sad", "neither"]}},
    "required": ["mood"],
    "additionalProperties": False,
}


class SentimentConfig(BaseMCPConfig):
    """Score the mood of a text."""

    type: Literal["sentiment"] = "sentiment"
    text: str = Field(title="Text", description="What to score.", max_length=10_000)
    care: int = Field(
        3, ge=1, le=5, title="Care", description="How closely to read.", json_schema_extra={"widget": "stars"}
    )
    model: str = Field(
        "local/smollm2-135m-instruct",
        pattern=r"^[A-Za-z0-9_.-]+/\S+$",
        title="Model",
        json_schema_extra={"widget": "model"},
    )

    def asked_model(self) -> str:
        """The model asked."""
        return self.model


@executor(SentimentConfig)
def run_sentiment(config: SentimentConfig, ctx: RunContext) -> RunOutput:
    """Ask the model for one of three words."""
    prompt = f"Read this {config.care} times. Is it glad, sad or neither?\n\n{config.text}"
    answer = ctx.llm.complete(prompt=prompt, model=config.model, schema=SCHEMA, max_tokens=20)
    return RunOutput(text=answer.data["mood"], data=answer.data)


class MoodClient(MCPClient):
    """The panel, with what our team asks most."""

    async def execute_custom(self, text: str, *, care: int = 3, model: str = "acme/small") -> Run:
        """Score the mood of `text`."""
        return await self.aexecute(SentimentConfig(name="Mood", text=text, care=care, model=model))
