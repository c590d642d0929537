"""Paths as people write them: `~` and `$HOME` mean what they mean in a shell, wherever a path is taken."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator


def expand(path: str | Path) -> Path:
    """Return a path with `~`, `~user` and environment variables replaced; unknown ones stay as they are."""
    return Path(expand_text(str(path)))


def expand_text(text: str) -> str:
    """Replace `~` and environment variables in a text that may be a path, or a name such as a hub's `owner/model`."""
    return os.path.expanduser(os.path.expandvars(text))


def _expand_given(value: Any) -> Any:
    return type(value)(expand_text(str(value))) if isinstance(value, str | Path) else value


UserPath = Annotated[Path, BeforeValidator(_expand_given)]
"""A field that holds a path. Settings of components that are annotated with a plain `Path` are expanded, too."""

UserPathOrName = Annotated[str, BeforeValidator(_expand_given)]
"""A field that holds a path or a name, such as that of a model on a hub."""
