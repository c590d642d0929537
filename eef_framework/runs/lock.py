"""A lock between processes. It ends with the process that holds it, however that ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from eef_framework.errors import RunConflict, storage


@contextmanager
def locked(file: Path, what: Path) -> Iterator[None]:
    """Hold a lock while the block runs.

    Args:
        file: the lock file; its folder exists.
        what: what it protects, as a person knows it.

    Raises:
        RunConflict: another process holds it.
        StorageError: the file can't be written to.
    """
    lock = FileLock(file, blocking=False, thread_local=False)
    try:
        with storage(file, "locking"):
            try:
                lock.acquire()
            except Timeout as cause:
                raise RunConflict(
                    f"another process is writing to {str(what)!r}",
                    "Wait for it, or choose another --out.",
                    code="in-use",
                    path=str(what),
                ) from cause
        yield
    finally:
        lock.release()
