"""Descriptions of components, for `eef plugins` and the generated reference."""

from __future__ import annotations

import inspect
import itertools
import json
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo


class Setting(typing.NamedTuple):
    """A setting for display."""

    name: str
    type: str
    default: str
    meaning: str


def summary_of(cls: type[Any]) -> str:
    """Return the first sentence or line of a class's docstring."""
    return (inspect.getdoc(cls) or "").split("\n\n", 1)[0].replace("\n", " ")


def summary_of_recipe(path: Path) -> str:
    """Return the first sentence of the comment that a recipe begins with."""
    comment = itertools.takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    return " ".join(line.strip("# ") for line in comment).partition(". ")[0].removesuffix(".")


def settings_of(model: type[BaseModel]) -> list[Setting]:
    """Return the settings of a component or section, in order."""
    return [
        Setting(name, type_name(field.annotation), _default(field), " ".join((field.description or "").split()))
        for name, field in model.model_fields.items()
    ]


def type_name(annotation: Any) -> str:
    """Format a type for readers: `int`, `"a" | "b"`, `list of str`, `int or null`."""
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return " | ".join(map(repr, arguments))
    if origin is typing.Annotated:
        return type_name(arguments[0])
    if annotation is type(None):
        return "null"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(type_name, arguments))
    if origin in (list, tuple, set, frozenset):
        return f"list of {', '.join(type_name(each) for each in arguments if each is not Ellipsis)}"
    return getattr(annotation, "__name__", str(annotation))


def shown(value: Any) -> str:
    """Format a default as in a configuration; empty for a section."""
    if isinstance(value, BaseModel):
        return ""
    if isinstance(value, dict) and list(value) == ["name"]:  # a component without settings
        return str(value["name"])
    return json.dumps(value, default=str) if value is None or isinstance(value, bool | list | tuple) else str(value)


def _default(field: FieldInfo) -> str:
    return "required" if field.is_required() else shown(field.get_default(call_default_factory=True))
