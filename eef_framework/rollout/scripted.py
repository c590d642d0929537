"""Scripted experts: programs that look at a session and choose the next action."""

from __future__ import annotations

import asyncio
import random
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import ClassVar

from eef_framework.errors import ConfigError, EnvironmentFailure, boundary
from eef_framework.interfaces import Environment, Expert, Session
from eef_framework.records import Ending, Observation, Step, Task, Trajectory
from eef_framework.rollout.concurrency import as_they_end
from eef_framework.seeds import derive

AT_ONCE = 8
"""Maximum number of concurrent episodes if the environment's steps block; each runs in a thread."""


class ScriptedExpert(Expert):
    """An expert whose demonstrations come from a script. Subclasses implement `script`."""

    plays: ClassVar[type[Environment]] = Environment  # type: ignore[type-abstract] # a class to compare with
    """The class of environments that the script supports; any by default."""

    @abstractmethod
    def script(self, session: Session, draw: random.Random) -> Iterator[str]:
        """Yield the actions in order. If the script ends before the episode does, the expert gives up.

        Args:
            session: the episode; after each `yield` it is in the state that the action led to.
            draw: the only source of randomness, seeded for this task.
        """

    def preflight(self, environment: Environment | None = None) -> None:
        """Reject environments that aren't instances of `plays`.

        Raises:
            ConfigError: the environment isn't supported.
        """
        if environment is not None and not isinstance(environment, self.plays):
            raise ConfigError(
                f"expert {self.component_name()!r} knows its way about the environment "
                f"{self.plays.component_name()!r}, not {environment.component_name()!r}",
                "Choose an expert that fits the environment.",
                code="expert-misfit",
                expert=self.component_name(),
                plays=self.plays.component_name(),
                environment=environment.component_name(),
            )

    async def demonstrate(
        self, environment: Environment, tasks: Sequence[Task], seed: int
    ) -> AsyncIterator[Trajectory]:
        """Play the tasks, several at once if the environment's steps block.

        Raises:
            ConfigError: the script doesn't support this environment.
        """
        self.preflight(environment)
        if not environment.blocking:
            for task in tasks:
                yield self._play(environment, task, seed)
            return
        slots = asyncio.Semaphore(AT_ONCE)

        async def play(task: Task) -> Trajectory:
            async with slots:
                return await asyncio.to_thread(self._play, environment, task, seed)

        async for episode in as_they_end(play(task) for task in tasks):
            yield episode

    def _play(self, environment: Environment, task: Task, seed: int) -> Trajectory:
        initial, steps, reward, error = Observation(text=""), list[Step](), 0.0, ""
        ending: Ending
        try:
            who = f"environment {environment.component_name()!r}"
            with boundary(EnvironmentFailure, who, f"opening {task.id!r}"):
                session = environment.open(task)
            with session:
                initial, steps = session.initial, session.steps
                for action in self.script(session, random.Random(derive(seed, self.component_name(), task.id))):
                    with boundary(EnvironmentFailure, who, f"taking {action!r} in {task.id!r}"):
                        session.step(action)
                    if session.done:
                        break
                reward, ending = session.reward, _ending(steps)
        except EnvironmentFailure as failure:
            ending, error = "error", str(failure)
        return Trajectory(
            task=task,
            seed=seed,
            initial=initial,
            steps=tuple(steps),
            reward=reward,
            ending=ending,
            error=error,
        )


def _ending(steps: Sequence[Step]) -> Ending:
    if not steps or not steps[-1].done:
        return "gave-up"
    return "terminated" if steps[-1].terminated else "truncated"
