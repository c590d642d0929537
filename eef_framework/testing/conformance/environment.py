"""Does an environment keep its contract? Above all: a state is its task and the actions that led there."""

from __future__ import annotations

from collections.abc import Sequence

from eef_framework.errors import ConfigError
from eef_framework.interfaces import Environment
from eef_framework.testing.conformance.cleanup import CLEANUP_CHECKS, TWIN_CHECKS
from eef_framework.testing.conformance.context import EnvironmentContext
from eef_framework.testing.conformance.episodes import DETERMINISM_CHECKS, EPISODE_CHECKS
from eef_framework.testing.conformance.processes import equal_in_another_process
from eef_framework.testing.conformance.replays import REPLAY_CHECKS
from eef_framework.testing.conformance.tasks import TASK_CHECKS, tasks_exist
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
        environment: what to check; it stays open.
        split: the split of the tasks.
        tasks: how many of them.
        steps: longest walk, in actions.
        actions: actions to try, for environments whose observations list none.
        seed: for the choice of actions.
        processes: also load the environment once more: in another process, to compare, and here, to close it.
        cycles: number of sessions that are opened and closed to search for leaks.
        patience_s: after how many seconds each of the two checks that open a great many sessions goes on with those
            it had: where a session takes long to open, they are samples.

    Raises:
        Nonconformance: it doesn't; the message is a report of all violations.
        ConfigError: it isn't set up to have tasks in this split.
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
    """Return in which ways an environment doesn't keep its contract; see `check_environment`."""
    context = EnvironmentContext(environment, split, tasks, steps, actions, seed, cycles, patience_s)
    _require_settings(environment, split)
    violations = run_checks([tasks_exist], context)
    if violations:  # without tasks there is nothing to play
        return violations
    violations = run_checks((*TASK_CHECKS, *EPISODE_CHECKS, *CLEANUP_CHECKS), context)
    if nondeterministic := run_checks(DETERMINISM_CHECKS, context, violations):
        return violations + nondeterministic
    replays = (*REPLAY_CHECKS, equal_in_another_process, *TWIN_CHECKS) if processes else REPLAY_CHECKS
    return violations + run_checks(replays, context, violations)


def _require_settings(environment: Environment, split: str) -> None:
    """Report a wrong setting as such: it isn't a violation."""
    try:
        environment.tasks(split)
    except ConfigError:
        raise
    except Exception:
        return  # the first check tells it
