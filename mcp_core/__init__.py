"""Model Control Panel: define, run, cache, follow and share model-based tasks.

from mcp_core import LLMPromptConfig, MCPClient

with MCPClient() as client:
    run = client.execute(LLMPromptConfig(template="Say hello to {{ name }}."), {"name": "Ada"})
    print(run.output.text)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from loguru import logger

from mcp_core.errors import (
    APIError,
    CacheError,
    CircuitOpenError,
    ConfigurationError,
    ExecutionError,
    MCPError,
    OutputMismatchError,
    PermissionDeniedError,
    ResourceLimitError,
    RunCancelledError,
    RunInterruptedError,
    RunTimeoutError,
    StoreError,
)

if TYPE_CHECKING:
    from mcp_core.api.client import MCPClient
    from mcp_core.api.handle import RunHandle
    from mcp_core.cache.base import Cache, Entry
    from mcp_core.logs import configure_logs
    from mcp_core.models import Actor, Artifact, Attempt, CacheOutcome, Run, RunEvent, RunOutput, RunStatus, Usage
    from mcp_core.settings import Settings, load_settings
    from mcp_core.store import RunFilter
    from mcp_core.types.base import BaseMCPConfig, MCPType, RunContext, executor
    from mcp_core.types.llm_prompt import LLMPromptConfig
    from mcp_core.types.registry import Registry

__version__ = "0.1.0"

# A library is silent until its host asks to hear it: `configure_logs` does.
logger.disable("mcp_core")

__all__ = [
    "APIError",
    "Actor",
    "Artifact",
    "Attempt",
    "BaseMCPConfig",
    "Cache",
    "CacheError",
    "CacheOutcome",
    "CircuitOpenError",
    "ConfigurationError",
    "Entry",
    "ExecutionError",
    "LLMPromptConfig",
    "MCPClient",
    "MCPError",
    "MCPType",
    "OutputMismatchError",
    "PermissionDeniedError",
    "Registry",
    "ResourceLimitError",
    "Run",
    "RunCancelledError",
    "RunContext",
    "RunEvent",
    "RunFilter",
    "RunHandle",
    "RunInterruptedError",
    "RunOutput",
    "RunStatus",
    "RunTimeoutError",
    "Settings",
    "StoreError",
    "Usage",
    "__version__",
    "configure_logs",
    "executor",
    "load_settings",
]

# Imported when first asked for: the command line has to answer `--help` before SQLAlchemy and requests have loaded.
_HOMES = {
    "mcp_core.api.client": ("MCPClient",),
    "mcp_core.api.handle": ("RunHandle",),
    "mcp_core.cache.base": ("Cache", "Entry"),
    "mcp_core.logs": ("configure_logs",),
    "mcp_core.models": (
        "Actor",
        "Artifact",
        "Attempt",
        "CacheOutcome",
        "Run",
        "RunEvent",
        "RunOutput",
        "RunStatus",
        "Usage",
    ),
    "mcp_core.settings": ("Settings", "load_settings"),
    "mcp_core.store": ("RunFilter",),
    "mcp_core.types.base": ("BaseMCPConfig", "MCPType", "RunContext", "executor"),
    "mcp_core.types.llm_prompt": ("LLMPromptConfig",),
    "mcp_core.types.registry": ("Registry",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        value = getattr(import_module(_HOME_OF[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
