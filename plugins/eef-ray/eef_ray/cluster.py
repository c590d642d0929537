"""The connection to a Ray cluster: an existing one, or one on this machine for the run."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from eef_framework.errors import ConfigError, ExecutorFailure
from eef_framework.resources import available_cores

OBJECT_STORE_BYTES = 100_000_000
"""Size of a local cluster's object store. Little goes through it: results are small, and weights stay on disk."""

CONNECTING_S = 10.0
"""How long to wait for the head of a cluster, in seconds."""

LOCK = ".eef-ray.lock"
"""File in a folder for temporary files. Folders without it aren't ours, whatever their name."""

MOST_CHARS = 24
"""Maximum length of a folder for temporary files. Paths of sockets in it are longer by 83, and limited to 107."""


def import_ray() -> Any:
    """Return the module `ray`.

    Raises:
        ConfigError: it isn't installed (`ray-missing`).
    """
    try:
        import ray
    except ImportError as cause:
        raise ConfigError(
            f"executor 'ray' can't import ray: {cause}", "pip install 'ray>=2.60,<3'", code="ray-missing"
        ) from cause
    return ray


class Cluster:
    """A connection to a cluster. A process has at most one: where Ray is connected already, that connection is used.

    Args:
        address: `HOST:PORT` of an existing cluster, or `auto` for the one on this machine. `local` starts one that ends
            with this process. None for the variable RAY_ADDRESS, or else `local`.

    Raises:
        ConfigError: Ray isn't installed.
        ExecutorFailure: the cluster can't be reached, or can't be started (`cluster-unreachable`), or this process is
            connected to another one (`other-cluster`).
    """

    def __init__(self, address: str | None) -> None:
        self.ray = import_ray()
        self._stack = contextlib.ExitStack()
        if self.ray.is_initialized():
            self._require_connected(address)
            return
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        # Workers' output would go through the progress display; it is in Ray's logs.
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        with self._stack:
            if address == "local":
                os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
                folder = self._stack.enter_context(temporary_folder())
                options |= {"num_cpus": available_cores(), "object_store_memory": OBJECT_STORE_BYTES}
                options |= {"include_dashboard": False, "_temp_dir": str(folder)}
                # By default workers have a lower priority than all other programs of the machine.
                options |= {"_system_config": {"worker_niceness": 0}}
            try:
                require_reachable(address)
                with handlers_kept():
                    self.ray.init(address=address, **options)
            except Exception as cause:
                what = "can't start Ray on this machine" if address == "local" else f"can't reach Ray at {address!r}"
                raise ExecutorFailure(
                    f"executor 'ray' {what}: {str(cause).strip() or type(cause).__name__}",
                    "Check that it runs (`ray status`), that this host reaches it, and that Python and Ray have the "
                    "same versions on both.",
                    code="cluster-unreachable",
                    address=address,
                ) from cause
            self._stack.callback(self.ray.shutdown)
            self._stack = self._stack.pop_all()
        atexit.register(self.close)

    def _require_connected(self, address: str | None) -> None:
        connected = self.ray.get_runtime_context().gcs_address
        if address not in (None, "auto", "local", connected):
            raise ExecutorFailure(
                f"executor 'ray' can't connect to {address!r}: this process is connected to {connected!r}",
                "A process can use one cluster. Close the other executor, or call ray.shutdown().",
                code="other-cluster",
                address=address,
                connected=connected,
            )

    def places(self, resources: dict[str, float]) -> int:
        """Return how many workers fit on the nodes of the cluster.

        Args:
            resources: name -> amount that a worker needs, such as `CPU`.
        """
        return sum(
            min(int(node["Resources"].get(name, 0) // amount) for name, amount in resources.items() if amount)
            for node in self.ray.nodes()
            if node["Alive"]
        )

    def close(self) -> None:
        """Disconnect; a cluster that was started here ends, and its files are removed."""
        atexit.unregister(self.close)
        self._stack.close()


def require_reachable(address: str) -> None:
    """Try an address of the form `HOST:PORT`. Ray itself tries for minutes.

    Raises:
        OSError: nothing listens there.
    """
    host, _, port = address.rpartition(":")
    if "://" not in address and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), CONNECTING_S).close()


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """Keep this process's handlers of signals, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Provide a folder for Ray's sockets and logs. Folders of processes that were killed are removed, too."""
    above = Path(tempfile.gettempdir())
    if len(str(above)) > MOST_CHARS:
        above = Path("/tmp")
    for left in [each.parent for each in above.glob(f"eef-ray-*/{LOCK}")]:
        with contextlib.suppress(OSError), locked(left):  # a running process holds the lock of its folder
            shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix="eef-ray-", dir=above))
    try:
        with locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; the operating system releases it when this process ends.

    Raises:
        OSError: another process holds it.
    """
    with FileLock(folder / LOCK, timeout=0):
        yield
