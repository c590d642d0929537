from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import pytest
from eef_textworld.engine_process import EngineProcess
from eef_textworld.environment import TextWorld
from eef_textworld.messages import ViewOptions

from eef_framework.errors import EnvironmentFailure, ReplayDivergence

SMALL = {"rooms": 2, "objects": 3, "shortest": 2, "longest": 3}

SABOTAGE = """
import os, time
from eef_textworld.game_state import GameState

step = GameState.step

def sabotaged(self, command):
    if command == "hang":
        while True:
            pass
    if command == "crash":
        os.kill(os.getpid(), 11)
    if command == "raise":
        raise RuntimeError("the lamp went out")
    return step(self, command)

GameState.step = sabotaged
"""


@pytest.fixture
def sabotaged(tmp_path, monkeypatch):
    # What Python runs when it starts: the engine's process gets commands that hang, crash and raise.
    (tmp_path / "sitecustomize.py").write_text(SABOTAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    with TextWorld(**SMALL, timeout_s=6.0) as environment:
        yield environment


def alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize(("command", "code"), [("hang", "textworld-hung"), ("crash", "textworld-died")])
def test_an_engine_that_hangs_or_crashes_takes_one_episode_with_it_and_no_other(sabotaged, command, code):
    tasks = sabotaged.tasks("train")
    victim, other = sabotaged.open(tasks[0]), sabotaged.open(tasks[1])
    seen = other.step(other.observation.actions[0]).observation
    pid, began = sabotaged.engine.pid, time.monotonic()
    with pytest.raises(EnvironmentFailure) as caught:
        victim.step(command)
    assert caught.value.code == code
    assert command == "hang" or caught.value.details["status"] == -signal.SIGSEGV
    assert time.monotonic() - began < 30
    assert not alive(pid)
    assert other.observation == seen
    with other.fork() as fork:  # the game is replayed in a new process
        assert sabotaged.engine.pid not in (None, pid)
        assert fork.step("inventory").observation == seen
    victim.close()
    other.close()
    assert sabotaged.engine.request("count")[0] == 0


@pytest.mark.slow
def test_an_error_in_the_engine_is_an_environment_failure_and_the_process_goes_on(sabotaged):
    session = sabotaged.open(sabotaged.tasks("train")[0])
    pid = sabotaged.engine.pid
    with pytest.raises(EnvironmentFailure) as caught:
        session.step("raise")
    assert (caught.value.code, caught.value.details["reason"]) == (
        "textworld-failed",
        "RuntimeError: the lamp went out",
    )
    assert session.step("inventory").valid
    assert sabotaged.engine.pid == pid


@pytest.mark.slow
def test_episodes_survive_a_killed_process_except_the_one_that_notices_it():
    with TextWorld(**SMALL) as environment:
        sessions = [environment.open(task) for task in environment.tasks("train")[:4]]
        for session in sessions:
            session.step(session.observation.actions[0])
        os.kill(environment.engine.pid, signal.SIGKILL)
        # The first request fails because the death is noticed during it; the other episodes are replayed.
        with pytest.raises(EnvironmentFailure) as caught:
            sessions[0].step("inventory")
        assert caught.value.details["status"] == -signal.SIGKILL
        for session in sessions[1:]:
            seen = session.observation
            assert session.step("inventory").observation == seen


@pytest.mark.slow
def test_a_replayed_game_that_differs_is_reported_and_not_continued():
    with TextWorld(**SMALL) as environment:
        session = environment.open(environment.tasks("train")[0])
        session.step("look")
        session.observation = session.observation.changed(text="elsewhere")
        environment.close()
        with pytest.raises(ReplayDivergence):
            session.step("look")


def test_a_textworld_that_cannot_be_imported_is_an_error_with_the_reason(tmp_path, monkeypatch):
    (tmp_path / "textworld.py").write_text("raise OSError('libfrotz.so: wrong ELF class')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with TextWorld(**SMALL) as environment, pytest.raises(EnvironmentFailure) as caught:
        environment.open(environment.tasks("train")[0])
    assert caught.value.code == "textworld-broken"
    assert caught.value.details["reason"] == "OSError: libfrotz.so: wrong ELF class"


@pytest.mark.slow
def test_closing_ends_the_process_and_is_harmless_twice():
    environment = TextWorld(**SMALL)
    session = environment.open(environment.tasks("train")[0])
    pid = environment.engine.pid
    environment.close()
    environment.close()
    session.close()
    assert not alive(pid)


def test_the_process_ends_when_its_object_is_garbage_collected():
    engine = EngineProcess(ViewOptions(), 4, 10.0)
    engine.request("count")
    pid = engine.pid
    del engine
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def test_an_interrupted_request_leaves_no_answer_for_the_next_one(monkeypatch):
    engine = EngineProcess(ViewOptions(), 4, 10.0)
    engine.request("count")

    def interrupted():
        raise KeyboardInterrupt

    connection = engine._connection
    monkeypatch.setattr(engine, "_connection", type("Interrupted", (), {"send": connection.send, "recv": interrupted}))
    with pytest.raises(KeyboardInterrupt):
        engine.request("count")
    assert engine.request("count") == (0, 0)
    engine.close()


def rss_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


@pytest.mark.slow
def test_a_thousand_openings_leave_memory_flat():
    with TextWorld(**SMALL, cached_games=4) as environment:
        tasks = environment.tasks("train")[:4]
        for task in tasks:
            environment.open(task).close()

        def cycle(count: int) -> None:
            for index in range(count):
                with environment.open(tasks[index % 4]) as session:
                    session.step(session.observation.actions[0])
                    session.fork().close()

        cycle(100)
        before, files = rss_mb(environment.engine.pid), len(os.listdir("/proc/self/fd"))
        cycle(900)
        assert rss_mb(environment.engine.pid) - before < 3
        assert len(os.listdir("/proc/self/fd")) == files
        assert environment.engine.request("count") == (0, 4)
