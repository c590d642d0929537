"""A JVM, and isolated simulators in it."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from eef_framework.errors import storage
from eef_sciworld._compat.py4j import JavaGateway, connect
from eef_sciworld._compat.scienceworld import INTERFACE, NOT_SHARED, SHARED, simulator_jar
from eef_sciworld.launch import JvmProcess, start, stop


class Jvm:
    """A JVM process with simulators.

    Every simulator has its own class loader for ScienceWorld's classes, because the simulator keeps state in Scala
    objects, which exist once per class loader. Scala's library is loaded once, which halves the time until a simulator
    is ready.

    Args:
        java: path of the `java` executable.
        heap_mb: maximum heap size, in MB.
        timeout_s: time limit of a call, in seconds.

    Raises:
        EnvironmentFailure: the JVM doesn't start.
        StorageError: the folder for temporary files can't be written to.
    """

    def __init__(self, java: str, heap_mb: int, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._gateways: list[JavaGateway] = []
        with storage(temporary_folder(), "unpacking ScienceWorld into"):
            self._folder = tempfile.TemporaryDirectory(prefix="eef-sciworld-")
            library, self._simulator = _split(simulator_jar(), Path(self._folder.name))
        self._process: JvmProcess = start(java, heap_mb)
        gateway = self._connect()
        java_lang, java_io = gateway.jvm.java.lang, gateway.jvm.java.io
        # The simulator prints every observation, and nothing reads its output.
        java_lang.System.setOut(java_io.PrintStream(java_io.OutputStream.nullOutputStream()))
        for path in (library, self._simulator):
            java_io.File(str(path)).deleteOnExit()  # in case this process is killed
        self._library = _class_loader(gateway, library, java_lang.ClassLoader.getPlatformClassLoader())

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.popen.pid

    def interface(self) -> tuple[JavaGateway, Any]:
        """Return a new gateway, and ScienceWorld's Python interface in its own class loader.

        Raises:
            JvmLost: the JVM has died.
        """
        gateway = self._connect()
        kind = _class_loader(gateway, self._simulator, self._library).loadClass(INTERFACE)
        no_types = gateway.new_array(gateway.jvm.java.lang.Class, 0)
        no_arguments = gateway.new_array(gateway.jvm.java.lang.Object, 0)
        return gateway, kind.getConstructor(no_types).newInstance(no_arguments)

    def kill(self) -> None:
        """Kill the process. Calls in progress raise `JvmLost`."""
        stop(self._process.popen)
        for gateway in self._gateways:
            gateway.close()
        self._folder.cleanup()

    def _connect(self) -> JavaGateway:
        gateway = connect(self._process.port, self._process.token, self._timeout_s)
        self._gateways.append(gateway)
        return gateway


def temporary_folder() -> str:
    """Return the folder for temporary files, or its configured path if there is no writable one."""
    try:
        return tempfile.gettempdir()
    except OSError:
        return os.environ.get("TMPDIR", "/tmp")


def _class_loader(gateway: JavaGateway, jar: Path, parent: Any) -> Any:
    urls = gateway.new_array(gateway.jvm.java.net.URL, 1)
    urls[0] = gateway.jvm.java.io.File(str(jar)).toURI().toURL()
    return gateway.jvm.java.net.URLClassLoader(urls, parent)


def _split(jar: Path, folder: Path) -> tuple[Path, Path]:
    """Write the shared part of the jar and the rest to two jars, uncompressed because these load faster."""
    library, simulator = folder / "library.jar", folder / "simulator.jar"
    with zipfile.ZipFile(jar) as whole, zipfile.ZipFile(library, "w") as shared, zipfile.ZipFile(simulator, "w") as own:
        for name in whole.namelist():
            is_shared = name.startswith(SHARED) and not name.startswith(NOT_SHARED)
            (shared if is_shared else own).writestr(name, whole.read(name))
    return library, simulator
