"""Formats exceptions and pydantic's validation errors, with the nearest names."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

KeyPath = tuple[str | int, ...]
"""Keys and indices from the root of the settings to the one concerned."""


def validation_messages(error: ValidationError, model: type[BaseModel], at: Callable[[KeyPath], str]) -> str:
    """Return one line for every error.

    Args:
        error: the pydantic error.
        model: the model that was validated; its fields are the names to suggest.
        at: how to name a setting by its key path, such as `setting 'probes' (recipe.yaml, line 3)`.
    """
    errors: dict[KeyPath, list[Any]] = {}
    for details in error.errors():
        # Where a setting has several types, pydantic adds the type to the path, such as `tuple[str, ...]`.
        path = tuple(key for key in details["loc"] if "[" not in str(key))
        errors.setdefault(path, []).append(details)
    told = [(path, details) for path in errors for details in _joined(_of_its_type(path, errors))]
    return "\n".join(dict.fromkeys(_line(path, details, model, at) for path, details in told))


def reason(cause: BaseException) -> str:
    """Return an exception as text: type and message; for pydantic's, the fields with what was given and expected."""
    if not isinstance(cause, ValidationError):
        return f"{type(cause).__name__}: {cause}"
    name = cause.title
    model = next((each for each in _subclasses(BaseModel) if each.__name__ == name), BaseModel)
    lines = validation_messages(cause, model, lambda path: f"field {dotted(path)!r} of {name}" if path else name)
    return lines.replace("\n", "; ")


def nearest(given: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?` for a misspelt name, or all names; of settings in sections, only the sections."""
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    outer = [name for name in names if name.rpartition(".")[0] not in names]
    within = " and what is in them" if len(outer) < len(names) else ""
    return f"known: {', '.join(outer) or 'none'}{within}"


def dotted(path: KeyPath) -> str:
    """Return a key path as it is written after `--set`: `clone.trainer.epochs`."""
    return ".".join(map(str, path))


def _of_its_type(path: KeyPath, errors: dict[KeyPath, list[Any]]) -> list[Any]:
    """Return the errors at a path, without those of other types where what was given has one of several types."""
    same = [each for each in errors[path] if not _is_other_type(each)]
    given = errors[path][0]["input"]
    below = [other for other in errors if len(other) > len(path) and other[: len(path)] == path]
    items = any(each["input"] is not given for other in below for each in errors[other])  # they were looked at
    return same if same or items else errors[path]


def _is_other_type(details: Any) -> bool:
    """Return whether a list or mapping was given where something else was expected."""
    wrong = details["type"] == "literal_error" or details["type"].endswith("_type")
    return wrong and isinstance(details["input"], list | tuple | dict)


def _joined(errors: list[Any]) -> list[Any]:
    """Return the errors of one value, those of what was expected (each of several types) as one."""
    start = "Input should be "
    expected = [each for each in errors if each["msg"].startswith(start)]
    if len(expected) < 2:
        return errors
    message = start + ", or ".join(each["msg"].removeprefix(start) for each in expected)
    return [{**expected[0], "msg": message}, *(each for each in errors if each not in expected)]


def _line(path: KeyPath, details: Any, model: type[BaseModel], at: Callable[[KeyPath], str]) -> str:
    given = details["input"]
    parent = model_at(model, path[:-1])
    if details["type"] == "extra_forbidden":
        known = parent.model_fields if parent else ()
        return f"{at(path)} is unknown; {nearest(str(path[-1]), known)}"
    if details["type"] == "missing":
        return f"{at(path)} is missing"
    if details["type"] == "string_pattern_mismatch" and parent and (field := parent.model_fields.get(str(path[-1]))):
        # A regular expression isn't readable: the help text says what is allowed.
        allowed = f": {' '.join(field.description.split())}" if field.description else ""
        return f"{at(path)} can't be {given!r}{allowed}"
    reason = (
        details["msg"]
        .removeprefix("Value error, ")
        .replace("Input should be", "must be")
        .replace("a valid tuple", "a list")
    )
    if details["type"] in ("model_type", "model_attributes_type", "dict_type"):
        reason = "must be settings, as `key: value` below it, or be left out"
    if details["type"] in ("too_short", "string_too_short"):
        reason = re.sub(r"^\w+ should have (at least \d+ \w+).*", r"must have \1", reason)
    hint = ""
    if details["type"] == "literal_error" and isinstance(given, str):
        hint = "".join(f"; did you mean {near!r}?" for near in difflib.get_close_matches(given, reason.split("'"), n=1))
    return f"{at(path)} {reason}, not {given!r}{hint}" if reason.startswith("must") else f"{at(path)}: {reason}"


def model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    """Return the model that is at a key path below another model; None if there is none."""
    current: type[BaseModel] | None = model
    for key in path:
        if isinstance(key, int):
            continue
        if current is None or key not in current.model_fields:
            return None
        current = _model_in(current.model_fields[key].annotation)
    return current


def _subclasses(cls: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for part in typing.get_args(annotation) if (found := _model_in(part))), None)
