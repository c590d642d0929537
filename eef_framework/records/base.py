"""Base classes of all records."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, JsonValue, field_validator

SCHEMA_VERSION = 1
"""Version of the wire format; every row of every file carries it."""


def encodable(text: str) -> str:
    """Return a text without lone surrogates, halves of characters that no file can hold: U+FFFD replaces them."""
    if is_encodable(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def is_encodable(*texts: str) -> bool:
    """Return whether texts have no surrogates. Sessions ask this at every step."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def _as_in_json(value: Any) -> Any:
    """Return data with lists in place of tuples, which JSON doesn't have, and texts that a file can hold."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {_as_in_json(key): _as_in_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_in_json(each) for each in value]
    return value


Info = Annotated[dict[str, JsonValue], BeforeValidator(_as_in_json)]
"""Free-form data that a plugin attaches to a record: JSON values, in which tuples become lists. The core stores and
displays it, but doesn't interpret it."""

Text = Annotated[str, AfterValidator(encodable)]
"""A text in which U+FFFD replaces lone surrogates, such as those of names of files that aren't UTF-8."""


class Record(BaseModel):
    """Immutable data that is written to disk. A record is readable without the plugin that created it.

    Unknown fields are rejected, so that a misspelt one is found at once. Data that only a plugin understands goes into
    an `info` field.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        ser_json_inf_nan="constants",
        protected_namespaces=(),
    )

    def changed(self, **fields: Any) -> Self:
        """Return a copy with some fields replaced (records themselves never change).

        Raises:
            TypeError: there is no such field.
        """
        unknown = fields.keys() - type(self).model_fields.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(map(repr, sorted(unknown)))}")
        return self.model_copy(update=fields)


class VersionedRecord(Record):
    """A record stored as a line of a file, with the version of its format."""

    version: int = SCHEMA_VERSION
    """Version of the wire format."""

    @field_validator("version")
    @classmethod
    def _readable(cls, version: int) -> int:
        if version > SCHEMA_VERSION:
            raise ValueError(
                f"written in format {version}, this eef-framework reads up to {SCHEMA_VERSION}; upgrade eef-framework"
            )
        return version


def fingerprint(text: str) -> str:
    """Return 16 hexadecimal digits that identify a text (a goal, an observation, a file's content)."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
