"""Simulations on demand: each is played once, recorded, and shared by all callers that request it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from operator import index
from typing import Protocol, SupportsIndex, TypeVar

from eef_framework.errors import AnswerFailure, AttributorFailure
from eef_framework.interfaces import EpisodeSpec, PlayEpisode, Simulate
from eef_framework.records import Cost, Probe, Response, State, SuccessRule, Task, Trajectory
from eef_framework.rollout.episode_costs import cost_of_answers, with_lost_costs
from eef_framework.rollout.ids import simulation_id
from eef_framework.rollout.scoring import score_actions
from eef_framework.runs import JsonlFile
from eef_framework.seeds import derive

T = TypeVar("T")


MOST_CALLS = 100_000
"""Number of calls of `simulate` for one trajectory from which on an attributor is taken to be in an endless loop."""


class Simulations(Protocol):
    """Source of simulations: played now, or recorded."""

    rule: SuccessRule

    async def simulate(self, state: State, n: int) -> Sequence[Trajectory]:
        """Return n simulations from a state, without those lost to infrastructure failures."""

    async def score(self, state: State, actions: Sequence[str], thought: str) -> Sequence[Response]:
        """Return the answers by which the agent would take actions in a state, with their log-probabilities."""

    async def episodes(self, task: Task) -> Sequence[Trajectory]:
        """Return the recorded episodes of a task, always the same ones in the same order."""


class Simulator:
    """Plays the current agent from any state.

    Args:
        play: plays an episode.
        rows: file that simulations are recorded in; those already in it aren't played again.
        phase: first part of the ids, such as `eef/1`.
        seed: the phase's seed. The order of requests doesn't affect any simulation.
        rule: the success rule.
        played: called whenever an episode is finished.
        demonstrations: the expert's episodes, available to attributors.
        initial_simulations: number of episodes of the agent from a task's initial state available to attributors.
        steps: maximum number of actions of each simulation; None to play to the end.
    """

    def __init__(
        self,
        play: PlayEpisode,
        rows: JsonlFile[Trajectory],
        phase: str,
        seed: int,
        rule: SuccessRule,
        played: Callable[[Trajectory], None] = lambda trajectory: None,
        demonstrations: Sequence[Trajectory] = (),
        initial_simulations: int = 0,
        steps: int | None = None,
    ) -> None:
        self._play_episode = play
        self._rows = rows
        self._phase = phase
        self._seed = seed
        self.rule = rule
        self._played = played
        self._demonstrations = by_task(demonstrations)
        self._initial_simulations = initial_simulations
        self._steps = steps
        # Episodes lost to infrastructure failures are played again.
        self._known = {row.id: row for row in rows.rows if not row.lost}
        self._lost = {row.id: row for row in rows.rows if row.lost}
        self._under_way: dict[str, asyncio.Task[Trajectory]] = {}

    async def initial(self, task: Task, n: int) -> Sequence[Trajectory]:
        """Return n episodes from a task's initial state."""
        return await self.simulate(State(task=task), n)

    async def simulate(self, state: State, n: int) -> Sequence[Trajectory]:
        """Return n episodes from a state, without those lost to infrastructure failures."""
        return available(await self.attempts(state, n))

    async def attempts(self, state: State, n: int) -> Sequence[Trajectory]:
        """Return n episodes from a state, lost ones included."""
        return await asyncio.gather(*(self._one(state, index) for index in range(n)))

    async def score(self, state: State, actions: Sequence[str], thought: str) -> Sequence[Response]:
        """Return the answers by which the agent would take actions in a state, with their log-probabilities.

        Raises:
            PolicyFailure: the policy, or the executor, can't score answers (`scoring-unsupported`).
            AttributorFailure: the policy lost these answers.
        """
        try:
            return await score_actions(self._play_episode, state, actions, thought)
        except AnswerFailure as failure:  # affects one trajectory, not all of them
            raise AttributorFailure(failure.message, failure.fix, code="score-lost", task=state.task.id) from failure

    async def until(self, waiting: Awaitable[T]) -> T:
        """Await the callers that request simulations; then cancel requested simulations that nobody awaits any more."""
        try:
            return await waiting
        finally:
            for each in self._under_way.values():
                each.cancel()
            # Their failures are ignored: callers that awaited them got the exceptions.
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)
            self._under_way.clear()

    async def episodes(self, task: Task) -> Sequence[Trajectory]:
        """Return a task's demonstrations, and the agent's episodes from its initial state."""
        return (*self.demonstrations(task), *await self.initial(task, self._initial_simulations))

    def demonstrations(self, task: Task) -> Sequence[Trajectory]:
        """Return a task's demonstrations, without lost ones."""
        return self._demonstrations[task.id]

    async def _one(self, state: State, index: int) -> Trajectory:
        start = state.trajectory or state.task.id
        key = simulation_id(self._phase, start, state, index)
        if key in self._known:
            return self._known[key]
        if key not in self._under_way:
            seed = derive(self._seed, start, state.length, *state.inserted, index)
            self._under_way[key] = asyncio.create_task(self._play(key, state, seed))
        # Others may await the same simulation: a cancelled caller must not cancel it for them.
        return await asyncio.shield(self._under_way[key])

    async def _play(self, key: str, state: State, seed: int) -> Trajectory:
        trajectory = await self._play_episode(EpisodeSpec(id=key, start=state, seed=seed, steps=self._steps))
        trajectory = with_lost_costs(trajectory, self._lost.get(key))
        self._rows.append(trajectory)
        self._known[key] = trajectory
        self._played(trajectory)
        return trajectory


def available(episodes: Sequence[Trajectory]) -> Sequence[Trajectory]:
    """Return the episodes that weren't lost to infrastructure failures."""
    return tuple(episode for episode in episodes if not episode.lost)


def require_few_calls(calls: int, trajectory: Trajectory, most: int = MOST_CALLS) -> None:
    """Reject an attributor that requests simulations in an endless loop, which nothing else would interrupt.

    Raises:
        AttributorFailure: there were too many calls.
    """
    if calls > most:
        length = len(trajectory.steps)
        raise AttributorFailure(
            f"attribute() called simulate() {most:,} times for one trajectory, of {length} actions, and didn't end",
            "End the loop in every case: a trajectory may have a single action, and simulations may be lost.",
            code="endless-attribution",
            trajectory=trajectory.id,
            length=length,
        )


class TrajectorySimulate(Simulate):
    """The `interfaces.Simulate` of an attributor for one trajectory. Records what it requests.

    Args:
        simulations: source of simulations.
        trajectory: the trajectory under attribution.
    """

    def __init__(self, simulations: Simulations, trajectory: Trajectory) -> None:
        self._simulations = simulations
        self._trajectory = trajectory
        self._asked: dict[tuple[str, int, tuple[str, ...]], Sequence[Trajectory]] = {}
        self._cost = Cost()
        self._calls = 0

    async def __call__(self, state: int | State, n: int = 1) -> Sequence[Trajectory]:
        """Return n simulations from a state.

        Raises:
            AttributorFailure: it was called so often that the attributor doesn't seem to end.
        """
        self._calls += 1
        require_few_calls(self._calls, self._trajectory)
        start = self._start(state)
        found = await self._simulations.simulate(start, n)
        other = start.trajectory if start.trajectory not in ("", self._trajectory.id) else ""
        key = (other, start.length, start.inserted)
        if len(found) >= len(self._asked.get(key, ())):
            self._asked[key] = found
        return found

    async def score(self, state: int | State, actions: Sequence[str], thought: str = "") -> Sequence[Response]:
        """Return the answers by which the agent would take actions in a state, with their log-probabilities."""
        answers = await self._simulations.score(self._start(state), actions, thought)
        self._cost += cost_of_answers(answers)
        return answers

    def charge(self, response: Response) -> None:
        """Count an answer that the attributor requested itself in the costs."""
        self._cost += cost_of_answers([response])

    def succeeded(self, trajectory: Trajectory) -> bool:
        """Return whether a trajectory is a success."""
        return self._simulations.rule.holds(trajectory)

    async def episodes(self) -> Sequence[Trajectory]:
        """Return the recorded episodes of the trajectory's task."""
        return await self._simulations.episodes(self._trajectory.task)

    @property
    def cost(self) -> Cost:
        """Cost of scores, and of answers that the attributor requested itself."""
        return self._cost.changed(usd=round(self._cost.usd, 9))  # whatever the order of the answers

    @property
    def probes(self) -> tuple[Probe, ...]:
        """The states that simulations were requested from, in order, with the outcomes."""
        return tuple(
            Probe(
                state=length,
                trajectory=other,
                inserted=inserted,
                simulations=tuple(run.id for run in found),
                successes=sum(map(self.succeeded, found)),
            )
            for (other, length, inserted), found in sorted(self._asked.items())
        )

    def _start(self, state: int | State) -> State:
        if not isinstance(state, State):
            return start_of(self._trajectory, state)
        if state.steps and state.steps[-1].done:
            raise IndexError(f"the episode {state.trajectory!r} is over after {len(state.steps)} actions")
        return state


def start_of(trajectory: Trajectory, state: SupportsIndex) -> State:
    """Return a state to simulate from by its number, which may be an integer of numpy.

    Raises:
        IndexError: there is no such state.
        TypeError: it isn't an integer.
    """
    number, length = index(state), len(trajectory.steps)
    if not 0 <= number < max(length, 1):
        last = max(length - 1, 0)
        raise IndexError(f"a trajectory of {length} actions has states 0 to {last} to simulate from, not {number}")
    return trajectory.at(number)


def by_task(trajectories: Sequence[Trajectory]) -> defaultdict[str, list[Trajectory]]:
    """Return trajectories by the id of their task, without those lost to infrastructure failures."""
    found: defaultdict[str, list[Trajectory]] = defaultdict(list)
    for trajectory in available(trajectories):
        found[trajectory.task.id].append(trajectory)
    return found
