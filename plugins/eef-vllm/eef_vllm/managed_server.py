"""A vLLM server that this program starts, in an environment of its own."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from eef_framework.errors import ConfigError

HOW_TO_INSTALL = (
    "Make an environment of its own for vLLM: python3 -m venv ENV, then ENV/bin/pip install vllm (for a GPU), or "
    "`make vllm-env` in a checkout (without a GPU). Then set python to ENV/bin/python."
)
LOG_TAIL = 15
"""Number of lines of a server's log in an error message."""

_FIND = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
_LIST = "import importlib.metadata as m; print(*(f'{d.name} {d.version}' for d in m.distributions()), sep='\\n')"
_CPU_BUILD = re.compile(r"^(vllm[-_]cpu |vllm .*\+cpu)", re.MULTILINE)
_NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""Variables that would mix this program's environment with the server's."""
_DEFAULTS = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


def check_python(python: Path, environment: Mapping[str, str]) -> None:
    """Check that an interpreter exists and finds vLLM, without importing it.

    Args:
        python: the interpreter.
        environment: further environment variables of servers.

    Raises:
        ConfigError: it doesn't (`no-vllm`).
    """
    if _run(python, environment, _FIND).returncode != 0:
        raise _no_vllm(python, "it doesn't find vLLM")


def is_cpu_build(python: Path, environment: Mapping[str, str]) -> bool:
    """Return whether an interpreter's vLLM was built without support for GPUs.

    Args:
        python: the interpreter.
        environment: further environment variables of servers.

    Raises:
        ConfigError: the interpreter can't be run (`no-vllm`).
    """
    return _CPU_BUILD.search(_run(python, environment, _LIST).stdout) is not None


class ManagedServer:
    """A server process on this machine. It ends with this program, even if this program is killed.

    Args:
        python: interpreter of an environment with vLLM.
        arguments: the server's command-line arguments, without address and port.
        environment: further environment variables.

    Attributes:
        url: its address, without `/v1`.
        key: the API key that it asks for, new for each server: other users of this machine don't know it.
        log: file with its output.
    """

    def __init__(self, python: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="eef-vllm-", ignore_cleanup_errors=True)
        self.log = Path(self._folder.name) / "server.log"
        self.key = secrets.token_urlsafe(24)
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        server = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port)]
        supervisor = [str(python), str(Path(__file__).with_name("supervisor.py")), self._folder.name]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*supervisor, *server, *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder.name,
                env=_variables({"VLLM_API_KEY": self.key, **environment}),
            )

    @property
    def running(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    @property
    def log_tail(self) -> str:
        """The last lines of its output."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-LOG_TAIL:])

    def stop(self) -> None:
        """End it, and wait until it has ended. May be called twice."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        self._folder.cleanup()


def _run(python: Path, environment: Mapping[str, str], code: str) -> subprocess.CompletedProcess[str]:
    variables = _variables(environment)
    try:
        # Not in the current folder, where a folder named vllm would be found.
        return subprocess.run(
            [str(python), "-c", code], capture_output=True, text=True, timeout=60, cwd="/", env=variables
        )
    except (OSError, subprocess.TimeoutExpired) as cause:
        raise _no_vllm(python, f"it can't be run: {cause}") from cause


def _no_vllm(python: Path, why: str) -> ConfigError:
    return ConfigError(f"python {str(python)!r}: {why}", HOW_TO_INSTALL, code="no-vllm", python=str(python))


def _variables(further: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    return {**inherited, **_DEFAULTS, **further}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
