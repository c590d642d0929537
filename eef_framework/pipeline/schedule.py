"""Decides where an adaptive exploration continues: a function of the episodes of earlier rounds.

Nothing here plays or waits, and nothing depends on the order in which episodes end. A run that was killed repeats the
same decisions from its recorded episodes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby

from eef_framework.config.schema import Budget, Schedule
from eef_framework.evaluation.spending import spending_of, total
from eef_framework.records import Attribution, Spending, State, SuccessRule, Task, Trajectory
from eef_framework.rollout.simulate import available
from eef_framework.seeds import derive

MOST_FREE = 4
"""How many episodes per task a budget allows as long as they cost nothing of what it limits."""


class Standing(StrEnum):
    """What is known about a task after an exploration."""

    SOLVED = "solved"
    """The agent succeeded in every episode from the initial state."""
    SOMETIMES = "sometimes"
    """It succeeded in some of them."""
    FROM_EXPERT = "from-expert"
    """It succeeded only from states of the expert's demonstration."""
    HOPELESS = "hopeless"
    """It never succeeded, from any state that was tried."""
    UNTRIED = "untried"
    """It wasn't tried: the budget was spent before, or all episodes were lost."""


@dataclass
class Tried:
    """Episodes from one state.

    Attributes:
        state: where they start.
        asked: number of episodes requested; more than `n` if some were lost to infrastructure failures.
        n: number of episodes available.
        successes: how many of them succeeded.
    """

    state: State
    asked: int = 0
    n: int = 0
    successes: int = 0


@dataclass
class TaskProgress:
    """What an exploration knows about a task.

    Attributes:
        task: the task.
        expert_solved: whether a demonstration solves it.
        initial: episodes from the initial state.
        others: episodes from states of demonstrations, by trajectory and number of actions.
        elsewhere: episodes from any other states that an attributor asked for. What they lead to isn't learned from.
    """

    task: Task
    expert_solved: bool
    initial: Tried
    others: dict[tuple[str, int], Tried] = field(default_factory=dict)
    elsewhere: dict[tuple[str, int, tuple[str, ...]], Tried] = field(default_factory=dict)

    @property
    def standing(self) -> Standing:
        """What is known about the task."""
        if self.initial.successes:
            return Standing.SOLVED if self.initial.successes == self.initial.n else Standing.SOMETIMES
        if any(tried.successes for tried in self.others.values()):
            return Standing.FROM_EXPERT
        tried = self.initial.n or any(tried.n for tried in self.others.values())
        return Standing.HOPELESS if tried else Standing.UNTRIED

    @property
    def solutions(self) -> int:
        """Number of known solutions: the expert's, and those of the agent that would be learned from."""
        expert, own = int(self.expert_solved), self.initial.successes
        return expert + own if expert or own else sum(tried.successes for tried in self.others.values())


class Progress:
    """What an exploration has played so far, in rounds that are complete.

    Args:
        tasks: the training tasks.
        demonstrations: the expert's trajectories.
        rule: the success rule.
    """

    def __init__(self, tasks: Sequence[Task], demonstrations: Sequence[Trajectory], rule: SuccessRule) -> None:
        solved = {trajectory.task.id for trajectory in demonstrations if rule.holds(trajectory)}
        self._rule = rule
        self._demonstrations = {trajectory.id for trajectory in demonstrations}
        self._spent: dict[str, Spending] = {}
        self._asked = 0
        self.tasks = {task.id: TaskProgress(task, task.id in solved, Tried(State(task=task))) for task in tasks}

    def add(self, state: State, asked: int, found: Sequence[Trajectory]) -> None:
        """Add what was requested from a state, and the episodes; those from earlier requests are replaced.

        Args:
            state: where they started.
            asked: number of episodes requested.
            found: the episodes, lost ones included.
        """
        tried = self._tried(state)
        if tried is None or asked < tried.asked:
            return
        self._asked += asked - tried.asked
        tried.asked, tried.n = asked, len(available(found))
        tried.successes = sum(map(self._rule.holds, available(found)))
        self._spent |= {trajectory.id: spending_of(trajectory) for trajectory in found}

    def pay(self, attributions: Iterable[Attribution]) -> None:
        """Add the tokens that attributions took besides simulations: scores, and answers of judges."""
        for each in attributions:
            self._spent[f"attribution of {each.trajectory}"] = Spending(tokens=each.cost.computed_tokens)

    @property
    def spent(self) -> Spending:
        """Spending so far, lost episodes included."""
        return total(self._spent.values()).changed(simulations=self._asked)

    def standings(self) -> dict[str, int]:
        """Return how many tasks have each standing."""
        found = [progress.standing for progress in self.tasks.values()]
        return {standing.value: found.count(standing) for standing in Standing}

    def _tried(self, state: State) -> Tried | None:
        progress = self.tasks.get(state.task.id)
        if progress is None:
            return None
        if not state.length:
            return progress.initial
        if state.inserted or state.trajectory not in self._demonstrations:
            key = (state.trajectory, state.length, state.inserted)
            return progress.elsewhere.setdefault(key, Tried(state))
        return progress.others.setdefault((state.trajectory, state.length), Tried(state))


def affordable(budget: Budget, tasks: int, spent: Spending) -> int:
    """Return how many more simulations a budget allows, at their mean price so far.

    Args:
        budget: averages per task.
        tasks: number of tasks.
        spent: spending so far.
    """
    counts = []
    for name in Budget.model_fields:
        limit = getattr(budget, name)
        if limit is not None:
            each = 1.0 if name == "simulations" else getattr(spent, name) / max(1, spent.simulations)
            left = limit * tasks - getattr(spent, name)
            counts.append(left / each if each else math.inf if left > 0 else 0.0)
    fewest = min(counts, default=math.inf)
    return max(0, math.floor(fewest + 1e-9)) if fewest < math.inf else MOST_FREE * tasks


def to_attribute_first(
    progress: Progress, candidates: Iterable[Trajectory], rule: SuccessRule, seed: int
) -> list[Trajectory]:
    """Return the demonstrations that can teach most: failures on tasks that nobody has solved, in random order."""
    chosen = [
        trajectory
        for trajectory in candidates
        if not rule.holds(trajectory)
        and trajectory.task.id in progress.tasks
        and not progress.tasks[trajectory.task.id].solutions
    ]
    return sorted(chosen, key=lambda trajectory: derive(seed, "attribute", trajectory.id))


def next_tries(progress: Progress, settings: Schedule, limit: int, seed: int) -> list[tuple[State, int]]:
    """Return the states to play from in the next round, with the total number of episodes to request from each.

    A state's score is the chance that one more episode from it succeeds, times what a further solution of its task is
    worth: 1 for the first, 1 / (k (k + 1)) with k known ones, which is how much shorter the shortest of k + 1 is
    expected to be than that of k where lengths are exponentially distributed. The chance is estimated from the state's
    own episodes and, with the weight of one episode, from all states of its kind.

    Args:
        progress: what was played.
        settings: `solutions` and `tries` set when a task or a state is left alone.
        limit: maximum number of episodes.
        seed: for ties.
    """
    initial, others = _rate(each.initial for each in progress.tasks.values()), _rate(_others(progress))
    scored: list[tuple[float, int, Tried]] = []
    for each in progress.tasks.values():
        known = each.solutions
        if known >= settings.solutions:
            continue
        worth = 1.0 / (known * (known + 1)) if known else 1.0
        near_flip = () if each.initial.successes or each.expert_solved else _near_flip(each)
        for tried, rate in ((each.initial, initial), *((tried, others) for tried in near_flip)):
            if tried.asked < settings.tries:
                chance = (tried.successes + rate) / (tried.n + 1)
                tie = derive(seed, "try", each.task.id, tried.state.trajectory, tried.state.length)
                scored.append((-chance * worth, tie, tried))
    scored.sort(key=lambda entry: entry[:2])
    return [(tried.state, tried.asked + 1) for _, _, tried in scored[:limit]]


def _near_flip(progress: TaskProgress) -> list[Tried]:
    """Return the earliest state that the agent succeeds from, and the last one before it, of each demonstration."""
    found = []
    for _, group in groupby(sorted(progress.others), key=lambda key: key[0]):
        states = [progress.others[key] for key in group]
        flip = next((index for index, tried in enumerate(states) if tried.successes), None)
        if flip is not None:
            found += states[max(0, flip - 1) : flip + 1]
    return found


def _others(progress: Progress) -> Iterable[Tried]:
    return (tried for each in progress.tasks.values() for tried in each.others.values())


def _rate(tries: Iterable[Tried]) -> float:
    counts = [(tried.successes, tried.n) for tried in tries]
    return sum(successes for successes, _ in counts) / max(1, sum(n for _, n in counts))


def per_task(spent: Mapping[str, Spending], tasks: int, like: Budget) -> Budget:
    """Return a budget with what another exploration spent, in the units of a budget.

    Args:
        spent: the other's spending, by task.
        tasks: number of tasks.
        like: the fields that it limits are set.
    """
    whole = total(spent.values())
    limited = [name for name in Budget.model_fields if getattr(like, name) is not None]
    # The limits of a budget are above 0, also where nothing was spent.
    return Budget(**{name: max(getattr(whole, name) / max(1, tasks), 1e-9) for name in limited})
