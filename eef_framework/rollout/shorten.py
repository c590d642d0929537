"""Leaves out actions of an episode that made no difference, verified by replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from eef_framework.errors import EnvironmentFailure, boundary
from eef_framework.event_loop import Slots
from eef_framework.interfaces import Environment
from eef_framework.records import Observation, Step, SuccessRule, Trajectory
from eef_framework.rollout.detours import omissions
from eef_framework.rollout.threads import StepThreads


@dataclass(frozen=True)
class Shortened:
    """Result of shortening an episode.

    Attributes:
        trajectory: the episode without the actions that were left out; every other step as it was replayed.
        kept: the index that each of its steps had before.
        replays: number of replays it took.
        steps: number of environment steps of these replays.
        error: why shortening ended early, if the environment failed.
    """

    trajectory: Trajectory
    kept: tuple[int, ...]
    replays: int = 0
    steps: int = 0
    error: str = ""


@dataclass(frozen=True)
class Shortener:
    """Shortens successful episodes.

    An action is left out only if a replay of the others leads to the observations that were recorded after them, to the
    same end, and to a success. As far as the rest of the episode can tell, the state after the gap is then the same.

    Attributes:
        environment: the environment of the episodes.
        rule: the success rule.
        most_replays: maximum number of replays for one episode.
        concurrency: maximum number of sessions open at once.
        timeout_s: time limit for one replay, if the environment is stepped in threads.
    """

    environment: Environment
    rule: SuccessRule
    most_replays: int = 32
    concurrency: int = 128
    timeout_s: float = 3600.0
    _threads: StepThreads = field(default_factory=StepThreads, repr=False)

    @cached_property
    def _slots(self) -> Slots:
        return Slots(min(self.concurrency, self.environment.max_sessions or self.concurrency))

    async def shorten(self, trajectory: Trajectory, end: int | None = None) -> Shortened:
        """Leave out actions without which the episode goes the same way.

        Args:
            trajectory: a successful episode.
            end: only actions before this state are left out; None for all.
        """
        end = len(trajectory.steps) if end is None else end
        found = Shortened(trajectory, tuple(range(len(trajectory.steps))))
        replays = steps = 0
        error = ""
        async with self._slots:
            for first, last in omissions(trajectory, end):
                if replays >= self.most_replays:
                    break
                omitted = range(first, last)
                trial = [index for index in found.kept if index not in omitted]
                if len(found.kept) - len(trial) < len(omitted):
                    continue  # part of it is left out already
                try:
                    replayed = await self._call(trajectory, trial)
                except (EnvironmentFailure, TimeoutError) as failure:
                    error = str(failure) or "the replay took too long"
                    break
                replays, steps = replays + 1, steps + replayed.steps
                if replayed.trajectory is not None:
                    found = Shortened(replayed.trajectory, tuple(trial))
        return Shortened(found.trajectory, found.kept, replays, steps, error)

    async def _call(self, trajectory: Trajectory, kept: Sequence[int]) -> _Replay:
        work = partial(_replayed, self.environment, trajectory, kept, self.rule)
        return await self._threads.call(work, self.timeout_s) if self.environment.blocking else work()


@dataclass(frozen=True)
class _Replay:
    """A replay: its result if it went the same way, and the number of its steps."""

    trajectory: Trajectory | None
    steps: int


def _replayed(environment: Environment, recorded: Trajectory, kept: Sequence[int], rule: SuccessRule) -> _Replay:
    """Replay some of the actions of an episode, up to the first difference."""
    with boundary(EnvironmentFailure, environment, f"replaying {recorded.task.id!r}"):
        session = environment.open(recorded.task)
        with session:
            same = _same(session.initial, recorded.initial)
            for index in kept:
                if not same or session.done:
                    return _Replay(None, len(session.steps))
                same = _went_same(session.step(recorded.steps[index].action), recorded.steps[index])
            if not same:
                return _Replay(None, len(session.steps))
            shorter = _without(recorded, kept, session.steps, session.reward)
            better = rule.holds(shorter) and shorter.reward >= recorded.reward - 1e-9
            return _Replay(shorter if better else None, len(session.steps))


def _same(observation: Observation, recorded: Observation) -> bool:
    if recorded.actions is None:  # not recorded
        return observation.text == recorded.text
    return observation == recorded


def _went_same(step: Step, recorded: Step) -> bool:
    ends = (step.terminated, step.truncated, step.valid) == (recorded.terminated, recorded.truncated, recorded.valid)
    return ends and _same(step.observation, recorded.observation)


def _without(recorded: Trajectory, kept: Sequence[int], steps: Sequence[Step], reward: float) -> Trajectory:
    """Return an episode with only some of its steps, as they were replayed."""
    origin = recorded.origin
    if origin is not None:
        before = sum(index < origin.state for index in kept)
        inserted = sum(origin.state - origin.inserted <= index < origin.state for index in kept)
        origin = origin.changed(state=before, inserted=inserted)
    taken = []
    for position, (index, step) in enumerate(zip(kept, steps, strict=True)):
        response = recorded.steps[index].response
        if response is not None and response.dropped:
            # The oldest observations were dropped from the prompt; those left out are among the oldest.
            response = response.changed(dropped=max(0, response.dropped - (index - position)))
        taken.append(step.changed(response=response))
    shorter: Trajectory = recorded.changed(steps=tuple(taken), reward=reward, origin=origin)
    return shorter
