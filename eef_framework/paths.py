"""Paths from users: `~` and `$HOME` are expanded as in a shell, wherever a path is accepted."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator


def expand(path: str | Path) -> Path:
    """Return a path with `~`, `~user` and environment variables replaced; unknown ones stay as they are."""
    return Path(expand_text(str(path)))


def expand_text(text: str) -> str:
    """Replace `~` and environment variables in a text that may be a path, or a name such as a hub's `owner/model`."""
    return os.path.expanduser(os.path.expandvars(text))


def cache_folder() -> Path:
    """Return the folder for data that can be recreated: `$XDG_CACHE_HOME`, else `~/.cache`.

    A user without a home folder, as in some containers, has one among the temporary files.
    """
    if given := os.environ.get("XDG_CACHE_HOME"):
        return expand(given)
    home = os.path.expanduser("~")
    return Path(home, ".cache") if os.path.isabs(home) else Path(tempfile.gettempdir(), f"eef-cache-{user_name()}")


def user_name() -> str:
    """Return an identifier that differs between users of a machine."""
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")


def expanded(value: Any) -> Any:
    """Return a value with all paths in it expanded; other values, and texts, stay as they are."""
    if isinstance(value, Path):
        return expand(value)
    if type(value) is dict:
        return {key: expanded(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(expanded, value))
    return value


def _expanded_text(value: Any) -> Any:
    return expand_text(value) if isinstance(value, str) else expanded(value)


UserPath = Annotated[Path, BeforeValidator(_expanded_text)]
"""A path, for the fields of any pydantic model. Components don't need it: their fields of type `Path` are expanded."""

UserPathOrName = Annotated[str, BeforeValidator(_expanded_text)]
"""A path or a name, such as that of a model on a hub: a text that is expanded as a path would be."""
