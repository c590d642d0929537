"""Formats pydantic's validation errors of settings, with the nearest names."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ValidationError

from eef_framework.errors import nearest

Place = tuple[str | int, ...]
"""Keys and indices from the root of the settings to the one concerned."""


def validation_messages(error: ValidationError, model: type[BaseModel], at: Callable[[Place], str]) -> str:
    """Return one line for every error.

    Args:
        error: the pydantic error.
        model: the model that was validated; its fields are the names to suggest.
        at: how to name a place, such as `setting 'probes' (recipe.yaml, line 3)`.
    """
    return "\n".join(dict.fromkeys(_line(details, model, at) for details in error.errors()))


def dotted(place: Place) -> str:
    """Return a place as it is written after `--set`: `clone.trainer.epochs`."""
    return ".".join(map(str, place))


def _line(details: Any, model: type[BaseModel], at: Callable[[Place], str]) -> str:
    place, given = tuple(details["loc"]), details["input"]
    parent = model_at(model, place[:-1])
    if details["type"] == "extra_forbidden":
        known = parent.model_fields if parent else ()
        return f"{at(place)} is unknown; {nearest(str(place[-1]), known)}"
    if details["type"] == "missing":
        return f"{at(place)} is missing"
    if details["type"] == "string_pattern_mismatch" and parent and (field := parent.model_fields.get(str(place[-1]))):
        # A regular expression isn't readable: the help text says what is allowed.
        allowed = f": {' '.join(field.description.split())}" if field.description else ""
        return f"{at(place)} can't be {given!r}{allowed}"
    reason = (
        details["msg"]
        .removeprefix("Value error, ")
        .replace("Input should be", "must be")
        .replace("a valid tuple", "a list")
    )
    hint = ""
    if details["type"] == "literal_error" and isinstance(given, str):
        hint = "".join(f"; did you mean {near!r}?" for near in difflib.get_close_matches(given, reason.split("'"), n=1))
    return f"{at(place)} {reason}, not {given!r}{hint}" if reason.startswith("must") else f"{at(place)}: {reason}"


def model_at(model: type[BaseModel], place: Place) -> type[BaseModel] | None:
    """Return the model that is expected at a place below another, where there is one."""
    current: type[BaseModel] | None = model
    for key in place:
        if isinstance(key, int):
            continue
        if current is None or key not in current.model_fields:
            return None
        current = _model_in(current.model_fields[key].annotation)
    return current


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for part in typing.get_args(annotation) if (found := _model_in(part))), None)
