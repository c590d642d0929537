"""A folder to prepare a store in, beside the place where it will be."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock


@contextmanager
def scratch_beside(output: Path) -> Iterator[Path]:
    """Make a hidden folder beside a path, and remove it in the end unless it was moved away.

    Folders that were left here by processes that were killed are removed, too. A lock on each, which ends with the
    process that holds it, tells them from those in use.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{output.name}.preparing-"
    for left in output.parent.iterdir():
        if left.name.startswith(prefix):
            with suppress(OSError):
                with _lock(left):
                    pass
                shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=output.parent))
    try:
        with _lock(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path) -> FileLock:
    """Return a folder's lock; entering it fails with `OSError` if another process holds it."""
    return FileLock(folder / ".lock", blocking=False)
