"""One episode: ask, act, record, until it ends."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import ParamSpec, TypeVar

from eef_framework.chat.format import ChatFormat
from eef_framework.errors import AnswerFailure, ConfigError, EefError, EnvironmentFailure, PolicyFailure, boundary
from eef_framework.event_loop import Slots
from eef_framework.interfaces import Environment, Policy, Sampling, Session, replay
from eef_framework.records import Ending, Info, Observation, Origin, State, Step, Task, Trajectory
from eef_framework.rollout.threads import StepThreads
from eef_framework.seeds import derive

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class EpisodeRunner:
    """Everything that an episode needs besides its task.

    Attributes:
        environment: the environment.
        policy: the policy that plays.
        actor: the player's name in records, such as `agent/clone`.
        format: how states become conversations and answers become actions.
        sampling: how answers are sampled.
        concurrency: maximum number of concurrent episodes.
        max_steps: maximum episode length in actions, including replayed ones.
        step_timeout_s: time limit for an environment step, if the environment is stepped in threads.
        episode_timeout_s: time limit for an episode.
        threads: threads for blocking steps.
    """

    environment: Environment
    policy: Policy
    actor: str
    format: ChatFormat
    sampling: Sampling
    concurrency: int = 128
    max_steps: int | None = None
    step_timeout_s: float = 120.0
    episode_timeout_s: float = 3600.0
    threads: StepThreads = field(default_factory=StepThreads, repr=False)

    async def play(self, task: Task, trajectory_id: str, seed: int, start: State | None = None) -> Trajectory:
        """Play one episode, from the task's start or from any other state.

        Args:
            task: the task to play.
            trajectory_id: id of the result.
            seed: determines the episode, independent of concurrent episodes.
            start: the state to start from; by default the task's initial state.

        Returns:
            The trajectory; its ending is `error` if the environment failed or an answer was lost.

        Raises:
            PolicyFailure: the policy can't answer. This affects all episodes, so it isn't recorded as the ending of
                one.
            ConfigError: a setting is invalid, which affects all episodes, too.
        """
        async with self._slots:
            began = time.monotonic()
            episode = _Episode(self, task, seed, start or State(task=task))
            await episode.run()
            return Trajectory(
                id=trajectory_id,
                task=task,
                actor=self.actor,
                seed=seed,
                origin=episode.origin,
                initial=episode.initial,
                steps=tuple(episode.steps),
                reward=episode.reward,
                ending=episode.ending,
                error=episode.error,
                lost_tokens=episode.lost_tokens,
                lost_usd=episode.lost_usd,
                seconds=round(time.monotonic() - began, 3),
                info=episode.info,
            )

    @cached_property
    def _slots(self) -> Slots:
        return Slots(min(self.concurrency, self.environment.max_sessions or self.concurrency))


class _Episode:
    """The state of one episode while it is played."""

    def __init__(self, player: EpisodeRunner, task: Task, seed: int, start: State) -> None:
        self.player = player
        self.task = task
        self.seed = seed
        self.start = start
        self.steps: list[Step] = list(start.steps)
        # Placeholder for when the task couldn't be opened.
        self.initial = start.initial or Observation(text="")
        self.reward = 0.0
        self.ending: Ending = "terminated"
        self.error = ""
        self.info: Info = {}
        self.lost_tokens, self.lost_usd = 0, 0.0
        self.session: Session | None = None

    @property
    def origin(self) -> Origin | None:
        start = self.start
        if not start.length:
            return None
        inserted = min(len(start.inserted), len(self.steps) - len(start.steps))  # fewer where one ended the episode
        return Origin(trajectory=start.trajectory, state=len(start.steps) + inserted, inserted=inserted)

    async def run(self) -> None:
        try:
            async with asyncio.timeout(self.player.episode_timeout_s):
                self.session = await self._call(self._open)
                self.initial = self.session.initial
                for action in self.start.inserted:
                    if not self.session.done:
                        self.steps.append(await self._call(self._step, self.session, action))
                await self._play(self.session)
        except TimeoutError:
            self.ending = "time-limit"
        except EefError as failure:
            if isinstance(failure, PolicyFailure | ConfigError) and not isinstance(failure, AnswerFailure):
                raise  # affects all episodes
            self.ending, self.error = "error", str(failure)
            self.info = {"error_code": failure.code}
            if isinstance(failure, AnswerFailure):
                self.lost_tokens = int(failure.details.get("computed_tokens", 0))
                self.lost_usd = float(failure.details.get("usd", 0.0))
        finally:
            if self.session is not None:
                self.session.close()

    def _open(self) -> Session:
        environment = self.player.environment
        with boundary(EnvironmentFailure, f"environment {environment.component_name()!r}", f"opening {self.task.id!r}"):
            return replay(environment, self.task, self.start.initial, self.steps)

    async def _play(self, session: Session) -> None:
        player = self.player
        while not session.done:
            if player.max_steps is not None and len(self.steps) >= player.max_steps:
                self.ending = "step-limit"
                return
            turn = len(self.steps)
            conversation = player.format.conversation(player.environment.instructions, session.initial, self.steps)
            with boundary(
                PolicyFailure, f"policy {player.policy.component_name()!r}", f"answering in {self.task.id!r}"
            ):
                response = await player.policy.act(
                    conversation, session.observation, player.sampling, derive(self.seed, "turn", turn)
                )
            answer = player.format.parse(response.text, session.observation)
            step = await self._call(self._step, session, answer.action)
            response = response.changed(thought=answer.thought, parsed=answer.parsed)
            self.steps.append(step.changed(response=response))
        self.reward = session.reward
        self.ending = "terminated" if session.steps[-1].terminated else "truncated"

    def _step(self, session: Session, action: str) -> Step:
        name = self.player.environment.component_name()
        with boundary(EnvironmentFailure, f"environment {name!r}", f"taking {action!r} in {self.task.id!r}"):
            return session.step(action)

    async def _call(self, function: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        if not self.player.environment.blocking:
            return function(*arguments, **keywords)
        try:
            call = functools.partial(function, *arguments, **keywords)
            return await self.player.threads.call(call, self.player.step_timeout_s)
        except TimeoutError as cause:
            raise EnvironmentFailure(
                f"environment {self.player.environment.component_name()!r} took longer than "
                f"{self.player.step_timeout_s:g} s for one step in {self.task.id!r}",
                "Raise limits.step_timeout_s if that is normal here.",
                code="step-timeout",
                task=self.task.id,
                timeout_s=self.player.step_timeout_s,
            ) from cause
