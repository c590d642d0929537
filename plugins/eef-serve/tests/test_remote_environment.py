"""The environment `remote` keeps the contract over the wire, and survives a server that is restarted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from eef_serve.app import create_app
from eef_serve.remote import RemoteEnvironment
from eef_serve.sessions import Limits
from eef_serve.testing import RunningServer, running
from fastapi import FastAPI, Request, Response
from starlette.middleware.base import RequestResponseEndpoint

from eef_framework.errors import ConfigError, EnvironmentFailure, ReplayDivergence
from eef_framework.records import Observation, Tool
from eef_framework.testing.conformance import check_environment
from eef_framework.testing.corridor import Corridor

Start = Callable[..., RunningServer]


@pytest.fixture
def remote(start: Start) -> Iterator[RemoteEnvironment]:
    """A client of a server of the corridor world."""
    with RemoteEnvironment(url=start().url) as environment:
        yield environment


@pytest.mark.slow
def test_the_conformance_checks_pass_over_the_wire(remote: RemoteEnvironment) -> None:
    check_environment(remote, cycles=20)


def test_episodes_equal_those_of_the_environment_itself(remote: RemoteEnvironment) -> None:
    own = Corridor()
    assert [task.changed(environment="corridor") for task in remote.tasks("train")] == list(own.tasks("train"))
    for task, far in zip(own.tasks("train")[:5], remote.tasks("train")[:5], strict=True):
        with own.open(task) as here, remote.open(far) as there:
            assert here.initial == there.initial
            while not here.done:
                action = (here.observation.actions or ("go[east]",))[-1]
                assert here.step(action) == there.step(action)
            assert (here.reward, here.done) == (there.reward, there.done)
    assert (remote.instructions, remote.longest_episode) == (own.instructions, own.longest_episode)
    assert remote.tools == ()


def test_declared_tools_arrive(token: str) -> None:
    class Declaring(Corridor):
        @property
        def tools(self) -> Sequence[Tool]:
            return [Tool(name="go", action="go[{direction}]")]

    with running(create_app(Declaring(), {"tests": token})) as server, RemoteEnvironment(url=server.url) as environment:
        assert list(environment.tools) == list(Declaring().tools)


def test_sessions_survive_a_restart_of_the_server(start: Start, token: str) -> None:
    with running(create_app(Corridor(), {"tests": token})) as server:
        environment = RemoteEnvironment(url=server.url)
        session = environment.open(environment.tasks("train")[0])
        action = (session.observation.actions or ("go[east]",))[0]
        session.step(action)
        port = server.port
    start(port=port)
    session.step(action)
    fork = session.fork()
    assert [step.action for step in fork.steps] == [action, action]
    assert fork.observation == session.observation
    environment.close()


def test_a_world_that_changed_is_noticed_when_a_session_is_restored(start: Start) -> None:
    server = start()
    with RemoteEnvironment(url=server.url) as environment:
        session = environment.open(environment.tasks("train")[0])
        session.step((session.observation.actions or ("go[east]",))[0])
        session.steps[0] = session.steps[0].changed(observation=Observation(text="as it was in another version"))
        server.sessions.close_all()
        with pytest.raises(ReplayDivergence) as refused:
            session.step("go[east]")
    assert refused.value.details["state"] == 1


def test_a_session_whose_client_is_gone_is_closed(start: Start) -> None:
    server = start(limits=Limits(idle_s=0.2))
    with RemoteEnvironment(url=server.url) as environment:
        session = environment.open(environment.tasks("train")[0])
        assert len(server.sessions) == 1
        end = time.monotonic() + 30
        while len(server.sessions):
            assert time.monotonic() < end
            time.sleep(0.05)
        session.step("go[east]")  # restored
        session.close()
        assert len(server.sessions) == 0


def test_a_session_that_failed_is_closed_on_the_server(start: Start) -> None:
    server = start(Corridor(fault="raise"))
    with RemoteEnvironment(url=server.url) as environment:
        session = environment.open(environment.tasks("train")[0])
        with pytest.raises(EnvironmentFailure):
            session.step("go[east]")
        session.close()
        assert len(server.sessions) == 0


class Blocking(Corridor):
    """A corridor whose sessions are stepped in threads."""

    blocking = True


def test_a_step_that_hangs_costs_the_session_and_nothing_else(start: Start) -> None:
    server = start(Blocking(fault="hang", fault_step=2, hang_s=2.0), Limits(step_s=0.5))
    with RemoteEnvironment(url=server.url) as environment:
        task = environment.tasks("train")[0]
        session = environment.open(task)
        first = session.step("go[east]")
        for _ in range(2):  # at the second time, the session is restored
            with pytest.raises(EnvironmentFailure) as lost:
                session.step("go[east]")
            assert lost.value.code == "step-timeout"
            assert len(server.sessions) == 0
        assert environment.open(task).step("go[east]") == first


def test_the_token_is_needed_on_both_sides(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start()
    environment = RemoteEnvironment(url=server.url)
    monkeypatch.setenv("EEF_SERVE_TOKEN", "another-token-than-that")
    with pytest.raises(ConfigError) as refused:
        environment.tasks("train")
    monkeypatch.delenv("EEF_SERVE_TOKEN")
    with pytest.raises(ConfigError) as missing:
        RemoteEnvironment(url=server.url).preflight()
    assert (refused.value.code, missing.value.code) == ("no-access", "no-key")


@pytest.mark.parametrize("around", ["%s\r", "\ufeff%s", "'%s'\n"])
def test_what_comes_with_a_token_from_a_file_is_left_off(
    start: Start, token: str, monkeypatch: pytest.MonkeyPatch, around: str
) -> None:
    server = start()
    monkeypatch.setenv("EEF_SERVE_TOKEN", around % token)
    with RemoteEnvironment(url=server.url) as environment:
        environment.preflight()
        assert environment.tasks("train")


def test_a_token_that_cannot_be_one_is_refused_without_telling_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EEF_SERVE_TOKEN", "the first line\nthe second line")
    with pytest.raises(ConfigError) as refused:
        RemoteEnvironment(url="http://127.0.0.1:9").preflight()
    assert refused.value.code == "bad-key"
    assert "line" not in str(refused.value).replace("line ends", "")


@pytest.mark.parametrize("status", [429, 502, 503])
def test_a_request_is_repeated_while_the_server_is_busy_or_restarts(token: str, status: int) -> None:
    app = create_app(Corridor(), {"tests": token})
    refused = []

    @app.middleware("http")
    async def busy(request: Request, answer: RequestResponseEndpoint) -> Response:
        if len(refused) < 2:
            refused.append(request.url.path)
            return Response("<html>try later</html>", status)
        return await answer(request)

    with running(app) as server, RemoteEnvironment(url=server.url) as environment:
        assert environment.tasks("train")
    assert len(refused) == 2


def test_another_server_is_refused_in_words(token: str) -> None:
    app = FastAPI()
    app.get("/v1/environment")(lambda: {"hello": "world"})
    with running(app) as server, pytest.raises(EnvironmentFailure) as refused:
        RemoteEnvironment(url=server.url).world  # noqa: B018 - asks the server
    assert refused.value.code == "other-protocol"
    with pytest.raises(EnvironmentFailure) as gone:
        RemoteEnvironment(url=server.url, retry_s=0).world  # noqa: B018 - asks the server
    assert gone.value.code == "server-unreachable"
