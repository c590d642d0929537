"""Base class of all pluggable components."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, field_validator, model_validator
from pydantic_core import PydanticSerializationError

from eef_framework.paths import expanded
from eef_framework.renames import with_new_names


class Component(BaseModel):
    """A pluggable component. Its fields are its settings: validated, documented, and saved in the run's manifest.

    Subclasses declare settings as pydantic fields, each followed by a string (its help text), keep live resources (a
    model, a connection) in private attributes, and import heavy libraries inside methods, so that listing plugins stays
    fast. `~` and `$HOME` are expanded in fields of type `Path`.
    """

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, protected_namespaces=())

    name: ClassVar[str] = ""
    """The name it is registered and configured under, unique within its kind: lower case, words joined by hyphens."""

    renamed: ClassVar[Mapping[str, str]] = {}
    """Old name -> current name of settings. A setting under its old name is accepted, with a warning."""

    @model_validator(mode="before")
    @classmethod
    def _take_old_names(cls, data: Any) -> Any:
        return with_new_names(data, cls.component_name(), cls.renamed)

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

        A setting that isn't plain data, such as a function passed in Python, is represented by its type.
        """
        try:
            return {"name": self.component_name(), **self.model_dump(mode="json")}
        except PydanticSerializationError:
            plain = TypeAdapter(Any)
            values = {name: getattr(self, name) for name in type(self).model_fields}
            return {"name": self.component_name()} | {name: _as_data(plain, value) for name, value in values.items()}

    def free_settings(self) -> Collection[str]:
        """Return the settings that never change a result, such as a timeout: a run can be resumed with other values.

        A setting of a component within this one is named by its path, such as `policy.timeout_s`.
        """
        return ()

    def preflight(self) -> None:
        """Check, within a second, whether the settings can work on this machine. Called before a run starts.

        Check for what would otherwise fail an hour into a run: a missing folder, a library that isn't installed, a
        device that the machine doesn't have. Don't load anything heavy, and don't wait for the network.

        Raises:
            ConfigError: something is missing; the message says what, and how to get it.
        """

    def close(self) -> None:
        """Release all resources. The framework calls it once; further calls have no effect."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _as_data(plain: TypeAdapter[Any], value: Any) -> Any:
    try:
        return plain.dump_python(value, mode="json")
    except PydanticSerializationError:
        return f"<{type(value).__module__}.{type(value).__qualname__}>"
