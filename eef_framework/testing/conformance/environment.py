"""Checks of environments, above all that a state depends only on the task and the actions."""

from __future__ import annotations

from collections.abc import Sequence

from eef_framework.errors import ConfigError
from eef_framework.interfaces import Environment
from eef_framework.testing.conformance.cleanup import CLEANUP_CHECKS, TWIN_CHECKS
from eef_framework.testing.conformance.context import EnvironmentContext
from eef_framework.testing.conformance.episodes import DETERMINISM_CHECKS, EPISODE_CHECKS
from eef_framework.testing.conformance.processes import equal_in_another_process
from eef_framework.testing.conformance.replays import REPLAY_CHECKS
from eef_framework.testing.conformance.tasks import FIRST_CHECKS, TASK_CHECKS
from eef_framework.testing.conformance.violation import Violation, require, run_checks


def check_environment(
    environment: Environment,
    split: str = "train",
    tasks: int = 4,
    steps: int = 12,
    actions: Sequence[str] = (),
    seed: int = 0,
    processes: bool = True,
    cycles: int = 100,
    patience_s: float = 20.0,
) -> None:
    """Check that an environment keeps its contract.

    Args:
        environment: the component to check; it stays open.
        split: the split of the tasks.
        tasks: number of tasks.
        steps: maximum length of a random walk, in actions.
        actions: actions to try, for environments whose observations list none.
        seed: of the choice of actions.
        processes: also load the environment in another process to compare it, and a second time here to close it.
        cycles: number of sessions that are opened and closed to search for leaks.
        patience_s: time limit for each of the two checks that open many sessions, in seconds. A check that reaches it
            is based on fewer sessions.

    Raises:
        Nonconformance: it doesn't. The message lists all violations.
        ConfigError: its settings are wrong, or it has no such split.
    """
    violations = environment_violations(environment, split, tasks, steps, actions, seed, processes, cycles, patience_s)
    require(f"environment {environment.component_name()!r}", violations)


def environment_violations(
    environment: Environment,
    split: str = "train",
    tasks: int = 4,
    steps: int = 12,
    actions: Sequence[str] = (),
    seed: int = 0,
    processes: bool = True,
    cycles: int = 100,
    patience_s: float = 20.0,
) -> list[Violation]:
    """Return the violations of an environment's contract; see `check_environment`."""
    context = EnvironmentContext(environment, split, tasks, steps, actions, seed, cycles, patience_s)
    _require_settings(environment, split)
    for check in FIRST_CHECKS:  # each needs those before it, and all others need these
        if violations := run_checks([check], context):
            return violations
    violations = run_checks((*TASK_CHECKS, *EPISODE_CHECKS), context)
    if nondeterministic := run_checks(DETERMINISM_CHECKS, context, violations):
        return nondeterministic + violations  # first what may be the cause of others
    replays = (*REPLAY_CHECKS, equal_in_another_process, *TWIN_CHECKS) if processes else REPLAY_CHECKS
    return violations + run_checks((*CLEANUP_CHECKS, *replays), context, violations)


def _require_settings(environment: Environment, split: str) -> None:
    """Raise an error for wrong settings, which aren't a violation."""
    try:
        environment.tasks(split)
    except ConfigError:
        raise
    except (Exception, SystemExit):
        return  # the first check reports it
