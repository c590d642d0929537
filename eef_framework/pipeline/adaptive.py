"""Plays an adaptive exploration in rounds. Each round is complete before the next one is decided (`schedule`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from eef_framework.config.schema import Budget, Explore, Schedule
from eef_framework.errors import AttributorFailure
from eef_framework.interfaces import Attributor
from eef_framework.pipeline.attribution import (
    beyond_initial,
    check_attributions,
    plan_of,
    to_attribute,
    try_to_attribute,
)
from eef_framework.pipeline.episodes import gather
from eef_framework.pipeline.schedule import Progress, affordable, next_tries, to_attribute_first
from eef_framework.records import Attribution, Response, State, Task, Trajectory
from eef_framework.rollout import Simulator
from eef_framework.rollout.simulate import available

ROUNDS = 8
"""Each round of further tries uses at least this fraction of the tasks, and at least as many episodes. As many episodes
tell first what one costs, if the budget limits that."""


@dataclass
class AdaptiveExploration:
    """One exploration that adapts.

    Attributes:
        simulator: plays.
        tasks: the training tasks.
        demonstrations: the expert's trajectories.
        attributor: attributes demonstrations; None to play from initial states only.
        settings: the exploration's settings.
        schedule: those of its schedule.
        budget: averages per task.
        seed: for random choices.
        rounds: what each round was for and how many simulations it took.
    """

    simulator: Simulator
    tasks: Sequence[Task]
    demonstrations: Sequence[Trajectory]
    attributor: Attributor | None
    settings: Explore
    schedule: Schedule
    budget: Budget
    seed: int
    rounds: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.progress = Progress(self.tasks, self.demonstrations, self.simulator.rule)

    async def play(self) -> list[Attribution]:
        """Play until the budget is spent, or nothing more is worth a try.

        Returns:
            A verdict for each demonstration that was attributed, in the order of the demonstrations.
        """
        await self._initial()
        attributions = await self._attribute()
        await self._try_further()
        order = {trajectory.id: number for number, trajectory in enumerate(self.demonstrations)}
        return sorted(attributions, key=lambda attribution: order[attribution.trajectory])

    def info(self) -> dict[str, Any]:
        """Return what the exploration's manifest records."""
        return {
            "tasks": self.progress.standings(),
            "rounds": self.rounds,
            "budget": {name: limit for name, limit in self.budget.model_dump().items() if limit is not None},
            "spent": self.progress.spent.model_dump(),
        }

    @property
    def _needs_prices(self) -> bool:
        """Whether the budget limits what is only known of episodes that were played, such as tokens."""
        return any(limit is not None for limit in self.budget.model_dump(exclude={"simulations"}).values())

    def _left(self) -> int:
        return affordable(self.budget, len(self.tasks), self.progress.spent)

    async def _initial(self) -> None:
        """Play a few episodes from every initial state."""
        first = self.tasks[:ROUNDS] if self.settings.simulations and self._needs_prices else ()
        if first:
            await self._play([(State(task=task), 1) for task in first], "initial")
        each, more = divmod(len(first) + self._left(), max(1, len(self.tasks)))  # where the budget doesn't suffice
        counts = [min(self.settings.simulations, each + (number < more)) for number in range(len(self.tasks))]
        await self._play([(State(task=task), n) for task, n in zip(self.tasks, counts, strict=True) if n], "initial")

    async def _attribute(self) -> list[Attribution]:
        """Attribute failed demonstrations of unsolved tasks, as many as the budget's share allows."""
        if self.attributor is None or self.settings.attribute == "none":
            return []
        candidates = to_attribute(self.demonstrations, self.simulator.rule, self.settings)
        waiting = to_attribute_first(self.progress, candidates, self.simulator.rule, self.seed)
        keep = round(self._left() * (1.0 - self.schedule.attribution))
        found: list[Attribution] = []
        failed: list[AttributorFailure] = []
        mean = 0.0
        while waiting and (left := self._left() - keep) > 0:
            count = self._how_many(waiting, left, mean)
            if not count:
                break
            now, waiting = waiting[:count], waiting[count:]
            before = self.progress.spent.simulations
            source = _Recording(self.simulator, self.progress)
            attributed = await gather(try_to_attribute(self.attributor, each, source, failed) for each in now)
            found += attributed
            source.report()
            self.progress.pay(attributed)
            self._note("attribution", before)
            mean = (self.progress.spent.simulations - before) / count
        check_attributions(self.attributor, len(found), failed)
        return found

    def _how_many(self, waiting: Sequence[Trajectory], left: int, mean: float) -> int:
        """Return how many demonstrations to attribute in the next round.

        Args:
            waiting: those to attribute.
            left: number of simulations that may be spent.
            mean: simulations per demonstration in the round before; 0 if there was none.
        """
        assert self.attributor is not None
        planned = [plan_of(self.attributor, len(trajectory.steps)) for trajectory in waiting]
        if None in planned:  # not known beforehand: half of what is left at the last round's price, to stay within it
            return min(len(waiting), max(1, int(left / (2 * mean)))) if mean else min(len(waiting), left // 20 + 1)
        already = self.settings.simulations
        prices = [beyond_initial(plan or {}, already) for plan in planned]
        return sum(price <= left for price in accumulate(prices))

    async def _try_further(self) -> None:
        """Play again where a solution is likely and worth most, in small rounds."""
        most = max(ROUNDS, len(self.tasks) // ROUNDS)
        while wanted := next_tries(self.progress, self.schedule, min(most, self._left()), self.seed):
            await self._play(wanted, "further")

    async def _play(self, wanted: Sequence[tuple[State, int]], what: str) -> None:
        before = self.progress.spent.simulations
        found = await gather(self.simulator.attempts(state, n) for state, n in wanted)
        for (state, n), episodes in zip(wanted, found, strict=True):
            self.progress.add(state, n, episodes)
        self._note(what, before)

    def _note(self, what: str, before: int) -> None:
        played = self.progress.spent.simulations - before
        if not self.rounds or self.rounds[-1]["for"] != what:
            self.rounds.append({"for": what, "rounds": 0, "simulations": 0})
        self.rounds[-1]["rounds"] += 1
        self.rounds[-1]["simulations"] += played


class _Recording:
    """Simulations of a round, with a note of what was requested.

    Args:
        simulator: plays them.
        progress: what earlier rounds played; the episodes available to attributors are those from initial states.
    """

    def __init__(self, simulator: Simulator, progress: Progress) -> None:
        self.rule = simulator.rule
        self._simulator = simulator
        self._progress = progress
        self._found: dict[tuple[str, str, int, tuple[str, ...]], tuple[State, int, Sequence[Trajectory]]] = {}

    async def simulate(self, state: State, n: int) -> Sequence[Trajectory]:
        """Return n simulations from a state."""
        found = await self._simulator.attempts(state, n)
        key = (state.task.id, state.trajectory, state.length, state.inserted)
        if n >= self._found.get(key, (state, 0, ()))[1]:
            self._found[key] = (state, n, found)
        return available(found)

    async def score(self, state: State, actions: Sequence[str], thought: str) -> Sequence[Response]:
        """Return the answers by which the agent would take actions in a state, with their log-probabilities."""
        return await self._simulator.score(state, actions, thought)

    async def episodes(self, task: Task) -> Sequence[Trajectory]:
        """Return the recorded episodes of a task."""
        own = await self._simulator.initial(task, self._progress.tasks[task.id].initial.asked)
        return (*self._simulator.demonstrations(task), *own)

    def report(self) -> None:
        """Add what was requested to the progress."""
        for state, n, found in self._found.values():
            self._progress.add(state, n, found)
