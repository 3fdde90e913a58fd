"""The built-in provider: calls to a model server that is a process of ours."""

from contextlib import AbstractContextManager
from dataclasses import replace

from mcp_core.control import CancelToken
from mcp_core.errors import APIError, CircuitOpenError
from mcp_core.providers.config import BUNDLED_MODEL, ProviderConfig
from mcp_core.providers.local import LocalModel
from mcp_core.providers.local_process import LOCAL_PARALLEL
from mcp_core.providers.server import ModelServer, Progress, Resources

__all__ = ["LocalServer"]


class LocalServer(ModelServer):
    """A `ModelServer` whose address and key are those of `local`, which starts when it is first called."""

    def __init__(self, local: LocalModel, config: ProviderConfig, resources: Resources) -> None:
        # Each process has a model server of its own, so what happens there says nothing about another's.
        own = replace(resources, shared=None)
        super().__init__(config.model_copy(update={"max_concurrency": LOCAL_PARALLEL}), own)
        self._local = local

    @property
    def identity(self) -> str:
        """The model, which stays the same while its address changes with every start."""
        return self._local.identity

    @property
    def state(self) -> str:
        """State of the process, of what it needs first, or of its circuit while it is left alone."""
        state, circuit = self._local.state, self.endpoints.state
        return circuit if state in ("running", "ready", "absent") and circuit != "closed" else state

    def check_model(self, model: str) -> None:
        """As for any server; the bundled model's name stands for whatever model is served in its place."""
        if model != BUNDLED_MODEL:
            super().check_model(model)

    def ready(self, cancel: CancelToken, progress: Progress) -> tuple[str | None, str | None]:
        """Base URL and key of the process, fetched and started first where needed; raises as `LocalModel.endpoint`."""
        return self._local.endpoint(cancel, progress)

    def credential(self, key: str | None) -> str:  # noqa: ARG002
        """None: the key is one of this start alone, and everybody's answers are the same."""
        return ""

    def hold(self) -> AbstractContextManager[None]:
        """Keep the process running inside the block."""
        return self._local.using()

    def mended(self, error: APIError) -> bool:
        """Whether the process died: the next attempt starts a new one."""
        # A process that is killed closes its connections a moment before it is gone.
        return not isinstance(error, CircuitOpenError) and error.status is None and self._local.died(within=1.0)
