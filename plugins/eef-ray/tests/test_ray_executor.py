"""Episodes on a cluster have the same results as in this process, also if workers and nodes are killed."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from eef_ray.cluster import LOCK, locked, temporary_folder
from eef_ray.executor import RayExecutor

from eef_framework.chat.format import ChatFormat
from eef_framework.errors import ConfigError, EefWarning, ExecutorFailure
from eef_framework.interfaces import EpisodeSpec, Executor, Sampling
from eef_framework.pipeline import run
from eef_framework.pipeline.context import RunContext
from eef_framework.plugins import Registry, load_plugins
from eef_framework.policies import TinyModel, TransformersPolicy
from eef_framework.records import Attribution, Checkpoint, State, Trajectory
from eef_framework.rollout import EpisodeRunner, ThreadExecutor, demonstrations
from eef_framework.runs import RunLayout, StageKey, read_rows
from eef_framework.testing.conformance import check_executor
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.fatal import FatalExpert, FatalPolicy
from eef_framework.testing.queue_policy import ScriptedPolicy
from eef_framework.testing.small_run import small_config

TIMEOUT_S = 120.0
"""For what takes a second on an idle machine."""

# One thread as in workers: Ray gives a worker with one CPU one thread.
pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("one_thread")]
slow = pytest.mark.slow


@pytest.fixture
def components(two_nodes: Any) -> Any:
    """The module `ray_components`, which workers can import, too."""
    return importlib.import_module("ray_components")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A tiny model in float32 that knows the words of the corridor."""
    corridor, format = Corridor(), ChatFormat()
    shown = asyncio.run(every(ThreadExecutor(), CorridorExpert()))
    conversations = [format.conversation(corridor.instructions, each.initial, each.steps) for each in shown]
    tiny = TransformersPolicy(tiny=TinyModel(hidden=32, layers=2, feed_forward=64))
    return tiny.initial_checkpoint(conversations, tmp_path_factory.mktemp("tiny"), seed=1)


def setup_of(policy: Any = None, environment: Any = None, **settings: Any) -> EpisodeRunner:
    sampling = settings.pop("sampling", Sampling())
    policy = policy or ScriptedPolicy(skill=0.8)
    return EpisodeRunner(environment or Corridor(), policy, "agent/test", ChatFormat(), sampling, **settings)


def specs(count: int = 6) -> list[EpisodeSpec]:
    tasks = Corridor(tasks_per_split=count).tasks("train")
    return [EpisodeSpec(id=f"x/{n}", start=State(task=task), seed=n) for n, task in enumerate(tasks)]


def played(
    executor: Executor, setup: EpisodeRunner, given: list[EpisodeSpec], meanwhile: Any = None
) -> tuple[list[Trajectory], int]:
    """Play episodes as a phase does; return them, and how many were played again."""
    with RunContext(small_config(6, 4, executor=executor), Registry()) as context:
        with context.playing(setup) as play:

            async def gather() -> list[Trajectory]:
                calls = [play(each) for each in given]
                others = [asyncio.to_thread(meanwhile)] if meanwhile else []
                return list((await asyncio.gather(*calls, *others))[: len(given)])

            found = context.wait_for(gather())
        return found, play.lost


async def every(executor: Executor, expert: Any) -> list[Trajectory]:
    tasks = Corridor().tasks("train")[:8]
    found = {each.task.id: each async for each in demonstrations(expert, Corridor(), tasks, 3, executor)}
    assert len(found) == len(tasks)
    return [found[task.id].changed(seconds=0.0, provenance=None) for task in tasks]  # it has a date


def without_digits(row: Trajectory) -> tuple[Any, list[float]]:
    """Return a row without log-probabilities and times, and the log-probabilities."""
    data = row.model_dump() | {"seconds": 0.0, "provenance": None}  # it has a date
    responses = [step["response"] for step in data["steps"] if step["response"]]
    return data, [float(response.pop("logprob") or 0.0) for response in responses]


def assert_equal(one: list[Trajectory], other: list[Trajectory]) -> None:
    assert len(one) == len(other) > 0
    for here, there in zip(one, other, strict=True):
        (data, logprobs), (other_data, other_logprobs) = without_digits(here), without_digits(there)
        assert data == other_data
        assert logprobs == pytest.approx(other_logprobs, abs=1e-5)


def wait_until(condition: Any) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + TIMEOUT_S
        time.sleep(0.05)


def runs(process: int) -> bool:
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@slow
def test_it_keeps_the_contract(ray_executor: RayExecutor) -> None:
    check_executor(ray_executor)


@slow
@pytest.mark.parametrize("constrain", [False, True])
def test_a_model_answers_with_the_same_tokens(
    ray_executor: RayExecutor, checkpoint: Checkpoint, constrain: bool
) -> None:
    sampling = Sampling(max_tokens=8, constrain=constrain)
    setup = setup_of(TransformersPolicy(), checkpoint=checkpoint, sampling=sampling, max_steps=4)
    here, _ = played(ThreadExecutor(), setup, specs(16))
    there, lost = played(ray_executor, setup, specs(16))
    assert lost == 0
    assert any(step.response.token_ids for row in here for step in row.steps)
    assert_equal(here, there)


@slow
def test_actions_have_the_same_scores(ray_executor: RayExecutor, checkpoint: Checkpoint) -> None:
    setup = setup_of(TransformersPolicy(), checkpoint=checkpoint)
    state = State(task=Corridor().tasks("train")[0])

    async def scored(play: Any) -> list[float]:
        return [each.logprob for each in await play.score(state, ["go[east]", "go[west]"], "")]

    with setup.open() as here, ray_executor.start(setup) as there:
        assert asyncio.run(scored(there)) == pytest.approx(asyncio.run(scored(here)), abs=1e-5)


@slow
def test_a_run_has_the_same_rows_and_verdicts(ray_executor: RayExecutor, tmp_path: Path) -> None:
    tiny = TransformersPolicy(tiny=TinyModel(hidden=32, layers=1, feed_forward=64))
    changes: dict[str, Any] = {
        "policy": tiny,
        "format": {"style": "action", "history": 1},
        "clone": {"trainer": {"name": "sft", "steps": 20, "learning_rate": 1e-2}},
        "tune": {"trainer": {"name": "sft", "steps": 2}},
        "attributor": {"name": "interval"},
        "explore": {"sampling": {"temperature": 1.0, "max_tokens": 8, "constrain": True}},
        "filters": [],
    }
    for name, executor in (("threads", None), ("ray", ray_executor)):
        run(small_config(6, 4, executor=executor, **changes), load_plugins(), tmp_path / name)
    here, there = RunLayout(tmp_path / "threads"), RunLayout(tmp_path / "ray")
    explored = StageKey("explore", "eef", 1)
    for key in (StageKey("collect"), explored, StageKey("evaluate", "eef", 1)):
        rows = [list(read_rows(layout.trajectories(key), Trajectory)) for layout in (here, there)]
        assert_equal(*rows)
    verdicts = [list(read_rows(layout.attributions("eef", 1), Attribution)) for layout in (here, there)]
    assert verdicts[0] == verdicts[1]
    assert verdicts[0]


@slow
def test_no_episode_of_a_killed_node_is_lost(
    ray_executor: RayExecutor, two_nodes: Any, components: Any, tmp_path: Path
) -> None:
    def kill() -> None:
        wait_until(lambda: len(waiting()) == 2)
        two_nodes.kill_second()
        wait_until(lambda: not all(map(runs, waiting())))  # a worker takes a moment to notice that its node is gone
        (tmp_path / "go").touch()

    def waiting() -> list[int]:
        return [int(path.name.removeprefix("waiting-")) for path in tmp_path.glob("waiting-*")]

    setup = setup_of(environment=components.WaitingCorridor(tasks_per_split=40, folder=tmp_path), concurrency=8)
    with pytest.warns(EefWarning) as said:
        found, lost = played(ray_executor, setup, specs(40), kill)
    assert 1 <= lost <= 4  # those that the node was playing
    assert [
        each.message.details["episodes"] for each in said if getattr(each.message, "code", "") == "workers-lost"
    ] == [lost]
    assert_equal(played(ThreadExecutor(), setup, specs(40))[0], found)


@slow
def test_episodes_of_a_killed_worker_are_played_again(ray_executor: RayExecutor, tmp_path: Path) -> None:
    setup = setup_of(FatalPolicy(skill=0.8, marker=tmp_path / "killed"))
    with pytest.warns(EefWarning):
        found, lost = played(ray_executor, setup, specs())
    assert lost >= 1
    assert_equal(played(ThreadExecutor(), setup, specs())[0], found)  # the marker is there: nothing is killed


@slow
def test_an_episode_that_kills_each_worker_stops_the_run(ray_executor: RayExecutor, tmp_path: Path) -> None:
    setup = setup_of(FatalPolicy(marker=tmp_path / "killed", always=True))
    with pytest.raises(ExecutorFailure) as caught:
        played(ray_executor, setup, specs(1))
    assert caught.value.code == "workers-lost"


@slow
def test_demonstrations_of_a_killed_worker_are_given_again(ray_executor: RayExecutor, tmp_path: Path) -> None:
    expert = FatalExpert(marker=tmp_path / "killed")
    found = asyncio.run(every(ray_executor, expert))
    assert (tmp_path / "killed").exists()
    assert found == asyncio.run(every(ThreadExecutor(), expert))


@slow
def test_warnings_and_errors_of_workers_arrive(ray_executor: RayExecutor, components: Any, tmp_path: Path) -> None:
    with pytest.warns(EefWarning) as said:
        played(ray_executor, setup_of(components.WarningPolicy()), specs(2))
    ours = [each.message for each in said if isinstance(each.message, EefWarning)]
    assert {each.code for each in ours} == {"careful"}
    assert all(each.details["process"] != os.getpid() for each in ours)
    gone = Checkpoint(path=tmp_path / "gone")
    with pytest.raises(ConfigError) as caught:
        played(ray_executor, setup_of(TransformersPolicy(), checkpoint=gone), specs(1))
    assert caught.value.code == "checkpoint-not-shared"


@slow
def test_a_cluster_without_a_place_for_a_worker_is_an_error(ray_executor: RayExecutor) -> None:
    played(ray_executor, setup_of(), specs(1))  # its workers hold the CPU of each node
    with RayExecutor(gpus=1) as executor, pytest.raises(ExecutorFailure) as caught:
        played(executor, setup_of(), specs(1))
    assert caught.value.code == "no-resources"
    with RayExecutor(start_timeout_s=1.0) as executor, pytest.raises(ExecutorFailure) as caught:
        played(executor, setup_of(), specs(1))
    assert caught.value.code == "no-workers"


@slow
def test_a_process_is_connected_to_one_cluster(ray_executor: RayExecutor) -> None:
    played(ray_executor, setup_of(), specs(1))
    with pytest.raises(ExecutorFailure) as caught, RayExecutor(address="127.0.0.1:1").start(setup_of()):
        pass
    assert (caught.value.code, caught.value.details["address"]) == ("other-cluster", "127.0.0.1:1")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "[::1]:1"])
def test_an_address_without_a_cluster_is_an_error(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(ExecutorFailure) as caught, RayExecutor(address=address).start(setup_of()):
        pass
    assert (caught.value.code, caught.value.details["address"]) == ("cluster-unreachable", address)


def test_without_ray_the_run_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError) as caught:
        RayExecutor().preflight()
    assert caught.value.code == "ray-missing"


def test_a_configuration_names_it_and_ray_is_not_imported() -> None:
    code = (
        "import sys\n"
        "from eef_framework.plugins import load_plugins\n"
        "executor = load_plugins(['eef_ray.plugin'], {}).build('executor', {'name': 'ray', 'workers': 2})\n"
        "print(executor.workers, 'ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    assert done.stdout.split() == ["2", "False"]


LOCAL = """
import contextlib, os, signal, sys, time
from pathlib import Path
import ray_components
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where a shell runs the tests in the background
from test_ray_executor import RayExecutor, played, setup_of, specs
executor = RayExecutor(address="local", workers=1)
played(executor, setup_of(environment=ray_components.WaitingCorridor(folder=Path(sys.argv[1]))), specs(2))
"""


def processes_with(text: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text in path.read_text(errors="replace"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_a_local_cluster_ends_with_the_process(tmp_path: Path, number: int) -> None:
    with temporary_folder() as short:
        environment = os.environ | {
            "TMPDIR": str(short),
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
        }
        process = subprocess.Popen([sys.executable, "-c", LOCAL, str(tmp_path)], env=environment)
        try:
            wait_until(lambda: list(tmp_path.glob("waiting-*")) or process.poll() is not None)
            assert processes_with(f"{short}/eef-ray-")
            process.send_signal(number)
            process.wait(TIMEOUT_S)
        finally:
            process.kill()
        wait_until(lambda: not processes_with(f"{short}/eef-ray-"))
        left = list(short.glob("eef-ray-*"))
        assert bool(left) == (number == signal.SIGKILL)


def test_folders_of_killed_processes_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    with temporary_folder() as short:
        monkeypatch.setattr("tempfile.tempdir", str(short))
        (short / "eef-ray-left").mkdir()
        (short / "eef-ray-left" / LOCK).touch()
        (short / "eef-ray-notes").mkdir()
        (short / "eef-ray-notes" / "mine.txt").write_text("mine")
        (short / "eef-ray-used").mkdir()
        with locked(short / "eef-ray-used"), temporary_folder() as folder:
            assert {path.name for path in folder.parent.iterdir()} >= {"eef-ray-used", folder.name}
            assert not (folder.parent / "eef-ray-left").exists()
            assert [path.name for path in (short / "eef-ray-notes").iterdir()] == ["mine.txt"]
        assert not folder.exists()
