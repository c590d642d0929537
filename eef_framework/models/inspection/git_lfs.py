"""Finds pointers of Git LFS: small text files in place of files that weren't downloaded."""

from __future__ import annotations

from pathlib import Path

from eef_framework.errors import ConfigError, storage

_START = b"version https://git-lfs.github.com/spec/"
_MAX_SIZE = 1024
"""Upper bound for the size of a pointer, in bytes."""


def check_pointer(path: Path) -> None:
    """Check that a file isn't a pointer.

    Raises:
        ConfigError: it is (`model-git-lfs-pointer`).
    """
    with storage(path, "reading"), path.open("rb") as file:
        if file.read(len(_START)) != _START:
            return
    raise ConfigError(
        f"{str(path)!r} is a pointer of Git LFS: the file itself wasn't downloaded",
        "Run `git lfs install` and `git lfs pull` in the model's folder, or download the model with another tool.",
        code="model-git-lfs-pointer",
        path=str(path),
    )


def check_pointers(folder: Path) -> None:
    """Check that no file of a folder is a pointer.

    Raises:
        ConfigError: one is (`model-git-lfs-pointer`).
    """
    with storage(folder, "reading"):
        small = [path for path in sorted(folder.iterdir()) if path.is_file() and path.stat().st_size < _MAX_SIZE]
    for path in small:
        check_pointer(path)
