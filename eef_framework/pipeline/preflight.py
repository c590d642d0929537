"""Preflight checks: find errors before a run starts, within about a second, and before anything is written."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from eef_framework.config.schema import RunConfig
from eef_framework.errors import EefWarning
from eef_framework.interfaces import Attributor, TrainablePolicy
from eef_framework.pipeline.attribution import most_of, plan_of
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.phase import Phase
from eef_framework.records import fingerprint

LONG = 100
"""Length of an episode, in actions, up to which an attributor is asked for its plan if episodes have no limit."""


def preflight(context: RunContext, variants: Sequence[RunConfig], phases: Iterable[Phase]) -> list[str]:
    """Run the preflight checks of the components of all remaining phases.

    Args:
        context: the run's context.
        variants: the configuration of each method.
        phases: the phases of the run.

    Returns:
        Notes for readers of the results, as sentences. A warning is issued for each.

    Raises:
        ConfigError: a check failed, or a split has too few tasks.
    """
    to_do = [phase for phase in phases if not phase.done]
    for phase in to_do:
        context.preflight(phase.components(context))
    if to_do and context.longest_episode is None:
        name = context.environment.component_name()
        message = f"episodes of environment {name!r} have no limit: one that doesn't end by itself goes on for ever"
        fix = "Set limits.steps, or the environment's max_steps."
        warnings.warn(EefWarning(f"{message}. {fix}", code="no-step-limit", environment=name), stacklevel=2)
    for phase in to_do:
        phase.planned(context)  # lists the tasks
    notes = _training_tasks(context) if needs_demonstrations(context, variants) else []
    return [*notes, *_unused_verdicts(context, variants)]


def task_digests(context: RunContext, variants: Sequence[RunConfig]) -> dict[str, str]:
    """Return a digest of each list of tasks that a run uses, to find out whether the environment's tasks have changed.

    Args:
        context: the run's context.
        variants: the configuration of each method.
    """
    lists = {"evaluate.tasks": context.config.evaluate.tasks}
    if needs_demonstrations(context, variants):
        lists["collect.tasks"] = context.config.collect.tasks
    return {
        name: fingerprint("\n".join(f"{task.id}\t{task.fingerprint}" for task in context.tasks(tasks)))
        for name, tasks in lists.items()
    }


def needs_demonstrations(context: RunContext, variants: Sequence[RunConfig]) -> bool:
    """Return whether demonstrations are used for training or exploration, not only evaluated.

    A policy that isn't trained may still get its vocabulary from them, if there are any.
    """
    if any(variant.iterations for variant in variants):
        return True
    config, trainable = context.config, isinstance(context.policy, TrainablePolicy)
    given = config.expert is not None or config.collect.trajectories is not None
    return trainable and (given or any(variant.clone.on != "none" for variant in variants))


def _training_tasks(context: RunContext) -> list[str]:
    """Warn if the evaluation isn't on held-out tasks."""
    tasks = context.config.evaluate.tasks
    trained, evaluated = context.tasks(context.config.collect.tasks), context.tasks(tasks)
    ids, contents = {task.id for task in trained}, {task.fingerprint for task in trained} - {""}
    equal = [task.id for task in evaluated if task.id in ids or task.fingerprint in contents]
    if not equal:
        return []
    note = EefWarning(
        f"{len(equal)} of the {len(evaluated)} tasks of the evaluation (split {tasks.split!r}) are training tasks, by "
        f"id or fingerprint, such as {equal[0]!r}: the results don't show how the agent performs on new ones.",
        code="training-tasks",
        split=tasks.split,
        tasks=len(equal),
    )
    warnings.warn(note, stacklevel=3)
    return [str(note)]


def _unused_verdicts(context: RunContext, variants: Sequence[RunConfig]) -> list[str]:
    """Warn if nothing is played from the expert's states: verdicts say what to learn before successes from there."""
    notes = []
    for variant in variants:
        attributor = context.attributor(variant)
        attributes = variant.iterations > 0 and variant.explore.attribute != "none"
        # Verdicts also choose pairs of actions, for which episodes from the initial state are enough.
        if attributor is None or not attributes or variant.select.step_pairs or _probes(context, attributor):
            continue
        name = attributor.component_name()
        note = EefWarning(
            f"attributor {name!r} plays no simulations from states of the expert's trajectories, so its verdicts have "
            f"no effect: method {variant.method!r} learns what it would learn without an attributor. The attributor "
            "propose-verify simulates what another one proposes.",
            code="verdicts-unused",
            method=variant.method,
            attributor=name,
        )
        warnings.warn(note, stacklevel=3)
        notes.append(str(note))
    return notes


def _probes(context: RunContext, attributor: Attributor) -> bool:
    """Return whether an attributor may simulate from a state after the initial one, for trajectories of any length."""
    for length in range(1, (context.longest_episode or LONG) + 1):
        plan = plan_of(attributor, length)
        if plan is None and most_of(attributor, length, 0) != 0:
            return True
        if plan is not None and any(n for state, n in plan.items() if state):
            return True
    return False
