"""Everything an author of an MCP type needs: the base config, the executor decorator and what a run is given.

A type is a pydantic config beside a function that runs it::

    class SentimentConfig(BaseMCPConfig):
        type: Literal["sentiment"] = "sentiment"
        text: str = Field(title="Text", description="What to score.")

    @executor(SentimentConfig)
    def run_sentiment(config: SentimentConfig, ctx: RunContext) -> RunOutput:
        answer = ctx.llm.complete(prompt=f"Is this glad or sad? {config.text}")
        return RunOutput(text=answer.text)
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from mcp_core.control import CancelToken
from mcp_core.errors import ConfigurationError
from mcp_core.models import Actor, Artifact, RunOutput
from mcp_core.providers.base import CachePolicy, ChatRequest
from mcp_core.providers.llm import RunLLM
from mcp_core.settings import LONGEST_TTL
from mcp_core.types.variables import VariableSpec

__all__ = [
    "MODEL_PATTERN",
    "BaseMCPConfig",
    "CacheConfig",
    "Executor",
    "MCPType",
    "Remember",
    "RunContext",
    "TypeDefinition",
    "executor",
]

MODEL_PATTERN = r"^[A-Za-z0-9_.-]+/\S+$"
"""Pattern of a field that names a model: provider/model."""


class MCPType(StrEnum):
    """Names of the types: the built-in ones as members, and any registered one by value.

    `MCPType("sentiment")` works once a plugin has registered `sentiment`; iteration lists the built-ins alone.
    """

    LLM_PROMPT = "llm_prompt"
    JUPYTER_NOTEBOOK = "jupyter_notebook"
    PYTHON_SCRIPT = "python_script"
    AI_ASSISTANT = "ai_assistant"

    @classmethod
    def add(cls, name: str) -> "MCPType":
        """Make `name` a valid value; returns it."""
        if name in cls._value2member_map_:
            return cls(name)
        member = str.__new__(cls, name)
        member._name_ = name.upper()
        member._value_ = name
        cls._value2member_map_[name] = member
        return member


class CacheConfig(BaseModel):
    """How a task treats the cache. In a task file `cache: refresh` is short for `cache: {mode: refresh}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["use", "refresh", "bypass", "only"] = Field(
        "use",
        title="Cache",
        description="use: answer from the cache where it can; refresh: ask again and remember; "
        "bypass: neither; only: never ask.",
    )
    ttl: float | None = Field(
        None,
        gt=0,
        le=LONGEST_TTL,
        title="Fresh for",
        description="How long a new answer stays fresh; empty for the panel's default.",
        json_schema_extra={"unit": "s"},
    )

    def policy(self) -> CachePolicy:
        """The same, as providers take it."""
        return CachePolicy(mode=self.mode, ttl_seconds=self.ttl)


def _cache_shorthand(value: object) -> object:
    return {"mode": value} if isinstance(value, str) else value


class BaseMCPConfig(BaseModel):
    """What the config of every type has. Frozen; unknown fields are refused.

    A config carries `schema_version`. One older than the class is upgraded step by step by `upgrades`, a newer one
    is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    current_version: ClassVar[int] = 1
    upgrades: ClassVar[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = MappingProxyType({})
    """version -> function that turns a raw config of that version into one of the next."""

    schema_version: int = Field(1, ge=1, title="Schema version", json_schema_extra={"hidden": True})
    type: str = Field(title="Type", description="The MCP type of this task.", json_schema_extra={"hidden": True})
    name: str = Field(
        "", max_length=200, title="Name", description="What the history calls it.", examples=["Summarise a text"]
    )
    description: str = Field(
        "",
        max_length=5000,
        title="Description",
        description="What it is for.",
        json_schema_extra={"advanced": True, "widget": "textarea"},
    )
    tags: tuple[str, ...] = Field(
        (), max_length=50, title="Tags", description="Words to find it by.", json_schema_extra={"advanced": True}
    )
    metadata: dict[str, JsonValue] = Field(
        default_factory=dict,
        title="Metadata",
        description="Anything you want to keep with it, as JSON.",
        json_schema_extra={"advanced": True, "widget": "json"},
    )
    variables: dict[str, VariableSpec] = Field(
        default_factory=dict,
        title="Declared variables",
        description="Type, default and choices of the variables a run is given.",
        json_schema_extra={"advanced": True},
    )
    timeout: float = Field(
        300.0,
        gt=0,
        le=86_400,
        title="Time limit",
        description="A run that takes longer is stopped.",
        json_schema_extra={"advanced": True, "unit": "s"},
    )
    max_retries: int = Field(
        2,
        ge=0,
        le=10,
        title="Retries",
        description="How often a call that failed for a passing reason is repeated.",
        json_schema_extra={"advanced": True},
    )
    cache: Annotated[CacheConfig, BeforeValidator(_cache_shorthand)] = Field(
        default_factory=CacheConfig, title="Cache", json_schema_extra={"advanced": True}
    )

    @model_validator(mode="before")
    @classmethod
    def _upgrade(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        raw = dict(data)
        version = raw.get("schema_version", cls.current_version)
        if not isinstance(version, int) or version < 1:
            return raw
        if version > cls.current_version:
            raise ValueError(
                f"found version {version}, allowed up to {cls.current_version}: update Model Control Panel to read it"
            )
        while version < cls.current_version:
            raw = cls.upgrades[version](raw)
            version += 1
        return {**raw, "schema_version": version}

    def variable_specs(self) -> dict[str, VariableSpec]:
        """The variables a run of this task takes, by name. Types that find variables by themselves add those."""
        return dict(self.variables)

    def planned_requests(self, variables: Mapping[str, Any]) -> Sequence[ChatRequest]:  # noqa: ARG002  # for types that know
        """The model calls a run with these variables is going to make, as far as that is known before it runs.

        What they may cost is reserved in the budgets before the run begins, and shown before it is started. A type
        that does not know its calls need not say so: each is then looked at when it is made.

        Raises:
            ConfigurationError: they cannot be made from these variables.
        """
        return ()

    def asked_model(self) -> str | None:
        """The `provider/model` this task asks first; None for types without one."""
        return None


ConfigT = TypeVar("ConfigT", bound=BaseMCPConfig, contravariant=True)


class Remember(Protocol):
    """What executors get as `ctx.remember`."""

    def __call__(self, key_parts: Mapping[str, JsonValue], make: Callable[[], Any], *, ttl: float | None = None) -> Any:
        """What `make` returns, from the cache where the same was made before.

        The key covers `key_parts`, the type with its `current_version`, and the team. The task's cache policy is kept
        to, equal work at the same time is done once, and the run's record tells what the cache did.

        Args:
            key_parts: all that the result depends on, by name: code, inputs, versions of what is used.
            make: does the work; returns what JSON can say, and gets it back as JSON has it.
            ttl: seconds a new result stays fresh, where the task does not say; None for the panel's default.

        Raises:
            ConfigurationError: the parts or the result are not JSON.
            ExecutionError: the policy is `only` and the cache has nothing, or the run was stopped.
        """
        ...


def _make_anew(key_parts: Mapping[str, JsonValue], make: Callable[[], Any], *, ttl: float | None = None) -> Any:  # noqa: ARG001  (the form of `Remember`)
    """Remember nothing: for a context that has no cache."""
    return make()


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a run is given: everything an executor may reach.

    Attributes:
        variables: validated values by name, defaults filled in.
        llm: calls models: cached, limited, retried, priced, and counted towards this run.
        cancel: ask `ctx.cancel.check()` in long loops; it raises when the run should stop.
        emit: report an event: `ctx.emit("progress", {"done": 3, "total": 10})`. Data is JSON-compatible.
        save_artifact: keep a file with the run: `(name, content, media_type)`.
        remember: `ctx.remember({"code": code, "inputs": inputs}, make)` is what `make()` returns, from the cache where
            the same was made before; see `Remember`.
    """

    run_id: str
    actor: Actor
    variables: Mapping[str, Any]
    llm: RunLLM
    cancel: CancelToken
    emit: Callable[[str, Mapping[str, Any]], None]
    save_artifact: Callable[[str, bytes, str], Artifact]
    remember: Remember = _make_anew


Executor = Callable[[Any, RunContext], RunOutput | Awaitable[RunOutput]]


@dataclass(frozen=True, slots=True)
class TypeDefinition(Generic[ConfigT]):
    """A type as the registry knows it: its name, its config class, and the function that runs it.

    `interruptible` types return soon after their run's token is cancelled, so a caller that waits anyway may lend its
    own thread to them.
    """

    name: str
    config_class: type[BaseMCPConfig]
    execute: Executor
    interruptible: bool = False

    @property
    def title(self) -> str:
        """Its name for people: `llm_prompt` is "LLM prompt"."""
        words = self.name.split("_")
        known = {"llm": "LLM", "ai": "AI"}
        return " ".join([known.get(words[0], words[0].capitalize()), *words[1:]])


F = TypeVar("F", bound=Executor)


def executor(config_class: type[BaseMCPConfig], *, interruptible: bool = False) -> Callable[[F], F]:
    """Declare that the decorated function, plain or `async def`, runs configs of `config_class`.

    The function is unchanged; hand it to `Registry.register`, or name it in the entry point group `mcp_core.types`.

    Args:
        interruptible: promise that it returns within a moment of its run being cancelled, wherever it is: that it
            spends its time in `ctx.llm`, or asks `ctx.cancel` often. `MCPClient.execute` then saves two thread
            switches by running it on its caller's thread. Others always run on a worker, which can be given up.

    Raises:
        ConfigurationError: the config's `type` field has no default to name the type by.
    """
    name = config_class.model_fields["type"].default
    if not isinstance(name, str):
        raise ConfigurationError(
            f"{config_class.__name__}.type has no default.",
            hint='Declare it as `type: Literal["my_type"] = "my_type"`.',
            field="type",
        )

    def mark(function: F) -> F:
        function.__mcp_type__ = TypeDefinition(name, config_class, function, interruptible)  # type: ignore[attr-defined]  # functions take attributes
        return function

    return mark
