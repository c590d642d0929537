"""Sessions of a server whose environment fails, or is slow."""

from __future__ import annotations

import asyncio
import threading

import pytest
from eef_serve.sessions import Limits, Refusal, Sessions

from eef_framework.errors import EnvironmentFailure
from eef_framework.records import Step
from eef_framework.testing.corridor import Corridor, CorridorSession

TASK = Corridor().tasks("train")[0].id


class Blocking(Corridor):
    blocking = True


def test_sessions_that_are_being_opened_count_towards_the_limit_of_their_client() -> None:
    async def played() -> list[str]:
        sessions = Sessions(Blocking(), Limits(per_client=1))
        await sessions.tasks("train")
        clients = ("me", "me", "other")
        opening = (sessions.open(client, "train", TASK, []) for client in clients)
        found = await asyncio.gather(*opening, return_exceptions=True)
        sessions.close_all()
        return [each.code if isinstance(each, Refusal) else "opened" for each in found]

    assert asyncio.run(played()) == ["opened", "too-many-sessions", "opened"]


def test_a_session_that_cannot_be_closed_keeps_no_other_open(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    released: list[CorridorSession] = []

    def release(self: CorridorSession) -> None:
        released.append(self)
        raise RuntimeError("stuck")

    monkeypatch.setattr(CorridorSession, "release", release)

    async def played() -> int:
        sessions = Sessions(Corridor(), Limits(idle_s=-1.0))  # all are idle
        for _ in range(2):
            await sessions.open("me", "train", TASK, [])
        closed = await sessions.close_idle()
        for _ in range(2):
            await sessions.open("me", "train", TASK, [])
        sessions.close_all()
        return closed

    assert asyncio.run(played()) == 2
    assert len(released) == len(caplog.records) == 4


def test_a_session_whose_step_fails_after_the_time_limit_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    end, closed = threading.Event(), threading.Event()

    def perform(self: CorridorSession, action: str) -> Step:
        end.wait(60)
        raise RuntimeError("too late")

    monkeypatch.setattr(CorridorSession, "perform", perform)
    monkeypatch.setattr(CorridorSession, "release", lambda self: closed.set())

    async def played() -> bool:
        sessions = Sessions(Blocking(), Limits())
        id, _ = await sessions.open("me", "train", TASK, [])
        sessions.limits = Limits(step_s=0.01)
        with pytest.raises(TimeoutError):
            await sessions.step("me", id, 0, "go[east]")
        end.set()
        return await asyncio.to_thread(closed.wait, 60)

    assert asyncio.run(played())


@pytest.mark.parametrize("world", [Corridor, Blocking])
def test_an_environment_that_ends_its_process_or_opens_nothing_fails_a_request(
    world: type[Corridor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(self: CorridorSession, action: str) -> Step:
        raise SystemExit(3)

    async def codes() -> list[str]:
        sessions = Sessions(world(), Limits())
        id, _ = await sessions.open("me", "train", TASK, [])
        monkeypatch.setattr(CorridorSession, "perform", leave)
        monkeypatch.setattr(world, "open", lambda self, task: None)
        with pytest.raises(EnvironmentFailure) as stepped:
            await sessions.step("me", id, 0, "go[east]")
        with pytest.raises(EnvironmentFailure) as opened:
            await sessions.open("me", "train", TASK, [])
        sessions.close_all()
        return [stepped.value.code, opened.value.code]

    assert asyncio.run(codes()) == ["environment-failed", "not-a-session"]
