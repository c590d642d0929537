"""What all pluggable parts share."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, field_validator
from pydantic_core import PydanticSerializationError

from eef_framework.paths import expanded


class Component(BaseModel):
    """A pluggable part. Its fields are its settings: validated, documented, kept in the run's manifest.

    Subclasses declare settings as pydantic fields with a string below each (its help text), keep live resources
    (a model, a connection) in private attributes, and import heavy libraries inside methods, so that listing
    plugins stays quick. Fields of type `Path` may be given with `~` and `$HOME`.
    """

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, protected_namespaces=())

    name: ClassVar[str] = ""
    """The name it is registered and configured under, unique among its kind: lower case, words joined by hyphens."""

    @field_validator("*", mode="after")
    @classmethod
    def _expand_paths(cls, value: Any) -> Any:
        return expanded(value)

    @classmethod
    def component_name(cls) -> str:
        """Return the registered name, or the import path of a class that has none."""
        return cls.name or f"{cls.__module__}:{cls.__qualname__}"

    def settings(self) -> dict[str, Any]:
        """Return name and settings as plain data, for manifests and for building an equal component.

        A setting that isn't data, such as a function that was handed over in Python, is told by its type.
        """
        try:
            return {"name": self.component_name(), **self.model_dump(mode="json")}
        except PydanticSerializationError:
            plain = TypeAdapter(Any)
            values = {name: getattr(self, name) for name in type(self).model_fields}
            return {"name": self.component_name()} | {name: _as_data(plain, value) for name, value in values.items()}

    def preflight(self) -> None:
        """Find out, within a second, whether the settings can work on this machine. Called before anything starts.

        Look for what would otherwise fail an hour into a run: a folder that isn't there, a library that isn't
        installed, a device that the machine lacks. Nothing heavy is loaded, and no network is waited for.

        Raises:
            ConfigError: something is missing; says what, and how to get it.
        """

    def close(self) -> None:
        """Release whatever is held. Called once by the framework; harmless when called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _as_data(plain: TypeAdapter[Any], value: Any) -> Any:
    try:
        return plain.dump_python(value, mode="json")
    except PydanticSerializationError:
        return f"<{type(value).__module__}.{type(value).__qualname__}>"
