"""Reads the files of a model, and says what is wrong with them."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

from eef_framework.errors import ConfigError, storage

DOWNLOAD_AGAIN = "Download it again. With git: run `git lfs install` and `git lfs pull` in the model's folder."


def read_json(path: Path) -> dict[str, Any]:
    """Return a model's settings.

    Raises:
        ConfigError: the file isn't JSON, or isn't an object.
    """
    try:
        with storage(path, "reading"):
            data = path.read_bytes()
        if data.startswith(codecs.BOM_UTF8):
            raise ConfigError(
                f"{str(path)!r} begins with a byte order mark, and transformers doesn't read such files",
                "Save it as UTF-8 without one.",
                code="model-byte-order-mark",
                path=str(path),
            )
        content = json.loads(data)
        if not isinstance(content, dict):
            raise ValueError(f"an object was expected, not {type(content).__name__}")
    except ValueError as cause:
        raise ConfigError(
            f"{str(path)!r} can't be read: {cause}", DOWNLOAD_AGAIN, code="model-unreadable", path=str(path)
        ) from cause
    return content


def incomplete(folder: Path, missing: list[str], what: str) -> ConfigError:
    """Return the error for a folder that lacks files.

    Args:
        folder: the model's folder.
        missing: names of the missing files.
        what: what is missing, in words.
    """
    return ConfigError(
        f"the model {str(folder)!r} is incomplete: {what} ({', '.join(missing[:3])}{', ...' if missing[3:] else ''})",
        DOWNLOAD_AGAIN,
        code="model-incomplete",
        path=str(folder),
        missing=missing,
    )


def cut_off(path: Path, what: str, **details: int) -> ConfigError:
    """Return the error for a file whose end is missing; `what` says how that was found."""
    return ConfigError(
        f"{str(path)!r} is cut off: {what}", DOWNLOAD_AGAIN, code="model-incomplete", path=str(path), **details
    )
