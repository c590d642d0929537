"""Questions to language models and experts after an exploration: reflections, and the expert's advice."""

from __future__ import annotations

from collections.abc import Sequence

from eef_framework.config.schema import Reflection
from eef_framework.interfaces import Sampling
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.costs import cost_of
from eef_framework.pipeline.episodes import check_errors, distinct_states
from eef_framework.pipeline.reflection import Reflecting, check_reflections, comparisons
from eef_framework.pipeline.rows import Rows
from eef_framework.pipeline.world_model import expert_states
from eef_framework.records import Cost, Trajectory
from eef_framework.rollout import continuation_id, continuations
from eef_framework.rollout.episode_costs import with_lost_costs
from eef_framework.runs import JsonlFile
from eef_framework.seeds import derive


def ask_for_reflections(
    context: RunContext,
    settings: Reflection,
    demonstrations: Sequence[Trajectory],
    tried: Sequence[Trajectory],
    file: Rows[Trajectory],
    name: str,
    seed: int,
) -> Cost:
    """Have a reflection written for every state in which the agent tried something else; keep what is known.

    Args:
        context: the run.
        settings: who writes, and how.
        demonstrations: the expert's trajectories.
        tried: the agent's actions in states of the expert's successes, without lost ones.
        file: where reflections are kept.
        name: first part of their ids.
        seed: of the answers.

    Returns:
        What they cost.
    """
    rule = context.config.success
    judge = context.judge(settings)
    with JsonlFile(file.path, Trajectory) as rows, judge.open_policy() as policy:
        reflecting = Reflecting(
            policy,
            judge.component_name(),
            name,
            context.format,
            context.environment.instructions,
            Sampling(temperature=settings.temperature, max_tokens=settings.max_tokens),
            seed,
            context.config.limits.concurrency,
        )
        compared = comparisons(demonstrations, tried, rule)
        found = context.wait_for(reflecting.write(compared, rows.rows, rows.append))
        file.rewrite(rows, found)
    if expert_states(demonstrations, rule):
        check_reflections(found, tried)
    return cost_of(found).changed(episodes=0, steps=0)


def ask_for_advice(context: RunContext, episodes: Sequence[Trajectory], file: Rows[Trajectory]) -> Cost:
    """Ask the expert for its action in every state of the episodes from initial states; keep what is known.

    Args:
        context: the run.
        episodes: the agent's.
        file: where the expert's actions are kept.

    Returns:
        What they cost.
    """
    states = distinct_states(each for each in episodes if each.origin is None and not each.lost)
    ids = {continuation_id(context.expert.component_name(), state): state for state in states}
    with JsonlFile(file.path, Trajectory) as rows:
        known = {row.id: row for row in rows.rows if not row.lost}
        lost = {row.id: row for row in rows.rows if row.lost}
        missing = [state for id, state in ids.items() if id not in known]

        async def ask() -> None:
            seed = derive(context.config.seed, "collect")  # the expert that demonstrated
            async for row in continuations(context.expert, context.environment, missing, seed, steps=1):
                known[row.id] = with_lost_costs(row, lost.get(row.id))
                rows.append(known[row.id])

        context.wait_for(ask())
        check_errors([known[id] for id in ids])
        file.rewrite(rows, [known[id] for id in ids])
    return cost_of(file.read()).changed(episodes=0)
