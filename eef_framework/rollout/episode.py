"""One episode: ask, act, record, until it ends."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ParamSpec, TypeVar

from eef_framework.chat.format import ChatFormat
from eef_framework.errors import (
    AnswerFailure,
    ConfigError,
    EefError,
    EnvironmentFailure,
    PolicyFailure,
    awaitable,
    boundary,
)
from eef_framework.event_loop import Slots
from eef_framework.interfaces import (
    Environment,
    EpisodeSpec,
    PlayEpisode,
    Policy,
    Sampling,
    Session,
    TrainablePolicy,
    replay,
)
from eef_framework.records import Checkpoint, Ending, Info, Observation, Origin, Response, State, Step, Trajectory
from eef_framework.rollout.portable_components import portable
from eef_framework.rollout.threads import AT_ONCE, StepThreads
from eef_framework.seeds import derive

P = ParamSpec("P")
T = TypeVar("T")


PLAIN = ("actor", "concurrency", "max_steps", "step_timeout_s", "episode_timeout_s")
"""Fields of `EpisodeRunner` with plain data."""


@dataclass(frozen=True)
class EpisodeRunner:
    """Plays episodes. Holds everything that an episode needs besides its spec: an `interfaces.EpisodeSetup`.

    Attributes:
        environment: the environment.
        policy: the policy that plays; one that is trained is loaded by `open`.
        actor: the agent's name in records, such as `agent/clone`.
        format: how states become conversations and answers become actions.
        sampling: how answers are sampled.
        concurrency: maximum number of concurrent episodes.
        max_steps: maximum episode length in actions, including replayed ones.
        step_timeout_s: time limit for an environment step, if the environment is stepped in threads.
        episode_timeout_s: time limit for an episode.
        checkpoint: weights that `open` loads; None for a policy that isn't trained.
        threads: threads for blocking steps.
    """

    environment: Environment
    policy: Policy | TrainablePolicy
    actor: str
    format: ChatFormat
    sampling: Sampling
    concurrency: int = 128
    max_steps: int | None = None
    step_timeout_s: float = 120.0
    episode_timeout_s: float = 3600.0
    checkpoint: Checkpoint | None = None
    threads: StepThreads = field(default_factory=StepThreads, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "format", self.format.for_environment(self.environment))

    @contextmanager
    def open(self, threads: int | None = None) -> Iterator[PlayEpisode]:
        """Load the weights of the checkpoint, and provide what plays episodes with them.

        Args:
            threads: maximum number of threads for blocking steps; None for the number of cores plus 4, at most 32.

        Raises:
            PolicyFailure: the policy can't be loaded, or it has to be and there is no checkpoint (`no-weights`).
        """
        runner = replace(self, checkpoint=None, threads=StepThreads(threads or AT_ONCE))
        if isinstance(self.policy, Policy) or self.checkpoint is None:
            yield replace(runner, policy=self.loaded)
            return
        with boundary(PolicyFailure, self.policy, f"loading {str(self.checkpoint.path)!r}"):
            policy = self.policy.load(self.checkpoint)
        with policy as loaded:
            yield replace(runner, policy=loaded)

    def portable(self) -> dict[str, Any]:
        """Return this runner as JSON data, for `open_portable` in another process.

        Raises:
            ConfigError: a component can't be built there (`not-portable`).
        """
        return {
            "environment": portable(self.environment),
            "policy": portable(self.policy),
            "checkpoint": self.checkpoint and self.checkpoint.model_dump(mode="json"),
            "format": self.format.model_dump(mode="json"),
            "sampling": self.sampling.model_dump(mode="json"),
            **{name: getattr(self, name) for name in PLAIN},
        }

    async def __call__(self, episode: EpisodeSpec) -> Trajectory:
        """Play one episode; see `play`."""
        return await self.play(episode)

    async def play(self, episode: EpisodeSpec) -> Trajectory:
        """Play one episode.

        Args:
            episode: its id, start and seed. They determine the result; concurrent episodes don't affect it.

        Returns:
            The trajectory; its ending is `error` if the environment failed or an answer was lost.

        Raises:
            PolicyFailure: the policy can't answer. This affects all episodes, so it isn't recorded as the ending of
                one.
            ConfigError: a setting is invalid, which affects all episodes, too.
        """
        async with self._slots:
            began = time.monotonic()
            play = _Play(self, episode)
            await play.run()
            return Trajectory(
                id=episode.id,
                task=episode.task,
                actor=self.actor,
                seed=episode.seed,
                origin=play.origin,
                initial=play.initial,
                steps=tuple(play.steps),
                reward=play.reward,
                ending=play.ending,
                error=play.error,
                lost_tokens=play.lost_tokens,
                lost_usd=play.lost_usd,
                lost_unknown=play.lost_unknown,
                seconds=round(time.monotonic() - began, 3),
                info=play.info,
            )

    async def score(self, state: State, actions: Sequence[str], thought: str) -> Sequence[Response]:
        """Return the answers that take actions in a state, with their log-probabilities.

        Args:
            state: the state. If observations on the way to it are unknown, its actions are replayed.
            actions: the actions.
            thought: the thought before each action, in formats with thoughts.

        Raises:
            EnvironmentFailure: the replay failed.
            AnswerFailure: the answers were lost.
            PolicyFailure: the policy has no log-probabilities of given answers (`scoring-unsupported`), or it failed.
        """
        policy = self.loaded
        initial, steps = state.initial, state.steps
        if initial is None or state.inserted:
            async with self._slots:
                initial, steps = await _Play(self, EpisodeSpec(id="", start=state, seed=0)).replayed()
        conversation = self.format.conversation(self.environment.instructions, initial, steps)
        observation = steps[-1].observation if steps else initial
        answers = [Response(text=self.format.answer(action, thought)) for action in actions]
        with boundary(PolicyFailure, policy, f"scoring answers in {state.task.id!r}"):
            scoring = policy.score(conversation, observation, self.sampling, answers)
            return await awaitable(scoring, policy, "score", PolicyFailure)

    @property
    def loaded(self) -> Policy:
        """The policy.

        Raises:
            PolicyFailure: it has weights to be loaded (`no-weights`).
        """
        if isinstance(self.policy, Policy):
            return self.policy
        name = self.policy.component_name()
        raise PolicyFailure(
            f"policy {name!r} has no weights before it is loaded",
            "Name the folder of a checkpoint.",
            code="no-weights",
            policy=name,
        )

    @cached_property
    def _slots(self) -> Slots:
        return Slots(min(self.concurrency, self.environment.max_sessions or self.concurrency))


class _Play:
    """The state of one episode while it is played."""

    def __init__(self, runner: EpisodeRunner, episode: EpisodeSpec) -> None:
        self.runner = runner
        self.task = episode.task
        self.seed = episode.seed
        self.start = episode.start
        self.limit = episode.steps
        self.steps: list[Step] = list(self.start.steps)
        # Placeholder for when the task couldn't be opened.
        self.initial = self.start.initial or Observation(text="")
        self.reward = 0.0
        self.ending: Ending = "terminated"
        self.error = ""
        self.info: Info = {}
        self.lost_tokens, self.lost_usd, self.lost_unknown = 0, 0.0, 0
        self.session: Session | None = None

    @property
    def origin(self) -> Origin | None:
        """Where the episode branched off a recorded trajectory; None if it started in the initial state."""
        start = self.start
        if not start.length:
            return None
        inserted = min(len(start.inserted), len(self.steps) - len(start.steps))  # fewer if one ended it
        return Origin(trajectory=start.trajectory, state=len(start.steps) + inserted, inserted=inserted)

    async def run(self) -> None:
        """Replay up to the start, and play until the episode ends. Attributes then have the result.

        Raises:
            PolicyFailure: the policy can't answer, which affects all episodes.
            ConfigError: a setting is invalid.
        """
        try:
            async with asyncio.timeout(self.runner.episode_timeout_s):
                await self._play(await self._replay())
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
                self.lost_unknown = int(failure.details.get("unknown_requests", 0))
                if earlier := failure.details.get("earlier_requests"):
                    self.info["earlier_requests"] = earlier
        finally:
            if self.session is not None:
                self.session.close()

    async def replayed(self) -> tuple[Observation, tuple[Step, ...]]:
        """Return the first observation and the steps up to the start of the episode."""
        try:
            async with asyncio.timeout(self.runner.episode_timeout_s):
                await self._replay()
        finally:
            if self.session is not None:
                self.session.close()
        return self.initial, tuple(self.steps)

    async def _replay(self) -> Session:
        """Open the session, and go to the state to start from."""
        session = self.session = await self._call(self._open)
        self.initial = session.initial
        for action in self.start.inserted:
            if not session.done:
                self.steps.append(await self._call(self._step, session, action))
        return session

    def _open(self) -> Session:
        environment = self.runner.environment
        with boundary(EnvironmentFailure, environment, f"opening {self.task.id!r}"):
            return replay(environment, self.task, self.start.initial, self.steps)

    async def _play(self, session: Session) -> None:
        runner, first = self.runner, len(self.steps)
        limits = [runner.max_steps, None if self.limit is None else first + self.limit]
        longest = min((each for each in limits if each is not None), default=None)
        while not session.done:
            if longest is not None and len(self.steps) >= longest:
                self.ending = "step-limit"
                return
            turn = len(self.steps)
            conversation = runner.format.conversation(runner.environment.instructions, session.initial, self.steps)
            policy = runner.loaded
            with boundary(PolicyFailure, policy, f"answering in {self.task.id!r}"):
                seed = derive(self.seed, "turn", turn)
                answering = policy.act(conversation, session.observation, runner.sampling, seed)
                response = (await awaitable(answering, policy, "act", PolicyFailure)).encodable()
            answer = runner.format.parse(response.text, session.observation)
            step = await self._call(self._step, session, answer.action)
            response = response.changed(thought=answer.thought or response.thought, parsed=answer.parsed)
            self.steps.append(step.changed(response=response))
        self.reward = session.reward
        self.ending = "terminated" if session.steps[-1].terminated else "truncated"

    def _step(self, session: Session, action: str) -> Step:
        with boundary(EnvironmentFailure, self.runner.environment, f"taking {action!r} in {self.task.id!r}"):
            return session.step(action)

    async def _call(self, function: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        if not self.runner.environment.blocking:
            return function(*arguments, **keywords)
        try:
            call = functools.partial(function, *arguments, **keywords)
            return await self.runner.threads.call(call, self.runner.step_timeout_s)
        except TimeoutError as cause:
            raise EnvironmentFailure(
                f"environment {self.runner.environment.component_name()!r} took longer than "
                f"{self.runner.step_timeout_s:g} s for one step in {self.task.id!r}",
                "Raise limits.step_timeout_s if that is normal here.",
                code="step-timeout",
                task=self.task.id,
                timeout_s=self.runner.step_timeout_s,
            ) from cause
