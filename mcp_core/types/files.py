"""Task files: a config as YAML or JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mcp_core.errors import ConfigurationError
from mcp_core.types.base import BaseMCPConfig
from mcp_core.types.registry import Registry

__all__ = ["MAX_FILE_BYTES", "TASK_SUFFIXES", "dump_task", "load_task", "parse_task"]

TASK_SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILE_BYTES = 2_000_000
MAX_ALIASES = 100
"""YAML aliases allowed in one file: a handful is convenience, thousands are an attack on memory."""


class _Loader(yaml.SafeLoader):
    """The safe loader, with aliases counted."""

    aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                raise yaml.YAMLError(f"more than {MAX_ALIASES} aliases")
        return super().compose_node(parent, index)


def load_task(path: Path, registry: Registry) -> BaseMCPConfig:
    """Read a task file.

    Raises:
        ConfigurationError: the file is missing, too large, not YAML or JSON, or not a valid config; it names file,
            field, what was found and what is allowed.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigurationError(f"{path.name} is larger than {MAX_FILE_BYTES:,} bytes.", hint="Is it a task file?")
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigurationError(f"There is no task file {path}.", hint="Check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.") from None
    return parse_task(text, registry, source=str(path))


def parse_task(text: str, registry: Registry, *, source: str) -> BaseMCPConfig:
    """The config written in `text`; JSON if `source` ends in `.json`, else YAML.

    Raises:
        ConfigurationError: as `load_task`.
    """
    try:
        raw = json.loads(text) if source.endswith(".json") else yaml.load(text, Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{source} cannot be parsed{_place_of(error)}: {_words_of(error)}.",
            record=f"{Path(source).name} cannot be parsed{_place_of(error)}.",
        ) from None
    if raw is None:
        raise ConfigurationError(f"{source} is empty.", hint="A task file starts with `type: llm_prompt`.")
    if not isinstance(raw, Mapping):
        raise ConfigurationError(
            f"{source}: found {type(raw).__name__}, allowed is a mapping of field names to values.",
            hint="A task file starts with `type: llm_prompt`.",
        )
    return registry.parse(raw, source=source)


def _words_of(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        return ", ".join(filter(None, (error.context, error.problem))) or "it is no YAML"
    if isinstance(error, yaml.reader.ReaderError):
        return f"{error.reason} (character {error.position + 1:,})"
    return error.msg if isinstance(error, json.JSONDecodeError) else " ".join(str(error).split())


def _place_of(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f": line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
    return f": line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""


def dump_task(config: BaseMCPConfig) -> str:
    """The config as YAML: what differs from the defaults, `type` first."""
    data = config.model_dump(mode="json", exclude_defaults=True)
    data = {"type": config.type, **{name: value for name, value in data.items() if name != "type"}}
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
