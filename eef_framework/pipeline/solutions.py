"""Phase 3: which trajectories to learn from, and which of their actions get loss (arXiv 2504.13145, section 3).

Important states are the initial states of all tasks and the states that need recovery. For each, solutions are selected
from the repository D+ of all successes. What the paper leaves open is a setting (`Select`).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from eef_framework.config.schema import Select
from eef_framework.records import Attribution, SuccessRule, Trajectory, Verdict


@dataclass(frozen=True)
class Exploration:
    """Results of one exploration.

    Attributes:
        simulations: all its episodes, from initial and from intermediate states.
        attributions: its verdicts, by id of the expert trajectory.
    """

    simulations: Sequence[Trajectory]
    attributions: Mapping[str, Attribution]


@dataclass(frozen=True)
class Solution:
    """A trajectory to learn from.

    Attributes:
        trajectory: the whole of it.
        weights: one loss weight per step.
        source: why it was selected: `expert`, `agent`, `continuation` or `recovery`.
    """

    trajectory: Trajectory
    weights: tuple[float, ...]
    source: str


def solutions(
    demonstrations: Sequence[Trajectory],
    explorations: Sequence[Exploration],
    settings: Select,
    rule: SuccessRule,
    seed: int,
) -> list[Solution]:
    """Select the trajectories to learn from.

    Args:
        demonstrations: the expert's trajectories, failures included.
        explorations: the explorations so far, in order. A simulation's prefix is weighted by the verdicts of its own
            exploration; verdicts for another agent don't apply.
        settings: the choices the paper leaves open.
        rule: the success rule.
        seed: for random choices.

    Returns:
        The expert's successes, then solutions for the initial state of every task in order of the demonstrations,
        then those for states that need recovery. No trajectory appears twice.
    """
    kept = explorations if settings.keep == "all" else explorations[-1:]
    picked = demonstrated(demonstrations, "successes", rule)
    if settings.initial:
        picked += _for_initial_states(picked, kept, settings, rule, seed)
    if settings.recovery:
        picked += _for_recovery(kept, settings, rule, seed)
    return list(_distinct(picked))


def demonstrated(
    demonstrations: Sequence[Trajectory], which: Literal["successes", "all", "none"], rule: SuccessRule
) -> list[Solution]:
    """Return the demonstrations to imitate in full: phase 1, behaviour cloning."""
    return [
        Solution(trajectory, (1.0,) * len(trajectory.steps), "expert")
        for trajectory in demonstrations
        if which == "all" or (which == "successes" and rule.holds(trajectory))
    ]


def _for_initial_states(
    expert: Sequence[Solution], explorations: Sequence[Exploration], settings: Select, rule: SuccessRule, seed: int
) -> Iterator[Solution]:
    """For every task: the agent's own solutions, or, if nobody solved it, a continuation of the expert's trajectory."""
    own: dict[str, list[Solution]] = defaultdict(list)
    continued: dict[str, list[Solution]] = defaultdict(list)
    for simulation, attribution in _successes(explorations, rule):
        if simulation.origin is None:
            own[simulation.task.id].append(Solution(simulation, (1.0,) * len(simulation.steps), "agent"))
        elif attribution is not None and not simulation.origin.inserted:
            weights = _continuation_weights(simulation, attribution, settings)
            continued[simulation.task.id].append(Solution(simulation, weights, "continuation"))
    solved_by_expert = {solution.trajectory.task.id for solution in expert}
    for task in dict.fromkeys([*own, *continued]):
        if own[task]:
            yield from _preferred(own[task], settings, f"{seed}/{task}")
        elif task not in solved_by_expert:
            yield from _preferred(continued[task], settings, f"{seed}/{task}")


def _for_recovery(
    explorations: Sequence[Exploration], settings: Select, rule: SuccessRule, seed: int
) -> Iterator[Solution]:
    """For every state after harmful actions: trajectories that recovered, with loss only on the continuation."""
    for exploration in explorations:
        from_states: dict[str, list[Trajectory]] = defaultdict(list)
        for simulation in exploration.simulations:
            if simulation.origin is not None and not simulation.origin.inserted and rule.holds(simulation):
                from_states[simulation.origin.trajectory].append(simulation)
        for attribution in exploration.attributions.values():
            for state in attribution.needing_recovery:
                out = [
                    Solution(s, (0.0,) * s.prefix_length + (1.0,) * (len(s.steps) - s.prefix_length), "recovery")
                    for s in from_states[attribution.trajectory]
                    if s.prefix_length >= state
                ]
                yield from _preferred(out, settings, f"{seed}/{attribution.trajectory}/{state}")


def _successes(
    explorations: Sequence[Exploration], rule: SuccessRule
) -> Iterator[tuple[Trajectory, Attribution | None]]:
    for exploration in explorations:
        for simulation in exploration.simulations:
            if rule.holds(simulation):
                source = simulation.origin.trajectory if simulation.origin else ""
                yield simulation, exploration.attributions.get(source)


def _continuation_weights(simulation: Trajectory, attribution: Attribution, settings: Select) -> tuple[float, ...]:
    prefix = (float(_learned(attribution.verdict(i), settings)) for i in range(simulation.prefix_length))
    return (*prefix, *(1.0 for _ in simulation.steps[simulation.prefix_length :]))


def _learned(verdict: Verdict, settings: Select) -> bool:
    return {
        "beneficial": verdict is Verdict.BENEFICIAL,
        "not-harmful": verdict is not Verdict.HARMFUL,
        "all": True,
        "none": False,
    }[settings.prefix_loss]


def _preferred(candidates: Sequence[Solution], settings: Select, seed: str) -> list[Solution]:
    """Return the preferred solutions of one state. Ties are broken randomly, using the seed."""
    draw = random.Random(seed)
    drawn = sorted(candidates, key=lambda solution: solution.trajectory.id)
    draw.shuffle(drawn)
    key = {
        "least-expert": lambda s: s.trajectory.prefix_length,
        "fewest-steps": lambda s: len(s.trajectory.steps),
        "fewest-trained": lambda s: sum(weight > 0 for weight in s.weights),
        "random": lambda s: 0,
    }[settings.solution]
    return sorted(drawn, key=key)[: settings.solutions_per_state]


def _distinct(solutions: Iterable[Solution]) -> Iterator[Solution]:
    seen: set[str] = set()
    for solution in solutions:
        if solution.trajectory.id not in seen:
            seen.add(solution.trajectory.id)
            yield solution
