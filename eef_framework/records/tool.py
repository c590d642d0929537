"""Tools that an agent may call."""

from __future__ import annotations

import json
import re
from typing import Any, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from eef_framework.records.base import Info, Record

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
_TYPES = {"array", "boolean", "integer", "null", "number", "object", "string"}


class Tool(Record):
    """A tool that an agent may call, in place of writing an action.

    Also read from the format of OpenAI's API: `{"type": "function", "function": {"name": ..., "parameters": ...}}`.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """Letters, digits, `_`, `-` and `.`; up to 64 characters."""
    description: str = ""
    """What it does, for the model."""
    action: str = ""
    """The action that a call takes, with its arguments in braces: `search[{query}]`. Default: the name, with all
    parameters in brackets: `name[{first}, {second}]`."""
    parameters: Info = Field(default_factory=dict)
    """JSON schema of its arguments, an object. Default: each argument in `action` is a required string."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if isinstance(data.get("function"), dict):
            data = {key: value for key, value in {**data, **data["function"]}.items() if key in cls.model_fields}
        # Others write null for a field that is left out here.
        data = {key: value for key, value in data.items() if key not in cls.model_fields or value not in (None, "", {})}
        if "parameters" not in data and isinstance(data.get("action", ""), str):
            named = _PLACEHOLDER.findall(data.get("action", ""))
            properties = {name: {"type": "string"} for name in named}
            data["parameters"] = {"type": "object", "properties": properties, "required": named}
        if "action" not in data and isinstance(data["parameters"], dict):
            given = data["parameters"].get("properties")
            arguments = ", ".join(f"{{{name}}}" for name in given) if isinstance(given, dict) else ""
            data["action"] = f"{data.get('name', '')}[{arguments}]" if arguments else data.get("name", "")
        return data

    @model_validator(mode="after")
    def _is_callable(self) -> Self:
        given = {"name": self.name, "action": self.action, "parameters": json.dumps(self.parameters)[:300]}
        if not _is_schema(self.parameters):
            raise PydanticCustomError(
                "bad-tool-schema",
                "tool {name}: parameters is {parameters}; expected the JSON schema of an object, such as {example}",
                {**given, "example": json.dumps(Tool(name="search", action="search[{query}]").parameters)},
            )
        named = _PLACEHOLDER.findall(self.action)
        if len(named) > len(set(named)) or not set(named) <= self._properties.keys():
            raise PydanticCustomError(
                "bad-tool-action",
                "tool {name}: in {action}, braces name each parameter at most once, and nothing else; its parameters "
                "are {parameters}",
                given,
            )
        return self

    def __hash__(self) -> int:
        return hash((self.name, self.description, self.action))

    @property
    def function(self) -> dict[str, Any]:
        """The tool in the format of OpenAI's API, which chat templates take, too."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}

    def action_of(self, arguments: Any) -> str | None:
        """Return the action that a call takes; None if it has other arguments than the action."""
        if not isinstance(arguments, dict) or arguments.keys() != set(_PLACEHOLDER.findall(self.action)):
            return None
        return _PLACEHOLDER.sub(lambda name: _text(arguments[name[1]]), self.action)

    def arguments_of(self, action: str) -> dict[str, Any] | None:
        """Return the arguments of a call that takes an action; None if no call does."""
        literals, names = _PLACEHOLDER.split(self.action)[::2], _PLACEHOLDER.findall(self.action)
        found = re.fullmatch("(.*?)".join(map(re.escape, literals)), action, re.DOTALL)
        if found is None:
            return None
        try:
            arguments = {name: self._value(name, text) for name, text in zip(names, found.groups(), strict=True)}
        except (ValueError, RecursionError):
            return None
        return arguments if self.action_of(arguments) == action else None

    @property
    def _properties(self) -> dict[str, Any]:
        properties: Any = self.parameters.get("properties", {})
        return dict(properties)

    def _value(self, name: str, text: str) -> Any:
        return text if "string" in _types(self._properties[name]) else json.loads(text)


def _is_schema(schema: dict[str, Any]) -> bool:
    """Return whether a JSON schema is that of an object with named properties."""
    properties, required = schema.get("properties", {}), schema.get("required", [])
    return (
        schema.get("type") == "object"
        and isinstance(properties, dict)
        and isinstance(required, list)
        and all(isinstance(name, str) and name in properties for name in required)
        and all(isinstance(each, dict) and _is_type(each) for each in properties.values())
    )


def _is_type(schema: dict[str, Any]) -> bool:
    names = _types(schema)
    return bool(names) and all(isinstance(name, str) and name in _TYPES for name in names)


def _types(schema: dict[str, Any]) -> list[Any]:
    """Return the types that the JSON schema of an argument names."""
    given = schema.get("type", "string")
    return given if isinstance(given, list) else [given]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
