"""Phase 3 for methods that learn preferences between actions in the same state (IPR, arXiv 2406.11176)."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from eef_framework.config.schema import Select
from eef_framework.pipeline.pairs import Pair
from eef_framework.pipeline.solutions import Exploration, kept_explorations
from eef_framework.records import Segment, SuccessRule, Trajectory, Verdict


def step_pairs(
    demonstrations: Sequence[Trajectory],
    explorations: Sequence[Exploration],
    settings: Select,
    rule: SuccessRule,
    seed: int,
) -> list[Pair]:
    """Pair the expert's actions with what the agent did in the same state.

    Beneficial actions are preferred to the beginning of a simulation from the state before them that failed. To harmful
    ones, the beginning of a simulation that succeeded is preferred. If both took the same actions at first, the pair
    starts where they differ; if they took the same ones throughout the segment, or no action was found in the agent's
    answer there, there is no pair. What follows the actions belongs to the pair only if its outcome agrees: the rest of
    a success on the preferred side, that of a failure on the rejected side.

    Args:
        demonstrations: the expert's trajectories, failures included.
        explorations: the explorations so far, in order. A verdict is used with the simulations of its own exploration.
        settings: `keep` sets which explorations, `solutions_per_state` how many pairs per segment.
        rule: the success rule.
        seed: for choosing among simulations.
    """
    by_id = {trajectory.id: trajectory for trajectory in demonstrations}
    found: list[Pair] = []
    for exploration in kept_explorations(explorations, settings):
        starting = _by_start(exploration.simulations)
        for attribution in exploration.attributions.values():
            demonstration = by_id.get(attribution.trajectory)
            if demonstration is None:
                continue
            for segment in attribution.segments:
                draw = random.Random(f"{seed}/{demonstration.id}/{segment.start}")
                of_segment = list(_pairs_of_segment(demonstration, segment, starting, rule))
                draw.shuffle(of_segment)
                found += of_segment[: settings.solutions_per_state]
    return found


def _by_start(simulations: Sequence[Trajectory]) -> Mapping[tuple[str, int], list[Trajectory]]:
    """Return simulations by the state that they start from: id of its trajectory (task if initial), and its number."""
    found: dict[tuple[str, int], list[Trajectory]] = defaultdict(list)
    for simulation in sorted(simulations, key=lambda each: each.id):
        origin = simulation.origin
        if simulation.lost or (origin is not None and origin.inserted):
            continue
        found[(simulation.task.id, 0) if origin is None else (origin.trajectory, origin.state)].append(simulation)
    return found


def _pairs_of_segment(
    demonstration: Trajectory,
    segment: Segment,
    starting: Mapping[tuple[str, int], list[Trajectory]],
    rule: SuccessRule,
) -> Iterator[Pair]:
    if segment.verdict not in (Verdict.BENEFICIAL, Verdict.HARMFUL):
        return
    beneficial = segment.verdict is Verdict.BENEFICIAL
    simulations = list(starting.get((demonstration.id, segment.start), ()))
    if segment.start == 0:
        simulations += starting.get((demonstration.task.id, 0), ())
    end = None if rule.holds(demonstration) == beneficial else segment.end
    for simulation in simulations:
        start = _first_difference(demonstration, simulation, segment)
        if start is None or rule.holds(simulation) == beneficial:
            continue
        if beneficial:
            yield Pair(demonstration, simulation, start, preferred_end=end, of_actions=True)
        else:
            yield Pair(simulation, demonstration, start, rejected_end=end, of_actions=True)


def _first_difference(demonstration: Trajectory, simulation: Trajectory, segment: Segment) -> int | None:
    """Return the index of the first action in a segment that differs; None if there is none, or it can't be learned."""
    for index in range(segment.start, min(segment.end, len(simulation.steps))):
        steps = demonstration.steps[index], simulation.steps[index]
        if steps[0].action != steps[1].action:
            return index if all(step.parsed for step in steps) else None
    return None
