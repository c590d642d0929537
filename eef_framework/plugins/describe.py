"""Components in words: for `eef plugins` and the generated reference."""

from __future__ import annotations

import inspect
import json
import typing
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined


class Setting(typing.NamedTuple):
    """A setting as it is shown."""

    name: str
    type: str
    default: str
    meaning: str


def summary_of(cls: type[Any]) -> str:
    """Return the first sentence or line of a class's docstring."""
    return (inspect.getdoc(cls) or "").split("\n\n", 1)[0].replace("\n", " ")


def settings_of(model: type[BaseModel]) -> list[Setting]:
    """Return the settings of a component or section, in order."""
    return [
        Setting(name, type_name(field.annotation), _default(field), " ".join((field.description or "").split()))
        for name, field in model.model_fields.items()
    ]


def type_name(annotation: Any) -> str:
    """Write a type as a person would: `int`, `"a" | "b"`, `list of str`, `int or null`."""
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return " | ".join(map(repr, arguments))
    if origin is typing.Annotated:
        return type_name(arguments[0])
    if annotation is type(None):
        return "null"
    if arguments and isinstance(origin, type):
        inner = ", ".join(type_name(each) for each in arguments if each is not Ellipsis)
        return f"list of {inner}" if origin in (list, tuple, set, frozenset) else origin.__name__
    if arguments:
        return " or ".join(map(type_name, arguments))
    return getattr(annotation, "__name__", str(annotation))


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True) if not field.is_required() else PydanticUndefined
    if default is PydanticUndefined:
        return "required"
    if default is None or isinstance(default, bool):
        return json.dumps(default)
    return "" if isinstance(default, BaseModel) else str(default)
