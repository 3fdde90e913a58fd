"""`--var` and `--var-file`: texts from the command line, as values of the types a task declares."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mcp_core.cli.parser import UsageError
from mcp_core.errors import ConfigurationError
from mcp_core.types.variables import VariableSpec

__all__ = ["MAX_FILE_BYTES", "read_variables"]

MAX_FILE_BYTES = 4_000_000
"""Largest file a variable is read from; a variable's text is at most a million characters, each at most 4 bytes."""


def read_variables(
    pairs: Sequence[str], file_pairs: Sequence[str], specs: Mapping[str, VariableSpec]
) -> dict[str, Any]:
    """The variables that were typed, by name.

    Args:
        pairs: `name=value` each.
        file_pairs: `name=path` each; the path `-` is standard input.
        specs: what the task declares; says which values are JSON.

    Raises:
        ConfigurationError: a pair is not one, a name comes twice, a file cannot be read, or a value is not JSON.
    """
    texts: dict[str, str] = {}
    for option, items in (("--var", pairs), ("--var-file", file_pairs)):
        for item in items:
            name, separator, value = item.partition("=")
            name = name.strip()
            if not separator or not name:
                raise UsageError(f"{option}: found {item!r}, allowed is NAME=VALUE.", hint="Quote what has spaces.")
            if name in texts:
                raise UsageError(f"{option}: the variable `{name}` is given twice.", hint="Give it once.")
            texts[name] = value if option == "--var" else _content(name, value)
    return {name: _value(name, text, specs.get(name)) for name, text in texts.items()}


def _content(name: str, path: str) -> str:
    try:
        if path == "-":
            data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigurationError(
                f"--var-file {name}: {path} is larger than {MAX_FILE_BYTES:,} bytes.", hint="Shorten it."
            )
        return data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(
            f"--var-file {name}: {path} cannot be read: {error.strerror}.", hint="Check the path.", field=name
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"--var-file {name}: {path} is not text in UTF-8.", hint="Convert it first.", field=name
        ) from None


def _value(name: str, text: str, spec: VariableSpec | None) -> Any:
    if spec is None:
        return text
    for choice in spec.choices:
        # A choice may be a number; what is typed is its text.
        if text == choice or (not isinstance(choice, str) and text == json.dumps(choice)):
            return choice
    if spec.type == "json":
        try:
            return json.loads(text)
        except ValueError as error:
            raise ConfigurationError(
                f"The variable `{name}` is {text[:80]!r}, allowed is JSON: {error}.",
                hint=f"Quote it for the shell: --var '{name}={{\"key\": 1}}'.",
                field=name,
            ) from None
    return text
