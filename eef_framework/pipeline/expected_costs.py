"""What a run will cost in tokens and dollars, estimated from above before it starts."""

from __future__ import annotations

from collections.abc import Sequence

from eef_framework.config.schema import RunConfig
from eef_framework.errors import AttributorFailure, EnvironmentFailure, boundary
from eef_framework.interfaces import Attributor, Environment, Expert
from eef_framework.pipeline.attribution import to_attribute
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.reflection import length_of_question
from eef_framework.records import Cost, Observation, Task, Trajectory

SAMPLED_TASKS = 3
"""Number of tasks whose first observations are looked at."""


def expected_expert_cost(context: RunContext, expert: Expert, tasks: Sequence[Task], episodes: int) -> Cost | None:
    """Return an expert's estimate of what episodes will cost; None if it gives none."""
    environment, longest = context.environment, context.longest_episode
    if longest is None or type(expert).expected_cost is Expert.expected_cost:
        return None
    return expert.expected_cost(environment, _first_observations(environment, tasks), episodes, longest)


def expected_exploration_cost(
    context: RunContext,
    variant: RunConfig,
    tasks: Sequence[Task],
    known: Sequence[Trajectory] | None,
    longest: Sequence[int] | None,
) -> Cost | None:
    """Estimate what the expert's advice, the attributor's judge and reflections cost; None if nobody gives an estimate.

    Args:
        context: the run.
        variant: the method's configuration.
        tasks: what is explored.
        known: the demonstrations; None if they don't exist yet.
        longest: the greatest length of every demonstration, if they don't exist; None if there is no limit.
    """
    judged = solved = longest
    if known is not None:
        rule = context.config.success
        judged = [len(row.steps) for row in to_attribute(known, rule, variant.explore)]
        solved = [len(row.steps) for row in known if rule.holds(row)]
    parts = (
        _of_advice(context, variant, tasks),
        None if judged is None else _of_judge(context, variant, tasks, judged),
        None if solved is None else _of_reflections(context, variant, tasks, solved),
    )
    estimates = [part for part in parts if part is not None]
    return sum(estimates, Cost()) if estimates else None


def _of_advice(context: RunContext, variant: RunConfig, tasks: Sequence[Task]) -> Cost | None:
    """Return the expert's estimate: as many answers as if it played the episodes itself."""
    if not variant.explore.advice:
        return None
    return expected_expert_cost(context, context.expert, tasks, len(tasks) * variant.explore.simulations)


def _of_judge(context: RunContext, variant: RunConfig, tasks: Sequence[Task], lengths: Sequence[int]) -> Cost | None:
    """Return the attributor's estimate of the answers that it requests itself about trajectories of these lengths."""
    attributor = context.attributor(variant)
    if attributor is None or variant.explore.attribute == "none":
        return None
    if type(attributor).expected_cost is Attributor.expected_cost:
        return None
    initial = _first_observations(context.environment, tasks)
    with boundary(AttributorFailure, attributor, "estimating its cost"):
        return attributor.expected_cost(initial, lengths)


def _of_reflections(
    context: RunContext, variant: RunConfig, tasks: Sequence[Task], lengths: Sequence[int]
) -> Cost | None:
    """Return an estimate of a reflection for every action of successes of these lengths."""
    settings = variant.explore.reflection
    if settings is None:
        return None
    initial = _first_observations(context.environment, tasks)
    instructions, alternatives = context.environment.instructions, variant.explore.alternatives
    characters = length_of_question(context.format, instructions, initial, lengths, alternatives)
    return context.judge(settings).expected_cost_of_questions(sum(lengths), characters, settings.max_tokens)


def _first_observations(environment: Environment, tasks: Sequence[Task]) -> list[Observation]:
    """Return the first observations of a few tasks."""
    initial = []
    for task in tasks[:SAMPLED_TASKS]:
        with boundary(EnvironmentFailure, environment, f"opening {task.id!r}"):
            session = environment.open(task)
        initial.append(session.initial)
        session.close()
    return initial
