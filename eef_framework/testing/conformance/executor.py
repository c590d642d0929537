"""Checks of executors, above all that a result doesn't depend on where an episode was played."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from eef_framework.chat.format import ChatFormat
from eef_framework.errors import PolicyFailure, WorkerLost
from eef_framework.event_loop import run_coroutine
from eef_framework.interfaces import EpisodeSpec, Executor, PlayEpisode, Policy, Sampling, TrainablePolicy
from eef_framework.records import Checkpoint, State, Task, Trajectory
from eef_framework.rollout import EpisodeRunner, ThreadExecutor
from eef_framework.rollout.resubmission import ATTEMPTS, Resubmission
from eef_framework.seeds import derive
from eef_framework.testing.conformance.examples import demonstrations
from eef_framework.testing.conformance.violation import Violation, quoted, require, rule_of, run_checks
from eef_framework.testing.corridor import Corridor, CorridorSession
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.lookup import LookupPolicy
from eef_framework.testing.queue_policy import QueuePolicy, ScriptedPolicy

MANY = 60
"""Number of episodes that are awaited at once."""
PATIENCE_S = 120.0
"""Maximum time for a few episodes after a worker has ended."""


class FatalCorridor(Corridor):
    """The corridor, which ends the worker process that opens the first task. In the checking process it does nothing.

    Workers on other hosts aren't ended: they may not see the marker.
    """

    marker: str
    """A file that remembers it."""
    host: str
    """Name of the checking process's host."""
    checker: int
    """Number of the checking process."""

    def open(self, task: Task) -> CorridorSession:
        """End the process, unless that was done before; or start an episode."""
        if self.host == socket.gethostname() and self.checker != os.getpid():
            with suppress(FileExistsError):
                Path(self.marker).touch(exist_ok=False)
                os._exit(1)
        return super().open(task)


@dataclass(frozen=True)
class ExecutorContext:
    """What the checks of an executor look at.

    Attributes:
        executor: the executor under test.
        folder: folder for a checkpoint.
    """

    executor: Executor
    folder: Path

    def setup(self, policy: Policy | TrainablePolicy | None = None, **changes: Any) -> EpisodeRunner:
        """Return a setup for episodes in the corridor."""
        policy = policy or ScriptedPolicy(skill=0.8)
        runner = EpisodeRunner(Corridor(), policy, "agent/check", ChatFormat(), Sampling(), concurrency=8)
        return replace(runner, **changes)

    @cached_property
    def specs(self) -> list[EpisodeSpec]:
        """Episodes from initial states, and from states of demonstrations."""
        starts = [State(task=task) for task in Corridor().tasks("train")[:6]]
        starts += [each.at(min(2, len(each.steps) - 1)) for each in demonstrations()]
        return [EpisodeSpec(id=f"check/{n}", start=start, seed=derive(n, "check")) for n, start in enumerate(starts)]

    def play(self, setup: EpisodeRunner, specs: Sequence[EpisodeSpec], executor: Executor | None = None) -> list[Any]:
        """Return the results of episodes that are awaited at once. Those of lost workers are submitted again."""
        executor = executor or self.executor
        with executor.start(setup) as play:
            return run_coroutine(_all(Resubmission(play, executor.component_name()), specs))


def check_executor(executor: Executor) -> None:
    """Check that an executor keeps its contract, with episodes in the corridor of `eef_framework.testing`.

    Args:
        executor: what to check.

    Raises:
        Nonconformance: it doesn't; the message is a report of all violations.
    """
    require(f"executor {executor.component_name()!r}", executor_violations(executor))


def executor_violations(executor: Executor) -> list[Violation]:
    """Return in which ways an executor doesn't keep its contract; see `check_executor`."""
    with tempfile.TemporaryDirectory() as folder:
        context = ExecutorContext(executor, Path(folder))
        violations = run_checks([results_are_those_of_local_threads], context)
        return violations or run_checks(CHECKS, context)


def results_are_those_of_local_threads(context: ExecutorContext) -> Violation | None:
    """An episode has the same result wherever it is played."""
    setup = context.setup()
    expected = context.play(setup, context.specs, ThreadExecutor())
    return _compared(results_are_those_of_local_threads, expected, context.play(setup, context.specs))


def weights_are_loaded(context: ExecutorContext) -> Violation | None:
    """The policy plays with the weights of the checkpoint."""
    # An action that the policy doesn't take without these weights.
    seen = {spec.start.initial or Corridor().open(spec.task).observation for spec in context.specs}
    table = {observation.text: {"Action: jump": 1.0} for observation in seen}
    setup = context.setup(
        LookupPolicy(epsilon=0.0), checkpoint=Checkpoint.of_json(context.folder / "checkpoint", table)
    )
    specs = [spec for spec in context.specs if not spec.start.length]
    expected = context.play(setup, specs, ThreadExecutor())
    return _compared(weights_are_loaded, expected, context.play(setup, specs))


def many_episodes_are_told_apart(context: ExecutorContext) -> Violation | None:
    """Any number of calls may wait at once, and each gets its own episode."""
    tasks = Corridor(tasks_per_split=MANY).tasks("train")
    specs = [EpisodeSpec(id=f"many/{n}", start=State(task=task), seed=n) for n, task in enumerate(tasks)]
    setup = context.setup(environment=Corridor(tasks_per_split=MANY))
    for spec, found in zip(specs, context.play(setup, specs), strict=True):
        if found.id != spec.id or found.task.id != spec.task.id:
            return Violation(
                rule_of(many_episodes_are_told_apart),
                f"{MANY} episodes at once",
                f"episode {spec.id!r} of task {spec.task.id!r}",
                f"episode {found.id!r} of task {found.task.id!r}",
                "Return the result of the call that the spec was passed to.",
            )
    return None


def lost_episodes_are_recorded(context: ExecutorContext) -> Violation | None:
    """An environment that fails ends the episode with an error; the executor passes it on as a result."""
    (found,) = context.play(context.setup(environment=Corridor(fault="raise")), context.specs[:1])
    if isinstance(found, Trajectory) and found.lost:
        return None
    return Violation(
        rule_of(lost_episodes_are_recorded),
        "an environment that raises",
        "a trajectory with the ending 'error'",
        quoted(found),
        "Return what the setup's play function returns, unchanged.",
    )


def failures_of_the_policy_arrive(context: ExecutorContext) -> Violation | None:
    """A policy that can't answer at all raises PolicyFailure, with its code."""
    try:
        found: object = context.play(context.setup(QueuePolicy()), context.specs[:1])
    except PolicyFailure:
        return None
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    return Violation(
        rule_of(failures_of_the_policy_arrive),
        "a policy without answers",
        "PolicyFailure",
        quoted(found),
        "Raise in the calling process what was raised in the worker; errors of the framework can be pickled.",
    )


def episodes_can_be_cancelled(context: ExecutorContext) -> Violation | None:
    """A call that is cancelled doesn't disturb the others."""
    setup, specs = context.setup(), context.specs

    async def some_cancelled(play: PlayEpisode) -> list[Any]:
        calls = [asyncio.ensure_future(play(spec)) for spec in specs]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        await asyncio.gather(*calls[::2], return_exceptions=True)
        return list(await asyncio.gather(*calls[1::2]))

    with context.executor.start(setup) as play:
        found = run_coroutine(some_cancelled(Resubmission(play, context.executor.component_name())))
    return _compared(episodes_can_be_cancelled, context.play(setup, specs[1::2], ThreadExecutor()), found)


def it_can_be_started_again(context: ExecutorContext) -> Violation | None:
    """Each phase starts the executor again, also after one that failed."""
    setup, specs = context.setup(), context.specs[:3]
    expected = context.play(setup, specs, ThreadExecutor())
    try:
        with context.executor.start(setup):
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    for _ in range(2):
        if found := _compared(it_can_be_started_again, expected, context.play(setup, specs)):
            return found
    return None


def lost_workers_are_told(context: ExecutorContext) -> Violation | None:
    """The end of a worker process raises WorkerLost in the calls that wait for it, and further calls are answered."""
    environment = FatalCorridor(
        marker=str(context.folder / "worker-ended"), host=socket.gethostname(), checker=os.getpid()
    )
    setup, specs = context.setup(environment=environment), context.specs[:4]
    expected = context.play(context.setup(), specs, ThreadExecutor())

    async def resubmitted(play: PlayEpisode) -> list[Any]:
        again = Resubmission(play, context.executor.component_name())
        async with asyncio.timeout(PATIENCE_S):
            return await _all(again, specs)

    try:
        with context.executor.start(setup) as play:
            found = run_coroutine(resubmitted(play))
    except Exception as error:
        actual = (
            f"no result within {PATIENCE_S:.0f} s"
            if isinstance(error, TimeoutError)
            else f"{type(error).__name__}: {error}"
        )
        return Violation(
            rule_of(lost_workers_are_told),
            "a worker process that ends in its first episode",
            "WorkerLost, and then the episode",
            actual,
            "Notice that a worker has ended, raise eef_framework.errors.WorkerLost in its calls, and replace it.",
        )
    return _compared(lost_workers_are_told, expected, found)


def every_task_is_demonstrated(context: ExecutorContext) -> Violation | None:
    """An expert's demonstrations are those that it gives in this process, one for each task."""
    environment, expert = Corridor(), CorridorExpert()
    tasks = environment.tasks("train")[:8]

    async def gather(executor: Executor) -> list[Trajectory]:
        found: list[Trajectory] = []
        for _ in range(ATTEMPTS):
            have = {each.task.id for each in found}
            with suppress(WorkerLost):  # then it is asked for the others
                owed = [task for task in tasks if task.id not in have]
                async for each in executor.demonstrate(expert, environment, owed, 3):
                    found.append(each)  # noqa: PERF401 - those before a lost worker count
                break
        return sorted(found, key=lambda each: each.task.id)

    expected, found = run_coroutine(gather(ThreadExecutor())), run_coroutine(gather(context.executor))
    asked, given = ([each.task.id for each in rows] for rows in (expected, found))
    if given != asked:
        return Violation(
            rule_of(every_task_is_demonstrated),
            f"{len(tasks)} tasks",
            "each of them once",
            quoted(given),
            "Yield what the expert yields for each task.",
        )
    return _compared(every_task_is_demonstrated, expected, found)


CHECKS = (
    weights_are_loaded,
    many_episodes_are_told_apart,
    lost_episodes_are_recorded,
    failures_of_the_policy_arrive,
    episodes_can_be_cancelled,
    it_can_be_started_again,
    lost_workers_are_told,
    every_task_is_demonstrated,
)


async def _all(play: PlayEpisode, specs: Sequence[EpisodeSpec]) -> list[Any]:
    return list(await asyncio.gather(*(play(spec) for spec in specs)))


def _compared(check: Any, expected: Sequence[Any], found: Sequence[Any]) -> Violation | None:
    for one, other in zip(expected, found, strict=True):
        if not isinstance(other, Trajectory):
            actual = quoted(other)
        elif one.changed(seconds=0.0) == other.changed(seconds=0.0):
            continue
        else:
            actual = f"episode {other.id!r}, actions {quoted(other.actions)}, ending {other.ending!r}"
        return Violation(
            rule_of(check),
            f"task {one.task.id!r}",
            f"episode {one.id!r}, actions {quoted(one.actions)}, ending {one.ending!r}",
            actual,
            "In a worker, play with `open_portable(setup.portable())`, and return the trajectory unchanged.",
        )
    return None
