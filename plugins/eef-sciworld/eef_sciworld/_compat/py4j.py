"""Parts of py4j that aren't public: how a client creates its connection and sends commands."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from py4j.java_gateway import GatewayClient, GatewayParameters, JavaGateway, find_jar_path
from py4j.protocol import Py4JError, Py4JNetworkError

__all__ = ["Connection", "JavaGateway", "JvmHung", "JvmLost", "Py4JError", "connect", "gateway_jar", "longer_timeout"]


class JvmLost(Exception):
    """The JVM has died or was stopped. Everything in it is lost."""


class JvmHung(JvmLost):
    """The JVM didn't answer in time."""


class Connection(GatewayClient):  # type: ignore[misc]  # py4j has no annotations
    """A client with a single connection, and therefore a single thread in the JVM.

    py4j's Java side caches methods by class name, for each thread. A thread that served two simulators would mix up
    their classes, because each simulator has its own class loader. Commands are never sent twice: a repeated step
    would be a second step.
    """

    connection: Any = None
    timeout_s: float | None = None
    """Time limit of a call; None for the gateway's own."""

    def send_command(self, command: str, retry: bool = True, binary: bool = False) -> str:
        """Send a command and return the answer.

        Raises:
            JvmHung: the answer took too long.
            JvmLost: the connection is broken.
        """
        try:
            if self.connection is None:
                self.connection = self._create_connection()
            self.connection.socket.settimeout(self.timeout_s or self.gateway_parameters.read_timeout)
            return str(self.connection.send_command(command))
        except (Py4JNetworkError, OSError) as error:
            hung = isinstance(error, TimeoutError) or isinstance(getattr(error, "cause", None), TimeoutError)
            raise (JvmHung if hung else JvmLost)(str(error)) from error

    def close(self) -> None:
        """Close the connection."""
        if self.connection is not None:
            with contextlib.suppress(OSError):
                self.connection.close(reset=True)


def connect(port: int, token: str, timeout_s: float) -> JavaGateway:
    """Return a gateway with its own connection to a JVM on this machine.

    Args:
        port: the port that the JVM listens on.
        token: the JVM's authentication token.
        timeout_s: time limit of a call, in seconds.
    """
    parameters = GatewayParameters(
        port=port,
        auth_token=token,
        read_timeout=timeout_s,
        enable_memory_management=False,  # objects created through it live as long as the JVM
    )
    return JavaGateway(gateway_client=Connection(gateway_parameters=parameters), gateway_parameters=parameters)


@contextmanager
def longer_timeout(gateway: JavaGateway, factor: int) -> Iterator[None]:
    """Multiply the time limit of a gateway's calls, for the duration of the context."""
    client: Connection = gateway._gateway_client
    client.timeout_s = factor * client.gateway_parameters.read_timeout
    try:
        yield
    finally:
        client.timeout_s = None


def gateway_jar() -> Path:
    """Return the jar with py4j's Java side."""
    return Path(find_jar_path())
