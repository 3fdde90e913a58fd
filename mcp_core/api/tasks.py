"""Tasks that can be run by name: task files of the data directory and the examples."""

from pathlib import Path

from mcp_core.errors import ConfigurationError
from mcp_core.models import TaskDefinition
from mcp_core.types.base import BaseMCPConfig
from mcp_core.types.files import TASK_SUFFIXES, load_task, parse_task
from mcp_core.types.registry import Registry

__all__ = ["TaskService"]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
"""The examples of a clone; an installed package has none."""


class TaskService:
    """Task files. Reached as `client.tasks`.

    Args:
        directories: where named tasks are looked for, the first wins.
    """

    def __init__(self, registry: Registry, directories: tuple[Path, ...]) -> None:
        self._registry = registry
        self._directories = directories
        self.broken: dict[str, str] = {}
        """File -> why it was left out of the last `list`."""

    def list(self) -> "list_[TaskDefinition]":
        """All tasks that can be read, by name. Files that cannot are in `broken`."""
        found: dict[str, TaskDefinition] = {}
        self.broken = {}
        for directory in self._directories:
            for path in sorted(directory.glob("*")) if directory.is_dir() else ():
                if path.suffix not in TASK_SUFFIXES or path.stem in found:
                    continue
                try:
                    config = load_task(path, self._registry)
                except ConfigurationError as error:
                    self.broken[path.name] = str(error)
                    continue
                found[path.stem] = TaskDefinition(
                    name=path.stem, type=config.type, config=config.model_dump(mode="json"), source=str(path)
                )
        return sorted(found.values(), key=lambda task: task.name)

    def load(self, name: str | Path) -> BaseMCPConfig:
        """The config of a task, by the path of its file or by its name.

        Raises:
            ConfigurationError: there is no such task, or its file is wrong.
        """
        path = self.path_of(name)
        if path is not None:
            return load_task(path, self._registry)
        names = ", ".join(task.name for task in self.list()) or "none yet"
        raise ConfigurationError(
            f"There is no task {str(name)!r}.", hint=f"Name a task file, or one of these tasks: {names}."
        )

    def path_of(self, name: str | Path) -> Path | None:
        """The file of a task, by its path (there or not) or by its name; None where no task is so named."""
        path = Path(name)
        if path.suffix in TASK_SUFFIXES:
            return path
        candidates = (directory / f"{name}{suffix}" for directory in self._directories for suffix in TASK_SUFFIXES)
        return next((found for found in candidates if path.name == str(name) and found.is_file()), None)

    def parse(self, text: str, *, source: str) -> BaseMCPConfig:
        """The config written in `text`, YAML or (if `source` ends in `.json`) JSON."""
        return parse_task(text, self._registry, source=source)


list_ = list
