"""The phases. Each reads records and writes records, and runs alone as well as within a run.

A phase that is interrupted has kept what it finished; called again with the same arguments, it does what is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from eef_framework.chat.format import ChatFormat
from eef_framework.config.tree import Explore, Select
from eef_framework.errors import (
    AttributorFailure,
    EnvironmentFailure,
    ExpertFailure,
    FilterFailure,
    boundary,
)
from eef_framework.interfaces import Attributor, Environment, Expert, Filter
from eef_framework.pipeline.pairs import pair_examples, pairs
from eef_framework.pipeline.progress import Counter, Update
from eef_framework.pipeline.solutions import Round, Solution, solutions
from eef_framework.records import Attribution, Example, SuccessRule, Task, Trajectory
from eef_framework.rollout import Player, Simulations, Simulator
from eef_framework.runs import RowFile
from eef_framework.seeds import derive

T = TypeVar("T")

MOST_ERRORS = 0.2
"""Share of episodes lost to the infrastructure above which a phase's outcome means nothing."""


async def collect(
    expert: Expert,
    environment: Environment,
    tasks: Sequence[Task],
    rows: RowFile[Trajectory],
    rule: SuccessRule,
    seed: int,
    update: Update,
) -> list[Trajectory]:
    """Have tasks demonstrated.

    Args:
        expert: who demonstrates.
        environment: where.
        tasks: what; those with a row already are left out.
        rows: where demonstrations are recorded.
        rule: what a success is.
        seed: of the demonstrations.
        update: where to say how far it is.

    Returns:
        The demonstrations in the order of the tasks.

    Raises:
        ExpertFailure: the expert raised, or left tasks out.
        EnvironmentFailure: too many demonstrations ended in an error.
    """
    wanted = {task.id: task for task in tasks}
    have = {row.task.id: rule.holds(row) for row in rows.rows if row.ending != "error"}
    owed = [task for task in tasks if task.id not in have]
    counter = Counter(update, len(tasks), have.values())
    if owed:
        who = f"expert {expert.component_name()!r}"
        with boundary(ExpertFailure, who, f"demonstrating {len(owed)} tasks"):
            async for trajectory in expert.demonstrate(environment, owed, seed):
                rows.append(trajectory)
                counter.add(rule.holds(trajectory))
    found = latest(rows.rows, key=lambda row: row.task.id)
    missing = [task for task in wanted if task not in found]
    if missing:
        raise ExpertFailure(
            f"expert {expert.component_name()!r} demonstrated {len(found)} of {len(tasks)} tasks; the first "
            f"missing one is {missing[0]!r}",
            "An expert owes one trajectory for each task, failures included.",
        )
    demonstrations = [found[task.id] for task in tasks]
    check_errors(demonstrations)
    return demonstrations


async def play(
    player: Player,
    tasks: Sequence[Task],
    rows: RowFile[Trajectory],
    phase: str,
    rule: SuccessRule,
    seed: int,
    update: Update,
) -> list[Trajectory]:
    """Have the agent play every task once, for an evaluation.

    Returns:
        The episodes in the order of the tasks.
    """
    counter = Counter(update, len(tasks), map(rule.holds, rows.rows))
    simulator = Simulator(player, rows, phase, seed, rule, lambda t: counter.add(rule.holds(t)))
    await gather(simulator.initial(task, 1) for task in tasks)
    check_errors(rows.rows)
    found = latest(rows.rows, key=lambda row: row.task.id)
    return [found[task.id] for task in tasks]


async def explore(
    simulator: Simulator,
    tasks: Sequence[Task],
    demonstrations: Sequence[Trajectory],
    attributor: Attributor | None,
    settings: Explore,
) -> list[Attribution]:
    """Let the agent try from initial states, and from states of the demonstrations as the attributor asks for.

    Args:
        simulator: plays and records.
        tasks: the training tasks.
        demonstrations: the expert's trajectories.
        attributor: which asks for simulations and judges; None for plain rejection sampling.
        settings: how much.

    Returns:
        A verdict for each demonstration that was attributed, in their order.
    """
    chosen = to_attribute(demonstrations, simulator.rule, settings)
    further = matched_simulations(demonstrations, attributor, settings) if settings.matched else {}
    initial = gather(simulator.initial(task, settings.simulations + further.get(task.id, 0)) for task in tasks)
    if attributor is None or settings.attribute == "none":
        await initial
        return []
    _, attributions = await asyncio.gather(
        initial, gather(attribute(attributor, trajectory, simulator) for trajectory in chosen)
    )
    failed = [attribution for attribution in attributions if attribution.error]
    if failed and len(failed) > MOST_ERRORS * len(attributions):
        raise AttributorFailure(
            f"attributor {attributor.component_name()!r} failed on {len(failed)} of {len(attributions)} trajectories; "
            f"first: {failed[0].error}",
            "`eef check` tries an attributor on small cases.",
        )
    return attributions


async def attribute(attributor: Attributor, trajectory: Trajectory, simulations: Simulations) -> Attribution:
    """Have one trajectory attributed. Whatever goes wrong is recorded, and leaves all its actions unknown."""
    name = attributor.component_name()
    length = len(trajectory.steps)
    try:
        with boundary(AttributorFailure, f"attributor {name!r}", f"attributing {trajectory.id!r}"):
            found = await attributor.attribute(trajectory, simulations.of(trajectory))
            if not isinstance(found, Attribution) or (found.trajectory, found.length) != (trajectory.id, length):
                raise AttributorFailure(
                    f"attributor {name!r} returned {found!r:.200} for {trajectory.id!r} with its {length} actions",
                    "Return Attribution(trajectory=trajectory.id, length=len(trajectory.steps), ...).",
                )
            return found.model_copy(update={"method": found.method or name})
    except AttributorFailure as failure:
        return Attribution(trajectory=trajectory.id, length=length, method=name, error=str(failure))


def to_attribute(demonstrations: Sequence[Trajectory], rule: SuccessRule, settings: Explore) -> list[Trajectory]:
    """Return the demonstrations whose states are tried: those with actions that the settings choose."""
    return [
        trajectory
        for trajectory in demonstrations
        if trajectory.steps
        and trajectory.ending != "error"
        and not (settings.attribute == "failures" and rule.holds(trajectory))
    ]


def matched_simulations(
    demonstrations: Sequence[Trajectory], attributor: Attributor | None, settings: Explore
) -> dict[str, int]:
    """Return how many simulations from intermediate states an attributor would take, by task.

    Raises:
        AttributorFailure: the attributor doesn't know beforehand.
    """
    counts: dict[str, int] = {}
    for trajectory in demonstrations:
        planned = attributor.planned(len(trajectory.steps)) if attributor else None
        if planned is None:
            name = attributor.component_name() if attributor else None
            raise AttributorFailure(
                f"explore.matched needs an attributor that plans its simulations, not {name!r}",
                "Name such an attributor (`interval`), or set explore.simulations to a number instead.",
            )
        beyond = sum(n - (settings.simulations if state == 0 else 0) for state, n in planned.items())
        counts[trajectory.task.id] = counts.get(trajectory.task.id, 0) + max(0, beyond)
    return counts


def select(
    demonstrations: Sequence[Trajectory],
    rounds: Sequence[Round],
    settings: Select,
    format: ChatFormat,
    instructions: str,
    rule: SuccessRule,
    seed: int,
) -> list[Example]:
    """Choose what to learn from: solutions, or pairs of attempts where the settings say so.

    Args:
        demonstrations: the expert's trajectories, failures included.
        rounds: the explorations so far, the latest last.
        settings: the choices the paper leaves open.
        format: how episodes become conversations.
        instructions: the environment's.
        rule: what a success is.
        seed: for choices at random.

    Raises:
        ConfigError: pairs are wanted, and the format doesn't show whole episodes.
    """
    if settings.pairs:
        return pair_examples(pairs(demonstrations, rounds, settings, seed), format, instructions)
    return examples_of(solutions(demonstrations, rounds, settings, rule, seed), format, instructions)


def examples_of(solutions: Iterable[Solution], format: ChatFormat, instructions: str) -> list[Example]:
    """Turn solutions into training examples."""
    return [
        example
        for solution in solutions
        for example in format.examples(solution.trajectory, solution.weights, instructions, solution.source)
    ]


def filtered(examples: Sequence[Example], filters: Sequence[Filter], seed: int) -> tuple[list[Example], dict[str, int]]:
    """Apply filters one after the other.

    Returns:
        What they kept, and how many each dropped, by name.
    """
    kept = list(examples)
    dropped: dict[str, int] = {}
    for number, filter_ in enumerate(filters):
        name = filter_.component_name()
        with boundary(FilterFailure, f"filter {name!r}", f"choosing among {len(kept)} examples"):
            chosen = list(filter_.apply(kept, derive(seed, "filter", number)))
        known = {example.id for example in kept}
        strangers = [example.id for example in chosen if example.id not in known]
        if strangers:
            raise FilterFailure(
                f"filter {name!r} returned an example it wasn't given: {strangers[0]!r}",
                "Filters choose and reweight; they don't make examples up.",
            )
        dropped[name] = dropped.get(name, 0) + len(kept) - len(chosen)
        kept = chosen
    return kept, dropped


async def gather(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all. When one fails, the rest is cancelled before its error goes on."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    return [task.result() for task in tasks]


def latest(rows: Iterable[Trajectory], key: Callable[[Trajectory], str]) -> dict[str, Trajectory]:
    """Return the last row of each key: one that was played again after an error replaces the earlier one."""
    return {key(row): row for row in rows}


def in_order(rows: Iterable[Trajectory]) -> list[Trajectory]:
    """Return the rows without replaced ones, by id: an order that doesn't depend on which was finished first."""
    return sorted(latest(rows, key=lambda row: row.id).values(), key=lambda row: row.id)


def check_errors(rows: Sequence[Trajectory]) -> None:
    """Refuse to go on where most episodes were lost.

    Raises:
        EnvironmentFailure: too many ended in an error.
    """
    failed = [row for row in in_order(rows) if row.ending == "error"]
    if len(failed) > MOST_ERRORS * len(rows):
        raise EnvironmentFailure(
            f"{len(failed)} of {len(rows)} episodes were lost to failures, the first ({failed[0].id}) to: "
            f"{failed[0].error}",
            "Mend the cause and repeat the command: lost episodes are played again.",
        )
