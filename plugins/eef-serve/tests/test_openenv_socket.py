"""OpenEnv's protocol over a WebSocket: episodes, errors, limits, and clients that disappear."""

from __future__ import annotations

import json
import math
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from socket import SHUT_RDWR
from typing import Any

import pytest
from eef_serve.app import create_app
from eef_serve.sessions import Limits, Sessions
from eef_serve.testing import RunningServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient, WebSocketDenialResponse, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from eef_framework.records import Step
from eef_framework.testing.corridor import Corridor, CorridorSession

TOKEN = "a-token-of-the-tests"
BASIC = "Basic " + b64encode(f"me:{TOKEN}".encode()).decode()


@pytest.fixture
def client() -> Iterator[TestClient]:
    limits = Limits(sessions=3, per_client=2, body=10_000)
    app = create_app(Corridor(), {"tests": TOKEN, "other": "token-of-the-other"}, limits)
    with TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


@pytest.fixture
def socket(client: TestClient) -> Iterator[WebSocketTestSession]:
    with client.websocket_connect("/ws") as socket:
        yield socket


def asked(socket: WebSocketTestSession, type: str, **data: Any) -> dict[str, Any]:
    """Return the data of the answer to a message."""
    socket.send_json({"type": type} | ({"data": data} if type in ("reset", "step") else {}))
    answer: dict[str, Any] = socket.receive_json()
    return dict(answer["data"], type=answer["type"])


def sessions(client: TestClient) -> Sessions:
    found: Sessions = client.app.state.sessions  # type: ignore[attr-defined]
    return found


def wait_until_closed(client: TestClient) -> None:
    end = time.monotonic() + 60
    while len(sessions(client)):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_episode_equals_that_of_the_environment(socket: WebSocketTestSession) -> None:
    corridor = Corridor()
    with corridor.open(corridor.tasks("dev")[1]) as here:
        first = asked(socket, "reset", split="dev", seed=1)
        assert first["observation"] == here.observation.model_dump(mode="json")
        assert (first["reward"], first["done"]) == (None, False)
        while not here.done:
            action = (here.observation.actions or ("go[east]",))[-1]
            step, there = here.step(action), asked(socket, "step", action=action, metadata={})
            assert there["observation"] == step.observation.model_dump(mode="json")
            assert (there["reward"], there["done"]) == (step.reward, step.done)
        state = asked(socket, "state")
        assert (state["task"], state["reward"], state["done"]) == (here.task.id, here.reward, True)
    assert asked(socket, "step", action="go[east]")["reason"] == "episode-over"


def test_a_task_is_chosen_by_name_or_by_seed_and_restored_from_actions(socket: WebSocketTestSession) -> None:
    tasks = [task.id for task in Corridor().tasks("train")]
    asked(socket, "reset", task=tasks[2], episode_id="mine")
    step = asked(socket, "step", action="go[east]")
    assert {"episode_id": "mine", "step_count": 1, "task": tasks[2]}.items() <= asked(socket, "state").items()
    restored = asked(socket, "reset", task=tasks[2], actions=["go[east]"])
    assert restored["observation"] == step["observation"]
    asked(socket, "reset", seed=len(tasks) + 2)
    assert asked(socket, "state")["task"] == tasks[2]
    asked(socket, "reset")
    assert asked(socket, "state")["task"] in tasks


def test_a_session_is_forked_over_http(client: TestClient, socket: WebSocketTestSession) -> None:
    asked(socket, "reset", seed=0)
    asked(socket, "step", action="go[east]")
    fork = client.post(f"/v1/sessions/{asked(socket, 'state')['session']}/fork").json()
    assert fork["steps"] == 1
    assert fork["observation"] == asked(socket, "step", action="no action")["observation"]


@pytest.mark.parametrize("header", ["", "Bearer x", f"Basic {TOKEN}", TOKEN, BASIC[:-6], "Basic é"])
def test_a_connection_without_the_token_is_refused(client: TestClient, header: str) -> None:
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect("/ws", headers={"Authorization": header.encode()}),  # type: ignore[dict-item]
    ):
        pass
    assert (refused.value.status_code, refused.value.json()["code"]) == (401, "no-access")


def test_the_token_is_taken_from_the_address_too(client: TestClient) -> None:
    with client.websocket_connect("/ws", headers={"Authorization": BASIC}) as socket:
        assert asked(socket, "state")["step_count"] == 0
    assert client.get("/v1/environment", headers={"Authorization": BASIC}).status_code == 200


@pytest.mark.parametrize(
    ("sent", "code", "reason"),
    [
        ("", "INVALID_JSON", "malformed-request"),
        ("{", "INVALID_JSON", "malformed-request"),
        ("[" * 5000, "INVALID_JSON", "malformed-request"),
        ("[1]", "VALIDATION_ERROR", "malformed-request"),
        ("{}", "UNKNOWN_TYPE", "malformed-request"),
        ('{"type": "mcp", "data": {}}', "UNKNOWN_TYPE", "malformed-request"),
        ('{"type": "reset", "data": {"taks": "x"}}', "VALIDATION_ERROR", "malformed-request"),
        ('{"type": "reset", "data": {"seed": -1}}', "VALIDATION_ERROR", "malformed-request"),
        ('{"type": "reset", "data": {"task": "no such task"}}', "EXECUTION_ERROR", "unknown-task"),
        ('{"type": "reset", "data": {"split": "../etc"}}', "EXECUTION_ERROR", "no-such-split"),
        ('{"type": "step"}', "VALIDATION_ERROR", "malformed-request"),
        ('{"type": "step", "data": {"message": "x"}}', "VALIDATION_ERROR", "malformed-request"),
        ('{"type": "step", "data": {"action": "x"}}', "EXECUTION_ERROR", "no-episode"),
    ],
)
def test_malformed_messages_are_named_and_the_connection_goes_on(
    socket: WebSocketTestSession, sent: str, code: str, reason: str
) -> None:
    socket.send_text(sent)
    answer = socket.receive_json()
    assert (answer["type"], answer["data"]["code"], answer["data"]["reason"]) == ("error", code, reason)
    socket.send_bytes(sent.encode())
    assert socket.receive_json() == answer
    assert asked(socket, "reset", seed=0)["type"] == "observation"


@given(st.one_of(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_gets_an_answer(socket: WebSocketTestSession, sent: str) -> None:
    socket.send_text(sent)
    assert socket.receive_json()["type"] == "error"


def test_a_message_that_is_too_large_ends_the_connection_and_the_session(client: TestClient) -> None:
    with client.websocket_connect("/ws") as socket:
        asked(socket, "reset")
        assert len(sessions(client)) == 1
        socket.send_text(" " * 10_001)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 1009
    wait_until_closed(client)


def test_sessions_count_towards_the_limits_of_the_client(client: TestClient) -> None:
    with client.websocket_connect("/ws") as a, client.websocket_connect("/ws") as b:
        asked(a, "reset")
        asked(a, "reset")  # in place of the first one
        task = client.get("/v1/tasks").json()["tasks"][0]["id"]
        assert client.post("/v1/sessions", json={"split": "train", "task": task}).status_code == 200
        full = asked(b, "reset")
        assert (full["code"], full["reason"]) == ("CAPACITY_REACHED", "too-many-sessions")
        other = {"Authorization": "Bearer token-of-the-other"}
        id = asked(a, "state")["session"]
        assert client.delete(f"/v1/sessions/{id}", headers=other).status_code == 404
        a.send_json({"type": "close"})
        with pytest.raises(WebSocketDisconnect):
            a.receive_json()
        assert asked(b, "reset")["type"] == "observation"


def test_a_session_that_was_closed_meanwhile_is_named_and_can_be_restored(
    client: TestClient, socket: WebSocketTestSession
) -> None:
    asked(socket, "reset", seed=0)
    client.delete(f"/v1/sessions/{asked(socket, 'state')['session']}")
    assert asked(socket, "step", action="go[east]")["reason"] == "unknown-session"
    assert asked(socket, "state")["reason"] == "unknown-session"
    assert asked(socket, "reset", seed=0, actions=["go[east]"])["type"] == "observation"


def test_failures_and_time_limits_of_the_environment_are_answers() -> None:
    class Blocking(Corridor):
        blocking = True

    for fault, reason in (("raise", "environment-failed"), ("hang", "step-timeout")):
        app = create_app(Blocking(fault=fault, hang_s=2.0), {"tests": TOKEN}, Limits(step_s=0.3))
        with (
            TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}) as client,
            client.websocket_connect("/ws") as socket,
        ):
            asked(socket, "reset", seed=0)
            assert asked(socket, "step", action="go[east]")["reason"] == reason
            assert asked(socket, "reset", seed=0)["type"] == "observation"


@pytest.mark.parametrize("code", ["bad-reward", "environment-failed"])
def test_what_json_cannot_hold_is_a_failure_of_the_environment_and_keeps_the_connection(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    perform = CorridorSession.perform

    def faulty(self: CorridorSession, action: str) -> Step:
        if code == "environment-failed":
            raise RuntimeError("half of a character: \ud800")
        return perform(self, action).changed(reward=math.nan)

    monkeypatch.setattr(CorridorSession, "perform", faulty)
    app = create_app(Corridor(), {"tests": TOKEN})
    with TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}, raise_server_exceptions=False) as client:
        with client.websocket_connect("/ws") as socket:
            asked(socket, "reset", seed=0)
            assert asked(socket, "step", action="go[east]")["reason"] == code
            assert asked(socket, "reset", seed=0)["type"] == "observation"
        opened = client.post("/v1/sessions", json={"split": "train", "task": Corridor().tasks("train")[0].id}).json()
        step = client.post(f"/v1/sessions/{opened['session']}/step", json={"at": 0, "action": "go[east]"})
        assert (step.status_code, step.json()["code"]) == (500, code)


def test_a_client_that_disappears_closes_its_session(start: Callable[..., RunningServer]) -> None:
    """On a real server: the connection is cut, without a closing message."""
    from websockets.sync.client import connect

    server = start()
    url = server.url.replace("http", "ws") + "/ws"
    with connect(url, additional_headers={"Authorization": f"Bearer {TOKEN}"}, proxy=None) as socket:
        socket.send('{"type": "reset"}')
        assert json.loads(socket.recv())["type"] == "observation"
        assert len(server.sessions) == 1
        socket.socket.shutdown(SHUT_RDWR)
        end = time.monotonic() + 60
        while len(server.sessions):
            assert time.monotonic() < end
            time.sleep(0.01)
