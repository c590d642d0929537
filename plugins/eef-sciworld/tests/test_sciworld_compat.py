"""Canaries: each item that the compatibility modules use of py4j and ScienceWorld, under the item's name."""

import inspect
import json
import zipfile

import pytest
from eef_sciworld import _compat_py4j, _compat_scienceworld
from eef_sciworld.protocol import VARIATIONS
from py4j.java_gateway import GatewayClient, GatewayConnection, GatewayParameters, JavaGateway

METHODS = (
    *("load", "step", "getScore", "getCompleted", "getTaskDescription", "getTaskMaxVariations", "getTaskNames"),
    *("freeActionLook", "freeActionInventory", "getGoldActionSequence", "getObjectTree"),
    *("getValidActionObjectCombinations", "getValidActionObjectCombinationsJSON"),
)


@pytest.fixture(scope="module")
def jar():
    with zipfile.ZipFile(_compat_scienceworld.simulator_jar()) as jar:
        yield jar


def parameters(function):
    return list(inspect.signature(function).parameters)


def test_py4j_gateway_client_creates_connections_by_the_method_that_ours_calls():
    assert parameters(GatewayClient._create_connection) == ["self"]


def test_py4j_gateway_client_sends_commands_by_the_method_that_ours_overrides():
    assert parameters(GatewayClient.send_command) == ["self", "command", "retry", "binary"]
    assert parameters(_compat_py4j.Connection.send_command) == parameters(GatewayClient.send_command)


def test_py4j_connections_have_a_socket_and_close_with_a_reset():
    assert parameters(GatewayConnection.send_command) == ["self", "command"]
    assert parameters(GatewayConnection.close) == ["self", "reset"]
    assert "self.socket.settimeout" in inspect.getsource(GatewayConnection)


def test_py4j_gateway_keeps_the_client_where_the_timeout_is_changed():
    parameters = GatewayParameters(port=1, auth_token="token", read_timeout=7.0, enable_memory_management=False)
    client = _compat_py4j.Connection(gateway_parameters=parameters)
    gateway = JavaGateway(gateway_client=client, gateway_parameters=parameters)
    assert gateway._gateway_client is client
    with _compat_py4j.longer_timeout(gateway, 10):
        assert client.timeout_s == 70.0
    assert client.timeout_s is None


def test_py4j_has_its_jar_with_the_gateway_server():
    with zipfile.ZipFile(_compat_py4j.gateway_jar()) as jar:
        assert "py4j/GatewayServer.class" in jar.namelist()


@pytest.mark.parametrize("method", METHODS)
def test_scienceworld_interface_has_the_method(jar, method):
    names = jar.read(f"{_compat_scienceworld.INTERFACE.replace('.', '/')}.class")
    # A class file stores a name as its length in two bytes and its text.
    assert len(method).to_bytes(2, "big") + method.encode() in names


@pytest.mark.parametrize("prefix", [*_compat_scienceworld.SHARED, _compat_scienceworld.NOT_SHARED])
def test_scienceworld_jar_contains_the_package_that_simulators_share_or_do_not(jar, prefix):
    assert any(name.startswith(prefix) for name in jar.namelist())


@pytest.mark.parametrize("answer", _compat_scienceworld.NOT_UNDERSTOOD)
def test_scienceworld_answers_this_to_actions_that_it_does_not_understand(jar, answer):
    assert any(answer.encode() in jar.read(name) for name in jar.namelist() if name.startswith("scienceworld/"))


def test_scienceworld_knows_former_names_of_tasks():
    assert _compat_scienceworld.current_task_name("task-3-find-plant") == "find-plant"
    assert {_compat_scienceworld.current_task_name(name) for name in VARIATIONS} == set(VARIATIONS)


def test_scienceworld_has_the_task_types_of_the_protocols():
    package = _compat_scienceworld.simulator_jar().parent
    assert {task["task_name"] for task in json.loads((package / "tasks.json").read_text())} == set(VARIATIONS)
