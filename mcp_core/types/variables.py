"""Variables of a task: what is declared, and the pydantic model that checks what a run is given."""

import datetime as dt
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, create_model, model_validator

from mcp_core.errors import ConfigurationError

__all__ = ["FIELD_PREFIX", "VariableSpec", "validate_variables", "variables_model"]

FIELD_PREFIX = "v_"
"""The field of the variable `text` is `v_text`, with `text` as its alias."""

VariableType = Literal["string", "text", "integer", "number", "boolean", "date", "json"]

_PYTHON_TYPES: dict[str, Any] = {
    "string": str,
    "text": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "date": dt.date,
    "json": JsonValue,
}
_WORDS: dict[str, str] = {
    "string": "text",
    "text": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "yes or no",
    "date": "a date as 2026-01-31",
    "json": "JSON",
}
# A number given for a text is that text: templates print both alike.
_CONFIG = ConfigDict(extra="forbid", validate_default=True, frozen=True, coerce_numbers_to_str=True)

MAX_TEXT = 1_000_000
"""Longest text of one variable, in characters."""


class VariableSpec(BaseModel):
    """Declaration of one variable. Without a default it is required."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: VariableType = Field("text", title="Type", description="`text` is `string` with room for many lines.")
    default: JsonValue = Field(
        None, title="Default", description="Used where a run names no value; null makes it required."
    )
    description: str = Field("", max_length=500, title="Description")
    choices: tuple[JsonValue, ...] = Field((), title="Choices", description="The only values allowed; empty for any.")

    @model_validator(mode="after")
    def _default_is_allowed(self) -> "VariableSpec":
        if self.choices and self.default is not None and self.default not in self.choices:
            raise ValueError(f"the default {self.default!r} is not one of the choices {list(self.choices)!r}")
        return self


def variables_model(specs: Mapping[str, VariableSpec]) -> type[BaseModel]:
    """A pydantic model with one field per variable: the form is drawn from it and every door validates with it."""
    return _model(tuple((name, spec.model_dump_json()) for name, spec in specs.items()))


@lru_cache(maxsize=512)
def _model(specs: tuple[tuple[str, str], ...]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for name, dumped in specs:
        spec = VariableSpec.model_validate_json(dumped)
        python_type = _PYTHON_TYPES[spec.type]
        if spec.choices:
            python_type = Literal[spec.choices]
        bounds: dict[str, Any] = {"max_length": MAX_TEXT} if python_type is str else {}
        fields[f"{FIELD_PREFIX}{name}"] = (
            python_type,
            Field(
                ... if spec.default is None else spec.default,
                # The alias carries the name: a variable may be called `copy` or `model_config`, a field may not.
                # The field is named after it all the same, so that a form keeps what was typed when others come or go.
                alias=name,
                title=name.replace("_", " ").capitalize(),
                description=spec.description or None,
                json_schema_extra={"widget": "textarea"} if spec.type == "text" and not spec.choices else None,
                **bounds,
            ),
        )
    return create_model("Variables", __config__=_CONFIG, **fields)


def validate_variables(specs: Mapping[str, VariableSpec], given: Mapping[str, Any]) -> dict[str, Any]:
    """Check `given` against `specs`; returns every variable with its value, defaults filled in.

    Strings are converted to the declared type, since the command line and URLs have no other.

    Raises:
        ConfigurationError: a variable is missing, unknown, or has a wrong value; it names them all.
    """
    model = variables_model(specs)
    try:
        checked = model.model_validate(dict(given))
    except ValidationError as error:
        raise ConfigurationError(
            " ".join(_sentence(item, specs) for item in error.errors(include_url=False)[:10]),
            hint="Give: " + ", ".join(f"{name} ({_allowed(spec)})" for name, spec in specs.items()) + "."
            if specs
            else "The task takes no variables.",
            field="variables",
        ) from None
    return checked.model_dump(by_alias=True)


def _sentence(item: Any, specs: Mapping[str, VariableSpec]) -> str:
    name = str(item["loc"][0])
    if item["type"] == "missing":
        return f"The variable `{name}` is missing."
    if item["type"] == "extra_forbidden":
        return f"The task has no variable `{name}`."
    if item["type"] == "string_too_long":
        return f"The variable `{name}` has more than {MAX_TEXT:,} characters."
    return f"The variable `{name}` is {str(item['input'])[:80]!r}, allowed is {_allowed(specs[name])}."


def _allowed(spec: VariableSpec) -> str:
    if not spec.choices:
        return _WORDS[spec.type]
    choices = [choice if isinstance(choice, str) else json.dumps(choice) for choice in spec.choices]
    return f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0]
