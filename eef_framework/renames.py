"""Reads data under the old names of its fields."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from eef_framework.errors import EefWarning


def with_new_names(data: Any, owner: str, renamed: Mapping[str, str]) -> Any:
    """Return data with the current names of its fields. Call it in a `before` validator of a pydantic model.

    Args:
        data: the input of the model; anything but a mapping is returned unchanged.
        owner: the model, as named in the warning.
        renamed: current name of each field that had another name before, by that name.

    Raises:
        PydanticCustomError: a field is given under both names (`given-under-two-names`).

    Warns:
        EefWarning: a field has its old name; with the code `renamed`, and `owner`, `old`, `new`.
    """
    if not isinstance(data, Mapping) or renamed.keys().isdisjoint(data):
        return data
    for old, new in renamed.items():
        if old not in data:
            continue
        if new in data:
            raise PydanticCustomError(
                "given-under-two-names",
                "{old} is the old name of {new}, and both are given; give {new} only",
                {"old": old, "new": new},
            )
        warnings.warn(
            EefWarning(f"{owner}: {old!r} is called {new!r} now", code="renamed", owner=owner, old=old, new=new),
            stacklevel=2,
        )
    return {renamed.get(key, key): value for key, value in data.items()}
