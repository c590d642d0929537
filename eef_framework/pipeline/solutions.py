"""Phase 3: which trajectories to learn from, and which of their actions get loss (arXiv 2504.13145, section 3).

Important states are the initial states of all tasks and the states that need recovery. For each, solutions are selected
from the repository D+ of all successes. What the paper leaves open is a setting (`Select`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from eef_framework.config.schema import Select
from eef_framework.pipeline.preference import Solution, preferred
from eef_framework.pipeline.prefix_loss import prefix_weights
from eef_framework.records import Attribution, SuccessRule, Trajectory

_PREFERRED = "another solution is preferred"


@dataclass(frozen=True)
class Exploration:
    """Results of one exploration.

    Attributes:
        simulations: all its episodes, from initial and from intermediate states.
        attributions: its verdicts, by id of the expert trajectory.
        advice: single actions of the expert in states that the agent came to.
        alternatives: single actions of the agent in states of the expert's successes.
        reflections: single actions of the expert, with a thought on why they are better than those.
    """

    simulations: Sequence[Trajectory]
    attributions: Mapping[str, Attribution]
    advice: Sequence[Trajectory] = ()
    alternatives: Sequence[Trajectory] = ()
    reflections: Sequence[Trajectory] = ()


def kept_explorations(explorations: Sequence[Exploration], settings: Select) -> Sequence[Exploration]:
    """Return the explorations to learn from: all so far, or the latest (`select.keep`)."""
    return explorations if settings.keep == "all" else explorations[-1:]


@dataclass(frozen=True)
class Selection:
    """What is learned from, and what isn't.

    Attributes:
        solutions: the expert's successes, then solutions for the initial state of every task in order of the
            demonstrations, then those for states that need recovery, then the expert's advice and
            reflections. No trajectory appears twice.
        left_out: id of each other success -> why it isn't learned from.
    """

    solutions: list[Solution]
    left_out: Mapping[str, str] = field(default_factory=dict)


def selection(
    demonstrations: Sequence[Trajectory],
    explorations: Sequence[Exploration],
    settings: Select,
    rule: SuccessRule,
    seed: int,
) -> Selection:
    """Select the trajectories to learn from.

    Args:
        demonstrations: the expert's trajectories, failures included.
        explorations: the explorations so far, in order. A simulation's prefix is weighted by the verdicts of its own
            exploration; verdicts for another agent don't apply.
        settings: the choices the paper leaves open.
        rule: the success rule.
        seed: for random choices.
    """
    expert, kept = demonstrated(demonstrations, "successes", rule), kept_explorations(explorations, settings)
    choice = _Choice(expert, kept, settings, rule, seed)
    picked = list(_distinct(choice.solutions()))
    learned = {solution.trajectory.id for solution in picked}
    return Selection(picked, {name: why for name, why in choice.left_out.items() if name not in learned})


def demonstrated(
    demonstrations: Sequence[Trajectory], which: Literal["successes", "all", "marked", "none"], rule: SuccessRule
) -> list[Solution]:
    """Return the demonstrations to imitate in full: phase 1, behaviour cloning."""
    return [
        Solution(
            trajectory,
            (1.0,) * len(trajectory.steps),
            "expert",
            failed=which == "marked" and not rule.holds(trajectory),
        )
        for trajectory in demonstrations
        if which in ("all", "marked") or (which == "successes" and rule.holds(trajectory))
    ]


class _Choice:
    """Chooses among the successes of the expert and of the agent.

    Attributes:
        left_out: id of each success that may not be learned from -> why.
    """

    def __init__(
        self,
        expert: Sequence[Solution],
        explorations: Sequence[Exploration],
        settings: Select,
        rule: SuccessRule,
        seed: int,
    ) -> None:
        self.settings, self.seed, self.explorations = settings, seed, explorations
        self.successes = [
            (simulation, exploration)
            for exploration in explorations
            for simulation in exploration.simulations
            if rule.holds(simulation)
        ]
        known = [*(solution.trajectory for solution in expert), *(trajectory for trajectory, _ in self.successes)]
        self.shortest: dict[str, int] = {}
        for trajectory in known:
            length = len(trajectory.steps)
            self.shortest[trajectory.task.id] = min(length, self.shortest.get(trajectory.task.id, length))
        own = _PREFERRED if settings.initial else "the agent's own solutions aren't learned (select.initial)"
        self.left_out = {solution.trajectory.id: _PREFERRED for solution in expert}
        self.left_out |= {trajectory.id: own for trajectory, _ in self.successes}
        self.expert = self._short_enough(expert)

    def solutions(self) -> Iterator[Solution]:
        """Yield the expert's successes, those of initial states, and those of states that need recovery."""
        if not self._expert_competes:
            yield from self.expert
        if self.settings.initial:
            yield from self._for_initial_states()
        if self.settings.recovery:
            yield from self._for_recovery()
        for exploration in self.explorations:
            for source, found in (("advice", exploration.advice), ("reflection", exploration.reflections)):
                yield from (Solution(row, _loss_on_own_steps(row), source) for row in found)

    def _for_initial_states(self) -> Iterator[Solution]:
        """For every task: the agent's own solutions, or, if nobody solved it, continuations of the expert's."""
        own: dict[str, list[Solution]] = defaultdict(list)
        continued: dict[str, list[Solution]] = defaultdict(list)
        for solution in self.expert if self._expert_competes else ():
            own[solution.trajectory.task.id].append(solution)
        for simulation, exploration in self.successes:
            origin, task = simulation.origin, simulation.task.id
            if origin is None:
                own[task].append(Solution(simulation, (1.0,) * len(simulation.steps), "agent"))
            elif origin.inserted or origin.trajectory not in exploration.attributions:
                self.left_out[simulation.id] = "the actions before it have no verdict"
            else:
                verdicts = exploration.attributions[origin.trajectory]
                weights = prefix_weights(verdicts, simulation.prefix_length, self.settings)
                weights += (1.0,) * (len(simulation.steps) - len(weights))
                continued[task].append(Solution(simulation, weights, "continuation"))
        solved_by_expert = {solution.trajectory.task.id for solution in self.expert}
        for task in dict.fromkeys([*own, *continued]):
            candidates = own[task]
            if not candidates and task not in solved_by_expert:
                candidates = continued[task]
            else:
                self._leave_out(continued[task], "the task is solved from its initial state")
            yield from preferred(self._short_enough(candidates), self.settings, f"{self.seed}/{task}")

    def _for_recovery(self) -> Iterator[Solution]:
        """For every state after harmful actions: trajectories that recovered, with loss only on the continuation."""
        for exploration in self.explorations:
            from_states: dict[str, list[Trajectory]] = defaultdict(list)
            for simulation, of in self.successes:
                if of is exploration and simulation.origin is not None and not simulation.origin.inserted:
                    from_states[simulation.origin.trajectory].append(simulation)
            for attribution in exploration.attributions.values():
                for state in attribution.needing_recovery:
                    out = [
                        Solution(simulation, _loss_on_own_steps(simulation), "recovery")
                        for simulation in from_states[attribution.trajectory]
                        if simulation.prefix_length >= state
                    ]
                    self._leave_out(out, _PREFERRED)
                    yield from preferred(out, self.settings, f"{self.seed}/{attribution.trajectory}/{state}")

    @property
    def _expert_competes(self) -> bool:
        return self.settings.expert == "preferred" and self.settings.initial

    def _short_enough(self, candidates: Sequence[Solution]) -> list[Solution]:
        limit = self.settings.length_ratio
        if limit is None:
            return list(candidates)
        longest = {task: limit * length for task, length in self.shortest.items()}
        longer = [each for each in candidates if len(each.trajectory.steps) > longest[each.trajectory.task.id]]
        self._leave_out(longer, "it is longer than select.length_ratio allows")
        return [each for each in candidates if len(each.trajectory.steps) <= longest[each.trajectory.task.id]]

    def _leave_out(self, solutions: Iterable[Solution], why: str) -> None:
        self.left_out |= {solution.trajectory.id: why for solution in solutions}


def _loss_on_own_steps(trajectory: Trajectory) -> tuple[float, ...]:
    return (0.0,) * trajectory.prefix_length + (1.0,) * len(trajectory.own_steps)


def _distinct(solutions: Iterable[Solution]) -> Iterator[Solution]:
    seen: set[str] = set()
    for solution in solutions:
        if solution.trajectory.id not in seen:
            seen.add(solution.trajectory.id)
            yield solution
