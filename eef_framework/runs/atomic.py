"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eef_framework.errors import storage


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old content or the new one, even after a crash.

    Raises:
        StorageError: the disk is full, the folder can't be written to.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with storage(path, "writing"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Write data as indented JSON, atomically."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder that appears only when the block ends well.

    Yields:
        A temporary folder beside it to write to. What a crash left of an earlier one is removed.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with storage(path, "creating the folder"):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    try:
        yield temporary
        with storage(path, "putting in place"):
            if path.exists():
                shutil.rmtree(path)
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
