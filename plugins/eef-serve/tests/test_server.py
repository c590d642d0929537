"""The server: access, limits, and requests as nobody should send them."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator

import httpx
import pytest
from eef_serve.sessions import Limits
from eef_serve.testing import RunningServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Start = Callable[..., RunningServer]
TOKEN = "a-token-of-the-tests"


@pytest.fixture
def server(start: Start) -> RunningServer:
    return start(limits=Limits(sessions=3, body=10_000))


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"{server.url}/v1", headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False
    ) as client:
        yield client


def opened(client: httpx.Client) -> str:
    task = client.get("tasks").json()["tasks"][0]
    answer = client.post("sessions", json={"split": "train", "task": task["id"]})
    assert answer.status_code == 200
    id: str = answer.json()["session"]
    return id


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("header", [None, "", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer é"])
@pytest.mark.parametrize("path", ["/v1/environment", "/v1/tasks", "/openapi.json", "/v1/sessions/x/step", "/nothing"])
def test_nothing_is_answered_without_the_token(server: RunningServer, header: str | None, path: str) -> None:
    headers = {} if header is None else {"Authorization": header.encode()}
    answer = httpx.get(server.url + path, headers=headers, trust_env=False)
    assert code(answer) == (401, "no-access")


def test_health_needs_no_token(server: RunningServer) -> None:
    assert httpx.get(f"{server.url}/health", trust_env=False).json() == {"status": "ok"}


def test_a_step_that_is_requested_again_is_carried_out_once(client: httpx.Client) -> None:
    session = opened(client)
    first = client.post(f"sessions/{session}/step", json={"at": 0, "action": "go[east]"})
    again = client.post(f"sessions/{session}/step", json={"at": 0, "action": "go[east]"})
    assert first.json() == again.json()
    other = client.post(f"sessions/{session}/step", json={"at": 0, "action": "west"})
    ahead = client.post(f"sessions/{session}/step", json={"at": 2, "action": "go[east]"})
    assert code(other) == code(ahead) == (409, "other-state")


def test_a_fork_is_independent(client: httpx.Client) -> None:
    session = opened(client)
    client.post(f"sessions/{session}/step", json={"at": 0, "action": "go[east]"})
    fork = client.post(f"sessions/{session}/fork").json()
    assert fork["steps"] == 1
    a = client.post(f"sessions/{session}/step", json={"at": 1, "action": "go[east]"})
    assert client.delete(f"sessions/{session}").status_code == 204
    b = client.post(f"sessions/{fork['session']}/step", json={"at": 1, "action": "go[east]"})
    assert a.json() == b.json()


def test_a_session_is_restored_from_its_actions(client: httpx.Client) -> None:
    session = opened(client)
    for at in range(2):
        last = client.post(f"sessions/{session}/step", json={"at": at, "action": "go[east]"}).json()
    task = client.get("tasks").json()["tasks"][0]["id"]
    restored = client.post(
        "sessions", json={"split": "train", "task": task, "actions": ["go[east]", "go[east]"]}
    ).json()
    assert restored["observation"] == last["step"]["observation"]
    assert (restored["steps"], len(restored["observations"])) == (2, 3)


def test_sessions_are_limited_and_closing_makes_room(client: httpx.Client) -> None:
    ids = [opened(client) for _ in range(3)]
    task = client.get("tasks").json()["tasks"][0]["id"]
    full = client.post("sessions", json={"split": "train", "task": task})
    assert code(full) == (429, "too-many-sessions")
    assert code(client.post(f"sessions/{ids[0]}/fork")) == (429, "too-many-sessions")
    assert "retry-after" in full.headers
    client.delete(f"sessions/{ids[0]}")
    opened(client)


def test_clients_see_their_own_sessions_only(start: Start) -> None:
    tokens = {"a": "token-of-client-a", "b": "token-of-client-b"}
    url = f"{start(tokens=tokens, limits=Limits(per_client=1)).url}/v1"
    clients = [
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
        for token in tokens.values()
    ]
    session = opened(clients[0])
    assert code(clients[1].post(f"sessions/{session}/step", json={"at": 0, "action": "go[east]"})) == (
        404,
        "unknown-session",
    )
    assert code(clients[1].delete(f"sessions/{session}")) == (404, "unknown-session")
    assert code(clients[0].post(f"sessions/{session}/fork")) == (429, "too-many-sessions")
    opened(clients[1])
    for client in clients:
        client.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"\xff\xfe", 422),
        (b"[1]", 422),
        (b'{"split": "train"}', 422),
        (b'{"split": "train", "task": "x", "more": 1}', 422),
        (b'{"split": "train", "task": 7}', 422),
        (b'{"split": "train", "task": "no such task"}', 404),
        (b'{"split": "../../etc", "task": "x"}', 400),
    ],
)
def test_malformed_requests_are_named(client: httpx.Client, body: bytes, status: int) -> None:
    answer = client.post("sessions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["code"]


def test_a_deeply_nested_request_is_refused(client: httpx.Client) -> None:
    """How deep Python's parser goes depends on its version."""
    body = b'{"split": "train", "task": "x", "actions": [' + b"[" * 3000 + b"]" * 3000 + b"]}"
    answer = client.post("sessions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["code"]


def test_large_requests_are_refused_before_they_are_read(server: RunningServer, client: httpx.Client) -> None:
    assert code(client.post("sessions", content=b"x" * 20_000)) == (413, "too-large")
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(
            f"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        chunk = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
        for _ in range(3):
            raw.sendall(chunk)
        assert b" 413 " in raw.recv(1000).split(b"\r\n")[0]
    assert client.get("environment").status_code == 200


def test_a_client_that_leaves_in_a_request_harms_nobody(server: RunningServer, client: httpx.Client) -> None:
    for sent in (
        b"POST /v1/ses",
        b"GARBAGE\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{",
    ):
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            raw.sendall(sent)
    opened(client)


@given(st.text(max_size=200), st.integers(-3, 3))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_is_an_action(client: httpx.Client, action: str, at: int) -> None:
    session = opened(client)
    body = json.dumps({"at": at, "action": action}).encode("utf-8", "surrogatepass")
    answer = client.post(f"sessions/{session}/step", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 409, 422)
    client.delete(f"sessions/{session}")
