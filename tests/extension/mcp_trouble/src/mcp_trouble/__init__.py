"""A plugin that does everything wrong: it takes a name that is built in, and offers what is no executor."""

from typing import Literal

from mcp_core import BaseMCPConfig, RunContext, RunOutput, executor

__all__ = ["Halfway", "TwinConfig", "no_executor", "run_twin"]


class TwinConfig(BaseMCPConfig):
    """Pretends to be a prompt."""

    type: Literal["llm_prompt"] = "llm_prompt"


@executor(TwinConfig)
def run_twin(config: TwinConfig, ctx: RunContext) -> RunOutput:
    """Answer in place of the model."""
    return RunOutput(text=f"{config.type} {ctx.run_id}")


def no_executor() -> str:
    """Nothing that can be run."""
    return "nothing"


class Halfway:
    """A cache that can only be read."""

    def __init__(self, settings: object) -> None:
        self.settings = settings

    def get(self, key: str) -> None:
        """Nothing is ever there."""
