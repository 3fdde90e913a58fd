"""Which types can be run: the built-in ones and those of installed plugins, all through `Registry.register`."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from loguru import logger
from pydantic import ValidationError

from mcp_core.errors import ConfigurationError
from mcp_core.types.base import MODEL_PATTERN, BaseMCPConfig, Executor, MCPType, TypeDefinition

__all__ = ["BUILT_IN_TYPES", "ENTRY_POINT_GROUP", "Registry", "default_registry"]

ENTRY_POINT_GROUP = "mcp_core.types"

BUILT_IN_TYPES: Mapping[str, str] = {
    "llm_prompt": "mcp_core.types.llm_prompt:run_llm_prompt",
}
"""Built-in type -> its executor. Named here, not in the package's metadata, so that an uninstalled clone has them."""


_PATTERN_WORDS: Mapping[object, str] = {MODEL_PATTERN: "a model written provider/model"}
"""Pattern of a field -> what it means, for people who do not read patterns."""


class Registry:
    """The types that can be run, by name."""

    def __init__(self) -> None:
        self._types: dict[str, TypeDefinition[Any]] = {}
        self.broken: dict[str, str] = {}
        """Plugin -> why it could not be loaded."""

    def register(self, execute: Executor) -> TypeDefinition[Any]:
        """Make the type of `execute`, a function decorated with `@executor`, known.

        Raises:
            ConfigurationError: the function is not decorated, or its type's name is taken by another one.
        """
        definition = getattr(execute, "__mcp_type__", None)
        if not isinstance(definition, TypeDefinition):
            raise ConfigurationError(
                f"{getattr(execute, '__qualname__', execute)!s} is not an executor.",
                hint="Decorate it with `@executor(YourConfig)`.",
            )
        known = self._types.get(definition.name)
        if known is not None and known.execute is not execute:
            raise ConfigurationError(
                f"The type {definition.name!r} of {_origin(execute)} "
                f"is already registered by {_origin(known.execute)}.",
                hint="Give one of them another name, or uninstall it.",
                field="type",
            )
        self._types[definition.name] = definition
        MCPType.add(definition.name)
        return definition

    def load(self) -> None:
        """Register the built-in types, then every plugin's. A plugin that fails is logged and listed in `broken`."""
        for target in BUILT_IN_TYPES.values():
            module, _, attribute = target.partition(":")
            self.register(getattr(import_module(module), attribute))
        for entry in entry_points(group=ENTRY_POINT_GROUP):
            self._load_plugin(entry)

    def _load_plugin(self, entry: EntryPoint) -> None:
        try:
            self.register(entry.load())
        except ConfigurationError as error:
            self.broken[entry.name] = str(error)
            logger.error("The plugin {} was left out. {}", entry.name, error)
        except Exception as error:  # noqa: BLE001  # a plugin may raise anything while it is imported; the panel has to go on
            self.broken[entry.name] = f"{type(error).__name__}: {error}"
            logger.opt(exception=True).error("The plugin {} could not be imported and was left out.", entry.name)

    def get(self, name: str) -> TypeDefinition[Any]:
        """The type called `name`.

        Raises:
            ConfigurationError: there is none.
        """
        try:
            return self._types[name]
        except KeyError:
            raise ConfigurationError(
                f"type: found {name!r}, allowed are {', '.join(sorted(self._types))}.",
                hint=self._hint(name),
                field="type",
            ) from None

    def _hint(self, name: str) -> str:
        if close := get_close_matches(name, self._types, 1):
            return f"Did you mean {close[0]}?"
        return "Install the plugin that brings this type." if name not in set(MCPType) else ""

    def names(self) -> list[str]:
        """Names of all types, in order of registration: the built-in ones first."""
        return list(self._types)

    def parse(self, raw: Mapping[str, Any], *, source: str = "config") -> BaseMCPConfig:
        """Turn raw data into the config of its type.

        Args:
            raw: fields by name, with `type`.
            source: what errors call it, such as the file's name.

        Raises:
            ConfigurationError: it names source, field, what was found and what is allowed.
        """
        kind = raw.get("type")
        if not isinstance(kind, str):
            raise ConfigurationError(
                f"{source}: type: found {kind!r}, allowed are {', '.join(self.names())}.", field="type"
            )
        try:
            definition = self.get(kind)
        except ConfigurationError as error:
            raise ConfigurationError(f"{source}: {error.message}", hint=error.hint, field="type") from None
        try:
            return definition.config_class.model_validate(raw)
        except ValidationError as error:
            raise explain(error, definition.config_class, source) from None


def explain(error: ValidationError, config_class: type[BaseMCPConfig], source: str) -> ConfigurationError:
    """One sentence per wrong field: source, field, found, allowed."""
    sentences, records = [], []
    items = error.errors(include_url=False)
    for item in items[:10]:
        path = ".".join(str(part) for part in item["loc"]) or "schema_version"
        # Pydantic's own words say what is allowed; those of a validator may say what was found.
        own = item["type"] in ("value_error", "assertion_error")
        allowed = _PATTERN_WORDS.get(item.get("ctx", {}).get("pattern"), item["msg"])
        records.append(f"{Path(source).name}: {path}: {'wrong' if own else allowed}.")
        if item["type"] == "extra_forbidden":
            sentences.append(f"{source}: {path}: no such field; known are {', '.join(config_class.model_fields)}.")
        elif item["type"] == "missing":
            sentences.append(f"{source}: {path}: missing.")
        elif own:
            # A validator's own words are whole sentences, some of them with their full stop.
            said = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ").rstrip(".")
            sentences.append(f"{source}: {f'{path}: ' if item['loc'] else ''}{said}.")
        else:
            sentences.append(f"{source}: {path}: found {str(item['input'])[:80]!r}, allowed: {allowed}.")
    first = items[0]["loc"]
    return ConfigurationError("\n".join(sentences), field=".".join(map(str, first)) or None, record="\n".join(records))


def _origin(execute: Executor) -> str:
    return f"{getattr(execute, '__module__', '?')}.{getattr(execute, '__qualname__', '?')}"


def default_registry() -> Registry:
    """A registry with the built-in types and all installed plugins."""
    registry = Registry()
    registry.load()
    return registry
