"""What executors get as `ctx.llm`: calls to models on behalf of one run."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from mcp_core.errors import APIError, ConfigurationError, ExecutionError, PermissionDeniedError
from mcp_core.providers.base import CallScope, ChatRequest, Completion, Message

__all__ = ["DEFAULT_MODEL", "Completer", "RunLLM"]

DEFAULT_MODEL = "local/smollm2-135m-instruct"
"""The built-in model: needs no key and no network once it has been fetched."""


class Completer(Protocol):
    """What `RunLLM` needs of the providers: one call."""

    def complete(self, request: ChatRequest, scope: CallScope) -> Completion:
        """The answer to `request`, from the cache or from the model server."""
        ...


class RunLLM:
    """Calls models for one run: cached, limited, retried, priced, and counted.

    Args:
        providers: where the calls go.
        scope: the run's limits, labels and ears.
        on_completion: told of every finished call, hits included; the run adds up usage and cost there.
        on_failure: told of every call that came to nothing, also where the executor goes on.
    """

    def __init__(
        self,
        providers: Completer,
        scope: CallScope,
        on_completion: Callable[[Completion], None],
        on_failure: Callable[[APIError | ExecutionError | PermissionDeniedError], None] = lambda _: None,
    ) -> None:
        self._providers = providers
        self._scope = scope
        self._on_completion = on_completion
        self._on_failure = on_failure

    def complete(
        self,
        request: ChatRequest | None = None,
        *,
        prompt: str = "",
        model: str = DEFAULT_MODEL,
        system: str = "",
        schema: Mapping[str, Any] | None = None,
        **sampling: Any,
    ) -> Completion:
        """Ask a model, either with a whole `request` or with the short form.

        Args:
            request: everything about the call; the other arguments are then left alone.
            prompt: the user's message of the short form.
            model: `provider/model`.
            system: the system message; none where empty.
            schema: JSON schema the answer has to match; `data` of the completion is then the parsed answer.
            **sampling: other fields of `ChatRequest`: `temperature`, `max_tokens`, `seed`, `sample`, ...

        Raises:
            ConfigurationError: the model or a sampling name is unknown, or a key is missing.
            APIError: the server answered wrongly or not at all.
            ExecutionError: the answer does not match the schema, or the run was stopped.
            PermissionDeniedError: the call may cost more than a budget has left.
        """
        if request is None:
            messages = [Message("user", prompt)]
            if system:
                messages.insert(0, Message("system", system))
            try:
                request = ChatRequest(model=model, messages=tuple(messages), output_schema=schema, **sampling)
            except TypeError:
                allowed = sorted(set(ChatRequest.__dataclass_fields__) - {"model", "messages", "output_schema"})
                unknown = sorted(set(sampling) - set(allowed)) or sorted(sampling)
                raise ConfigurationError(
                    f"{', '.join(unknown)} is no sampling setting.", hint=f"Allowed are {', '.join(allowed)}."
                ) from None
        try:
            completion = self._providers.complete(request, self._scope)
        except (APIError, ExecutionError, PermissionDeniedError) as error:
            self._on_failure(error)
            raise
        self._on_completion(completion)
        return completion
