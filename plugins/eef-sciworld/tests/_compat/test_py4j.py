"""Each test names a part of py4j that is not public. If it fails, adapt `eef_sciworld/_compat/py4j.py`."""

import inspect
import zipfile

from eef_sciworld._compat import py4j
from py4j.java_gateway import GatewayClient, GatewayConnection, GatewayParameters, JavaGateway


def parameters(function):
    return list(inspect.signature(function).parameters)


def test_gateway_client_creates_connections_by_the_method_that_ours_calls():
    assert parameters(GatewayClient._create_connection) == ["self"]


def test_gateway_client_sends_commands_by_the_method_that_ours_overrides():
    assert parameters(GatewayClient.send_command) == ["self", "command", "retry", "binary"]
    assert parameters(py4j.Connection.send_command) == parameters(GatewayClient.send_command)


def test_connections_have_a_socket_and_close_with_a_reset():
    assert parameters(GatewayConnection.send_command) == ["self", "command"]
    assert parameters(GatewayConnection.close) == ["self", "reset"]
    assert "self.socket.settimeout" in inspect.getsource(GatewayConnection)


def test_gateway_keeps_the_client_where_the_timeout_is_changed():
    parameters = GatewayParameters(port=1, auth_token="token", read_timeout=7.0, enable_memory_management=False)
    client = py4j.Connection(gateway_parameters=parameters)
    gateway = JavaGateway(gateway_client=client, gateway_parameters=parameters)
    assert gateway._gateway_client is client
    with py4j.longer_timeout(gateway, 10):
        assert client.timeout_s == 70.0
    assert client.timeout_s is None


def test_has_its_jar_with_the_gateway_server():
    with zipfile.ZipFile(py4j.gateway_jar()) as jar:
        assert "py4j/GatewayServer.class" in jar.namelist()
