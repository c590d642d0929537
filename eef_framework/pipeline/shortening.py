"""Leaves out actions of selected solutions that made no difference (see `rollout.shorten`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from eef_framework.config.schema import Select
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.episodes import gather
from eef_framework.pipeline.preference import Solution
from eef_framework.records import Cost
from eef_framework.rollout.shorten import Shortened, Shortener


async def shorten_all(
    context: RunContext, solutions: Sequence[Solution], settings: Select
) -> tuple[list[Solution], Cost, dict[str, Any]]:
    """Shorten solutions.

    Returns:
        The solutions in the same order, the cost of the replays, and counts for the stage's manifest.
    """
    limits = context.config.limits
    shortener = Shortener(
        environment=context.environment,
        rule=context.config.success,
        most_replays=settings.shorten_replays,
        concurrency=limits.concurrency,
        timeout_s=limits.episode_timeout_s,
    )

    async def shorten(solution: Solution) -> tuple[Solution, Shortened]:
        if solution.source in ("advice", "reflection"):  # not a success, so nothing can be verified
            return solution, Shortened(solution.trajectory, tuple(range(len(solution.weights))))
        end = solution.trajectory.prefix_length if settings.shorten == "prefix" else None
        found = await shortener.shorten(solution.trajectory, end)
        if len(found.kept) == len(solution.weights):
            return solution, found
        weights = tuple(solution.weights[index] for index in found.kept)
        return replace(solution, trajectory=found.trajectory, weights=weights, kept=found.kept), found

    done = await gather(shorten(solution) for solution in solutions)
    counts = {
        "shortened": sum(solution.kept is not None for solution, _ in done),
        "actions": sum(
            len(before.weights) - len(found.kept) for before, (_, found) in zip(solutions, done, strict=True)
        ),
        "replays": sum(found.replays for _, found in done),
        "failed": sum(bool(found.error) for _, found in done),
    }
    return [solution for solution, _ in done], Cost(steps=sum(found.steps for _, found in done)), {"shortening": counts}
