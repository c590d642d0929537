"""Simulations with scripted outcomes, to test attributors without an agent."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from eef_framework.interfaces import Simulate
from eef_framework.records import Observation, Response, State, Step, Task, Trajectory
from eef_framework.rollout.ids import simulation_id
from eef_framework.rollout.simulate import require_few_calls, start_of

Outcome = Callable[[int, int], bool | None]
"""(state, index of the simulation) -> whether it succeeds; None if it is lost to an infrastructure error."""


def demonstration(length: int) -> Trajectory:
    """Return a made-up expert trajectory with this number of actions."""
    steps = tuple(Step(action=f"go[{k}]", observation=Observation(text=f"room {k + 1}")) for k in range(length))
    return Trajectory(
        id=f"expert/made-up/{length}",
        task=Task(id=f"made-up-{length}", environment="made-up"),
        actor="expert/made-up",
        initial=Observation(text="room 0"),
        steps=steps,
    )


class ScriptedSimulate(Simulate):
    """The `simulate` of an attributor, with scripted outcomes.

    Args:
        trajectory: the trajectory to attribute.
        outcome: outcome of each simulation.
        seed: of the delays of calls, on which results must not depend.
        episodes: recorded episodes of the task; by default the trajectory itself.
        logprob: (number of actions, action) -> log-probability of the action in that state.

    Attributes:
        asked: (state, n) of every call, in order.
        scored: number of states whose actions were scored.
        charged: answers that the attributor requested itself.
    """

    def __init__(
        self,
        trajectory: Trajectory,
        outcome: Outcome,
        seed: int = 0,
        episodes: Sequence[Trajectory] = (),
        logprob: Callable[[int, str], float] = lambda state, action: -float(len(action)),
    ) -> None:
        self.trajectory = trajectory
        self._episodes = tuple(episodes) or (trajectory,)
        self.asked: list[tuple[int, int]] = []
        self.scored = 0
        self.charged: list[Response] = []
        self._outcome = outcome
        self._logprob = logprob
        self._draw = random.Random(seed)

    async def __call__(self, state: int | State, n: int = 1) -> Sequence[Trajectory]:
        """Return simulations from a state, after a delay."""
        start = self._start(state)
        self.asked.append((start.length, n))
        require_few_calls(len(self.asked), self.trajectory, 10_000)
        for _ in range(self._draw.randrange(6)):
            await asyncio.sleep(0)
        outcomes = ((index, self._outcome(start.length, index)) for index in range(n))
        return [self._simulation(start, index, won) for index, won in outcomes if won is not None]

    async def score(self, state: int | State, actions: Sequence[str], thought: str = "") -> Sequence[Response]:
        """Return the actions as answers, with their log-probabilities."""
        start = self._start(state)
        self.scored += 1
        return [Response(text=action, logprob=self._logprob(start.length, action)) for action in actions]

    def charge(self, response: Response) -> None:
        """Record an answer that the attributor requested itself."""
        self.charged.append(response)

    def succeeded(self, trajectory: Trajectory) -> bool:
        """Return whether the outcome of a simulation is a success."""
        return trajectory.reward == 1.0

    async def episodes(self) -> Sequence[Trajectory]:
        """Return what was recorded of the task."""
        return self._episodes

    def _start(self, state: int | State) -> State:
        return state if isinstance(state, State) else start_of(self.trajectory, state)

    def _simulation(self, start: State, index: int, won: bool) -> Trajectory:
        inserted = tuple(Step(action=action, observation=Observation(text="")) for action in start.inserted)
        changes = {
            "id": simulation_id("made-up", start.trajectory or start.task.id, start, index),
            "actor": "agent/made-up",
            "reward": float(won),
            "steps": (*start.steps, *inserted),
        }
        return self.trajectory.model_copy(update=changes)
