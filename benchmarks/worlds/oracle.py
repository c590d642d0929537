"""An attributor that knows what a trajectory's actions did: the upper bound for any strategy."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Self

from eef_attribution.interval import IntervalAttributor
from pydantic import PrivateAttr, model_validator

from eef_framework import Environment, Segment, Session, Simulate, StateValue, Task, Trajectory, Verdict
from eef_framework.plugins import current_registry
from eef_framework.rollout import ScriptedExpert


class Oracle(IntervalAttributor):
    """Plays the simulations of `interval`, and judges by a perfect expert in place of their outcomes.

    The distance of a state is the number of actions at the end of the perfect demonstration that solve the task from
    it. Actions between two states with a distance are beneficial if they shorten it, harmful if they lengthen it, and
    neutral otherwise; a detour is neutral as a whole. Actions after the last state with a distance are harmful, if the
    task is lost then.
    """

    name: ClassVar[str] = ""

    environment: dict[str, Any]
    """Name and settings of the run's environment."""
    gold: str | dict[str, Any]
    """Name of an expert that solves every task, or name and settings."""

    _environment: Environment = PrivateAttr()
    _gold: ScriptedExpert = PrivateAttr()
    _solutions: dict[str, list[str]] = PrivateAttr(default_factory=dict)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @model_validator(mode="after")
    def _build(self) -> Self:
        registry = current_registry()
        self._environment = registry.build("environment", self.environment)
        gold = registry.build("expert", self.gold)
        if not isinstance(gold, ScriptedExpert):
            raise ValueError(f"{self.gold!r} isn't a scripted expert")
        self._gold = gold
        return self

    def close(self) -> None:
        """Release the environment."""
        self._environment.close()

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Iterable[Segment | StateValue]:
        """Simulate as `interval` does, and replace its verdicts."""
        simulated = await super().attribute(trajectory, simulate)
        values = [each for each in simulated if isinstance(each, StateValue)]
        return [*values, *await asyncio.to_thread(self._judged, trajectory)]

    def _judged(self, trajectory: Trajectory) -> list[Segment]:
        with self._lock:  # one session at a time: simulators are few
            distances = self.distances(trajectory.task, [step.action for step in trajectory.steps])
        return verdicts(distances, self.is_lost(trajectory))

    def is_lost(self, trajectory: Trajectory) -> bool:
        """Return whether the task can't be solved any more at the end of an episode whose last state has no distance.

        What doesn't lead back to the solution is taken for lost. In the shops it could be a detour of the last steps.
        """
        return True

    def distances(self, task: Task, actions: Sequence[str]) -> list[int | None]:
        """Return the distance of every state that the actions lead through, or None where it has none."""
        found = []
        with self._environment.open(task) as session:
            found.append(self._distance(session))
            for action in actions:
                session.step(action)
                found.append(self._distance(session))
        return found

    def solution(self, task: Task) -> list[str]:
        """Return the actions of the perfect expert, played once; none if it fails."""
        if task.id not in self._solutions:
            self._solutions[task.id] = self.solve(task)
        return self._solutions[task.id]

    def ways(self, session: Session) -> Iterable[Sequence[str]]:
        """Return what may solve the task from a state, the shortest first: the ends of the solution."""
        gold = self.solution(session.task)
        return (gold[-length:] for length in range(1, len(gold) + 1))

    def _distance(self, session: Session) -> int | None:
        """Return the length of the shortest way that solves the task from a state."""
        if session.done:
            return 0 if session.reward >= 1.0 else None
        return next((len(way) for way in self.ways(session) if _solves(session, way)), None)

    def solve(self, task: Task) -> list[str]:
        """Return the actions of the perfect expert; none if it fails."""
        with self._environment.open(task) as session:
            for action in self._gold.script(session, random.Random(0)):
                session.step(action)
                if session.done:
                    break
            return [step.action for step in session.steps] if session.reward >= 1.0 else []


class ContinuingOracle(Oracle):
    """Has a perfect expert that can continue from any state play from each one, and counts its actions.

    For tasks in which the agent has to find out what a solution knows, as which product fits: it takes looking at one
    for a step of the way, where the ends of a solution would make it a detour.
    """

    name: ClassVar[str] = ""

    def ways(self, session: Session) -> Sequence[Sequence[str]]:
        """Return what the perfect expert does from a state, if it succeeds."""
        with session.fork() as attempt:
            for action in self._gold.script(attempt, random.Random(0)):
                attempt.step(action)
                if attempt.done:
                    break
            actions = [step.action for step in attempt.steps[len(session.steps) :]]
            return [actions] if attempt.done and attempt.reward >= 1.0 else []


def _solves(session: Session, way: Sequence[str]) -> bool:
    """Return whether actions solve the task from a state, each of them valid."""
    with session.fork() as attempt:
        for action in way:
            if not attempt.observation.admits(action) or not attempt.step(action).valid or attempt.done:
                break
        return attempt.done and attempt.reward >= 1.0


def verdicts(distances: Sequence[int | None], lost: bool = True) -> list[Segment]:
    """Return verdicts on the actions between states, by their distances.

    Args:
        distances: one for each state, None for a state from which the solution doesn't go on.
        lost: whether the task is lost in the last state, if that has none. If this isn't known, there is no verdict.
    """
    known = [(state, distance) for state, distance in enumerate(distances) if distance is not None]
    segments = []
    for (start, before), (end, after) in pairwise(known):
        verdict = Verdict.NEUTRAL if after == before else Verdict.BENEFICIAL if after < before else Verdict.HARMFUL
        segments.append(Segment(start=start, end=end, verdict=verdict, reason=f"distance {before}, then {after}"))
    if lost and known and known[-1][0] < len(distances) - 1:
        start, before = known[-1]
        reason = f"distance {before}, then none"
        segments.append(Segment(start=start, end=len(distances) - 1, verdict=Verdict.HARMFUL, reason=reason))
    return segments
