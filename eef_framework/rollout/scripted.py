"""Scripted experts: programs that look at a session and choose the next action."""

from __future__ import annotations

import asyncio
import random
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from typing import ClassVar

from eef_framework.errors import ConfigError, EnvironmentFailure, ExpertFailure, boundary
from eef_framework.interfaces import Environment, Expert, Session, replay
from eef_framework.records import Ending, Observation, Origin, State, Step, Task, Trajectory
from eef_framework.rollout.concurrency import as_they_end
from eef_framework.seeds import derive

AT_ONCE = 8
"""Maximum number of concurrent episodes if the environment's steps block; each runs in a thread."""


class ScriptedExpert(Expert):
    """An expert whose demonstrations come from a script. Subclasses implement `script`.

    If the script chooses by what the session shows, whatever was done before, set `continues` to true: the expert can
    then continue episodes of the agent.
    """

    plays: ClassVar[type[Environment]] = Environment  # type: ignore[type-abstract] # a class to compare with
    """The class of environments that the script supports; any by default."""

    @abstractmethod
    def script(self, session: Session, draw: random.Random) -> Iterator[str]:
        """Yield the actions in order. If the script ends before the episode does, the expert gives up.

        Args:
            session: the episode; after each `yield` it is in the state that the action led to. It is in the task's
                initial state at first, or in a later one if `continues`.
            draw: the only source of randomness, seeded for this task.
        """

    def preflight(self, environment: Environment | None = None) -> None:
        """Reject environments that aren't instances of `plays`.

        Raises:
            ConfigError: the environment isn't supported.
        """
        if environment is not None and not isinstance(environment, self.plays):
            raise ConfigError(
                f"expert {self.component_name()!r} is made for the environment "
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
        async for episode in self._episodes(environment, [State(task=task) for task in tasks], seed):
            yield episode

    async def continue_from(
        self, environment: Environment, states: Sequence[State], seed: int, steps: int | None = None
    ) -> AsyncIterator[Trajectory]:
        """Begin the script in each state, several at once if the environment's steps block.

        Raises:
            ConfigError: the script doesn't support this environment, or only whole tasks.
        """
        if not self.continues:
            super().continue_from(environment, states, seed, steps)
        async for episode in self._episodes(environment, states, seed, steps):
            yield episode

    async def _episodes(
        self, environment: Environment, states: Sequence[State], seed: int, steps: int | None = None
    ) -> AsyncIterator[Trajectory]:
        self.preflight(environment)
        if not environment.blocking:
            for state in states:
                yield self._play(environment, state, seed, steps)
            return
        slots = asyncio.Semaphore(AT_ONCE)

        async def play(state: State) -> Trajectory:
            async with slots:
                return await asyncio.to_thread(self._play, environment, state, seed, steps)

        async for episode in as_they_end(play(state) for state in states):
            yield episode

    def _require_actions(self, script: object) -> None:
        """Raise an error if what `script` returned isn't something that gives actions one by one.

        Raises:
            ExpertFailure: it is text (`script-is-text`), or nothing to iterate over (`not-actions`).
        """
        if isinstance(script, str):
            raise ExpertFailure(
                f"script() of expert {self.component_name()!r} returned the text {script!r:.80}: each of its "
                "characters would be an action",
                "Yield actions, or return a list of them.",
                code="script-is-text",
            )
        if not isinstance(script, Iterable):
            raise ExpertFailure(
                f"script() of expert {self.component_name()!r} returned {script!r:.80}, not actions",
                "Yield actions, or return a list of them.",
                code="not-actions",
            )

    def _require_text(self, action: object) -> None:
        """Raise an error if an action of the script isn't a string.

        Raises:
            ExpertFailure: it isn't (`action-not-text`).
        """
        if not isinstance(action, str):
            raise ExpertFailure(
                f"script() of expert {self.component_name()!r} yielded {action!r:.80} ({type(action).__name__}) as an "
                "action: an action is a string",
                "Yield one string for each action, such as one of session.observation.actions.",
                code="action-not-text",
            )

    def _play(self, environment: Environment, start: State, seed: int, most: int | None) -> Trajectory:
        task, reward, error = start.task, 0.0, ""
        initial, steps = start.initial or Observation(text=""), list(start.steps)
        ending: Ending
        try:
            with boundary(EnvironmentFailure, environment, f"opening {task.id!r}"):
                session = replay(environment, task, start.initial, start.steps)
            with session:
                steps += [session.step(action) for action in start.inserted]
                initial = session.initial
                script = self.script(session, random.Random(derive(seed, self.component_name(), task.id)))
                self._require_actions(script)
                for action in () if session.done else islice(script, most):
                    self._require_text(action)
                    with boundary(EnvironmentFailure, environment, f"taking {action!r} in {task.id!r}"):
                        steps.append(session.step(action))
                    if session.done:
                        break
                reward, ending = session.reward, _ending(steps)
                if ending == "gave-up" and most is not None and len(steps) - start.length == most:
                    ending = "step-limit"
        except EnvironmentFailure as failure:
            ending, error = "error", str(failure)
        return Trajectory(
            task=task,
            seed=seed,
            origin=_origin(start),
            initial=initial,
            steps=tuple(steps),
            reward=reward,
            ending=ending,
            error=error,
        )


def _origin(start: State) -> Origin | None:
    if not start.length:
        return None
    return Origin(trajectory=start.trajectory, state=start.length, inserted=len(start.inserted))


def _ending(steps: Sequence[Step]) -> Ending:
    if not steps or not steps[-1].done:
        return "gave-up"
    return "terminated" if steps[-1].terminated else "truncated"
