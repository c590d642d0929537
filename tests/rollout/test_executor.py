"""Where episodes are played: in this process, or in others, with the same results."""

import asyncio
import contextlib
import warnings
from typing import Any, ClassVar

import pytest

from eef_framework.chat.format import ChatFormat
from eef_framework.config.loading import load_config
from eef_framework.config.schema import RunConfig
from eef_framework.errors import ConfigError, EefWarning, ExecutorFailure, UnknownName, WorkerLost
from eef_framework.interfaces import EpisodeSpec, Executor, Sampling
from eef_framework.pipeline import run
from eef_framework.pipeline.context import RunContext
from eef_framework.plugins import Registry, load_plugins
from eef_framework.records import Response, State, Trajectory
from eef_framework.rollout import EpisodeRunner, ThreadExecutor, demonstrations, open_portable
from eef_framework.rollout.portable_components import portable
from eef_framework.rollout.resubmission import Resubmission
from eef_framework.runs import RunLayout, StageKey, read_rows
from eef_framework.testing.conformance import check_executor, executor_violations
from eef_framework.testing.corridor import BlockingCorridor, Corridor
from eef_framework.testing.fatal import FatalExpert, FatalPolicy
from eef_framework.testing.process_executor import ProcessExecutor
from eef_framework.testing.queue_policy import ScriptedPolicy
from eef_framework.testing.small_run import small_config


def setup_of(policy: Any = None, **settings: Any) -> EpisodeRunner:
    policy = policy or ScriptedPolicy(skill=0.8)
    return EpisodeRunner(Corridor(), policy, "agent/test", ChatFormat(), Sampling(), **settings)


def specs(count: int = 6) -> list[EpisodeSpec]:
    tasks = Corridor().tasks("train")[:count]
    return [EpisodeSpec(id=f"x/{n}", start=State(task=task), seed=n) for n, task in enumerate(tasks)]


def settings(**changes: Any) -> RunConfig:
    return small_config(6, 4, **changes)


def played(config: RunConfig, setup: EpisodeRunner, given: list[EpisodeSpec]) -> tuple[list[Trajectory], int]:
    """Play episodes as a phase does; return them, and how many were played again."""
    with RunContext(config, Registry()) as context:
        with context.playing(setup) as play:

            async def every() -> list[Trajectory]:
                return list(await asyncio.gather(*map(play, given)))

            found = context.wait_for(every())
        return found, play.lost


def timeless(rows: list[Trajectory]) -> list[Trajectory]:
    return [row.changed(seconds=0.0, provenance=None) for row in rows]


def test_threads_keep_the_contract():
    check_executor(ThreadExecutor(threads=2))


@pytest.mark.slow
def test_an_executor_with_worker_processes_keeps_the_contract():
    check_executor(ProcessExecutor())


def test_a_setup_is_built_anew_from_plain_data():
    async def all_of(play):
        return await asyncio.gather(*map(play, specs()))

    setup = setup_of(max_steps=4, concurrency=2)
    with setup.open() as here, open_portable(setup.portable()) as there:
        assert timeless(asyncio.run(all_of(here))) == timeless(asyncio.run(all_of(there)))
    assert setup.portable()["environment"]["name"] == "eef_framework.testing.corridor:Corridor"


def test_a_local_class_is_not_portable():
    class Local(ScriptedPolicy):
        """Can't be imported elsewhere."""

    with pytest.raises(ConfigError) as caught:
        portable(Local())
    assert caught.value.code == "not-portable"
    assert caught.value.details["component"] == "scripted"


def test_the_number_of_threads_is_a_setting():
    registry = load_plugins(["eef_framework.testing.plugin"], {})
    base = {"environment": "corridor", "expert": "corridor-expert", "policy": "lookup"}
    config = load_config({**base, "executor": {"name": "threads", "threads": 3}}, registry=registry)
    with RunContext(config, registry) as context:
        assert context.executor.settings() == {"name": "threads", "threads": 3}
    with pytest.raises(UnknownName) as caught:
        load_config({**base, "executor": "thread"}, registry=registry)
    assert caught.value.details["given"] == "thread"


def test_episodes_that_block_are_played_in_that_many_threads():
    setup = EpisodeRunner(BlockingCorridor(), ScriptedPolicy(), "agent/test", ChatFormat(), Sampling())
    given = specs(4)
    config = settings(environment=BlockingCorridor(), executor=ThreadExecutor(threads=1))
    found, lost = played(config, setup, given)
    assert [row.id for row in found] == [spec.id for spec in given]
    assert lost == 0


def test_episodes_of_a_killed_worker_are_played_again_with_the_same_result(tmp_path):
    setup = setup_of(FatalPolicy(skill=0.8, marker=tmp_path / "killed"))
    with pytest.warns(EefWarning) as said:
        found, lost = played(settings(executor=ProcessExecutor()), setup, specs())
    assert (tmp_path / "killed").exists()
    assert lost >= 1
    assert [
        (each.message.code, each.message.details["episodes"]) for each in said if isinstance(each.message, EefWarning)
    ] == [("workers-lost", lost)]
    local, _ = played(settings(), setup, specs())  # the marker is there: nothing is killed
    assert timeless(found) == timeless(local)


def test_an_episode_that_kills_each_worker_stops_the_run(tmp_path):
    setup = setup_of(FatalPolicy(marker=tmp_path / "killed", always=True))
    with pytest.raises(ExecutorFailure) as caught:
        played(settings(executor=ProcessExecutor(workers=1)), setup, specs(1))
    assert caught.value.code == "workers-lost"
    assert caught.value.details["episode"] == "x/0"


def test_demonstrations_of_a_killed_worker_are_asked_for_again(tmp_path):
    async def every(expert: Any, executor: Executor) -> dict[str, Trajectory]:
        tasks = Corridor().tasks("train")[:6]
        found = demonstrations(expert, Corridor(), tasks, 3, executor)
        return {each.task.id: each async for each in found}

    expert = FatalExpert(marker=tmp_path / "killed")
    found = asyncio.run(every(expert, ProcessExecutor()))
    assert (tmp_path / "killed").exists()
    expected = asyncio.run(every(expert, ThreadExecutor()))  # the marker is there: nothing is killed
    assert timeless([found[task] for task in expected]) == timeless([*expected.values()])


@pytest.mark.slow
def test_a_run_with_worker_processes_has_the_same_rows_and_can_be_resumed_with_threads(tmp_path):
    for name, executor in (("threads", None), ("processes", ProcessExecutor())):
        run(settings(executor=executor), Registry(), tmp_path / name)
    for key in (StageKey("collect"), StageKey("explore", "eef", 1), StageKey("evaluate", "eef", 1)):
        one, other = (
            list(read_rows(RunLayout(tmp_path / name).trajectories(key), Trajectory))
            for name in ("threads", "processes")
        )
        assert timeless(one) == timeless(other)
    run(settings(), Registry(), tmp_path / "processes")


class Made(Executor):
    """Does what it is told."""

    name: ClassVar[str] = "made"

    @contextlib.contextmanager
    def start(self, setup):
        """Provide something."""
        with setup.open() as play:
            yield self.changed(play)

    def changed(self, play):
        """Return another function that plays."""
        return play


def test_a_plain_exception_is_the_executors_with_its_line():
    class Broken(Made):
        @contextlib.contextmanager
        def start(self, setup):
            raise RuntimeError("no cluster")
            yield

    with pytest.raises(ExecutorFailure) as caught:
        played(settings(executor=Broken()), setup_of(), specs(1))
    assert caught.value.code == "executor-failed"
    assert __file__ in caught.value.details["where"]


def test_another_episode_than_the_one_asked_for_is_refused():
    class Mixed(Made):
        def changed(self, play):
            async def other(episode):
                return await play(episode.changed(id="another"))

            return other

    with pytest.raises(ExecutorFailure) as caught:
        played(settings(executor=Mixed()), setup_of(), specs(1))
    assert (caught.value.code, caught.value.details["episode"]) == ("wrong-episode", "x/0")


def test_a_score_is_asked_for_again_if_its_worker_is_lost():
    class Play:
        failures = 2

        async def __call__(self, episode):
            raise NotImplementedError

        async def score(self, state, actions, thought):
            self.failures -= 1
            if self.failures >= 0:
                raise WorkerLost("a worker ended")
            return [Response(text=action) for action in actions]

    play = Resubmission(Play(), "made")
    (found,) = asyncio.run(play.score(specs(1)[0].start, ["jump"], ""))
    assert (found.text, play.lost) == ("jump", 2)
    Play.failures = 100
    with pytest.raises(ExecutorFailure) as caught:
        asyncio.run(Resubmission(Play(), "made").score(specs(1)[0].start, ["jump"], ""))
    assert caught.value.code == "workers-lost"


def codes(changed: Any) -> list[str]:
    class Wrong(Made):
        pass

    Wrong.changed = changed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [violation.code for violation in executor_violations(Wrong())]


def test_the_check_finds_episodes_that_are_played_otherwise():
    def reseeded(self, play):
        return lambda episode: play(episode.changed(seed=episode.seed + 1))

    assert codes(reseeded) == ["results-are-those-of-local-threads"]


def test_the_check_finds_errors_that_are_swallowed():
    def swallowing(self, play):
        async def swallow(episode):
            try:
                return await play(episode)
            except Exception:
                return Trajectory(id=episode.id, task=episode.task, initial=Corridor().open(episode.task).initial)

        return swallow

    assert codes(swallowing) == ["failures-of-the-policy-arrive"]


class Unlucky(Made):
    """Loses the worker of each episode, and of each request for demonstrations, the first time."""

    def changed(self, play):
        """Return a function that plays the second time."""
        seen = set()

        async def second(episode):
            if episode.id not in seen:
                seen.add(episode.id)
                raise WorkerLost("a worker ended")
            return await play(episode)

        return second

    async def demonstrate(self, expert, environment, tasks, seed):
        """Yield one demonstration, unless these are the last ones."""
        async for each in super().demonstrate(expert, environment, tasks, seed):
            yield each
            if len(tasks) > 6:
                raise WorkerLost("a worker ended")


def test_workers_that_are_lost_and_replaced_keep_the_contract():
    check_executor(Unlucky())


class Careless(ProcessExecutor):
    """Plays in processes, and doesn't notice that one ended."""

    name: ClassVar[str] = "careless"

    @contextlib.contextmanager
    def start(self, setup):
        """Start workers that aren't replaced."""
        with super().start(setup) as play:

            async def other(episode):
                try:
                    return await play(episode)
                except WorkerLost as lost:
                    raise RuntimeError("a pipe is broken") from lost

            yield other


@pytest.mark.slow
def test_the_check_finds_workers_that_end_unnoticed():
    found = executor_violations(Careless())
    assert [violation.code for violation in found] == ["lost-workers-are-told"]
    assert "a pipe is broken" in found[0].actual
