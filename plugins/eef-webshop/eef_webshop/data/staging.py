"""A staging folder, in which a store is prepared before it is moved to its place."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock


@contextmanager
def staging_folder(output: Path) -> Iterator[Path]:
    """Create a hidden folder next to a path, and remove it when the context ends.

    Staging folders of killed processes are removed, too. Those in use are recognized by a lock, which the system
    releases when a process ends.

    Args:
        output: the path where the store will be.
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
    """Return a folder's lock. Acquiring it raises `OSError` if another process holds it."""
    return FileLock(folder / ".lock", blocking=False)
