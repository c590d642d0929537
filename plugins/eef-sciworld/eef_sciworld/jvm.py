"""One JVM, and simulators in it that don't know of one another."""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eef_framework.errors import ConfigError, storage
from eef_sciworld.launch import Gateway, start, stop

if TYPE_CHECKING:
    from py4j.java_gateway import JavaGateway

INTERFACE = "scienceworld.runtime.pythonapi.PythonInterface"
SHARED = ("scala/", "py4j/")
"""What all simulators may share: Scala's library has no state,"""
OWN = "scala/util/Random"
"""but for its generator of random numbers, which the simulator seeds and draws from."""


class JvmLost(Exception):
    """The JVM has died, or was ended; nothing of what was in it remains."""


class JvmHung(JvmLost):
    """The JVM didn't answer in time."""


class Jvm:
    """A process that holds simulators.

    Every simulator has a class loader of its own for ScienceWorld's classes, because the simulator keeps state in
    Scala objects, of which a class loader has one each. Scala's library is loaded once: this halves the time until a
    simulator is ready.

    Args:
        java: the program.
        heap_mb: most memory for objects.
        timeout_s: how long a call may take.
    """

    def __init__(self, java: str, heap_mb: int, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._lines: list[Any] = []
        with storage(temporary_folder(), "unpacking ScienceWorld into"):
            self._folder = tempfile.TemporaryDirectory(prefix="eef-sciworld-")
            library, self._world = _split(jar_path(), Path(self._folder.name))
        self._gateway: Gateway = start(java, heap_mb)
        line = self._line()
        system = line.jvm.java.lang.System
        # The simulator prints every observation. Nobody reads that.
        system.setOut(line.jvm.java.io.PrintStream(line.jvm.java.io.OutputStream.nullOutputStream()))
        for path in (library, self._world):
            line.jvm.java.io.File(str(path)).deleteOnExit()  # in case this process is killed
        self._library = _loader(line, library, line.jvm.java.lang.ClassLoader.getPlatformClassLoader())

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._gateway.process.pid

    def interface(self) -> tuple[JavaGateway, Any]:
        """Return a connection, and ScienceWorld's own Python interface in a separate class loader.

        Raises:
            JvmLost: the JVM has died.
        """
        line = self._line()
        kind = _loader(line, self._world, self._library).loadClass(INTERFACE)
        nothing = line.new_array(line.jvm.java.lang.Object, 0)
        return line, kind.getConstructor(line.new_array(line.jvm.java.lang.Class, 0)).newInstance(nothing)

    def kill(self) -> None:
        """End the process, and forget what was in it. Calls that are under way raise `JvmLost`."""
        stop(self._gateway.process)
        for line in self._lines:
            line.close()
        self._folder.cleanup()

    def _line(self) -> JavaGateway:
        from py4j.java_gateway import GatewayParameters, JavaGateway

        parameters = GatewayParameters(
            port=self._gateway.port,
            auth_token=self._gateway.token,
            read_timeout=self._timeout_s,
            enable_memory_management=False,  # what is made here lives as long as the JVM
        )
        line = JavaGateway(gateway_client=_line_class()(gateway_parameters=parameters), gateway_parameters=parameters)
        self._lines.append(line)
        return line


@cache
def _line_class() -> type[Any]:
    from py4j.java_gateway import GatewayClient
    from py4j.protocol import Py4JNetworkError

    class Line(GatewayClient):  # type: ignore[misc]
        """One connection, so one thread in the JVM.

        py4j's Java side remembers methods by the names of their classes, for each thread; threads that served two
        simulators would mistake one's classes for the other's. And nothing is ever sent twice: a repeated step
        would be a second step.
        """

        connection = None

        patience_s: float | None = None

        def send_command(self, command: str, retry: bool = True, binary: bool = False) -> str:
            try:
                if self.connection is None:
                    self.connection = self._create_connection()
                self.connection.socket.settimeout(self.patience_s or self.gateway_parameters.read_timeout)
                return str(self.connection.send_command(command))
            except (Py4JNetworkError, OSError) as error:
                hung = isinstance(error, TimeoutError) or isinstance(getattr(error, "cause", None), TimeoutError)
                raise (JvmHung if hung else JvmLost)(str(error)) from error

        def wait_longer(self, times: int) -> None:
            self.patience_s = times * self.gateway_parameters.read_timeout if times > 1 else None

        def close(self) -> None:
            if self.connection is not None:
                with contextlib.suppress(OSError):
                    self.connection.close(reset=True)

    return Line


def jar_path() -> Path:
    """Return where ScienceWorld's jar is.

    Raises:
        ConfigError: the package scienceworld isn't installed, or lacks it.
    """
    package = find_spec("scienceworld")
    jar = Path(package.origin or "").parent / "scienceworld.jar" if package else None
    if jar is None or not jar.is_file():
        raise ConfigError(
            f"the simulator's file scienceworld.jar is missing{f' from {str(jar.parent)!r}' if jar else ''}",
            "pip install --force-reinstall scienceworld",
            code="simulator-missing",
            path=str(jar) if jar else None,
        )
    return jar


def temporary_folder() -> str:
    """Return the folder for temporary files, as a person may look for it."""
    try:
        return tempfile.gettempdir()
    except OSError:  # there is none that can be written to
        return os.environ.get("TMPDIR", "/tmp")


def _loader(line: JavaGateway, jar: Path, parent: Any) -> Any:
    urls = line.new_array(line.jvm.java.net.URL, 1)
    urls[0] = line.jvm.java.io.File(str(jar)).toURI().toURL()
    return line.jvm.java.net.URLClassLoader(urls, parent)


def _split(jar: Path, folder: Path) -> tuple[Path, Path]:
    """Write the jar's shared part and the rest of it to two files, uncompressed for quick loading."""
    library, world = folder / "library.jar", folder / "world.jar"
    with zipfile.ZipFile(jar) as whole, zipfile.ZipFile(library, "w") as shared, zipfile.ZipFile(world, "w") as own:
        for name in whole.namelist():
            is_shared = name.startswith(SHARED) and not name.startswith(OWN)
            (shared if is_shared else own).writestr(name, whole.read(name))
    return library, world
