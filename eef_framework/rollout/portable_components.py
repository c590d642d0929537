"""Components as data that another process can build them from."""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticSerializationError

from eef_framework.errors import ConfigError
from eef_framework.interfaces import Component


def portable(component: Component) -> dict[str, Any]:
    """Return a component's settings, with the import path of its class as the name.

    A worker process needs no plugins loaded to build it. Live state of the component isn't included.

    Raises:
        ConfigError: the class can't be imported, or a setting isn't plain data; with the code `not-portable`.
    """
    kind = type(component)
    path = f"{kind.__module__}:{kind.__qualname__}"
    name = component.component_name()
    if kind.__module__ == "__main__" or "." in kind.__qualname__:
        raise ConfigError(
            f"component {name!r} can't be built in another process: its class {path!r} can't be imported there",
            "Move the class to the top level of a module that can be imported. Or use the executor `threads`.",
            code="not-portable",
            component=name,
            path=path,
        )
    try:
        return {"name": path, **component.model_dump(mode="json")}
    except PydanticSerializationError as cause:
        raise ConfigError(
            f"component {name!r} can't be built in another process: {cause}",
            "Settings must be plain data there. Or use the executor `threads`.",
            code="not-portable",
            component=name,
            path=path,
        ) from cause
