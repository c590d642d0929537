"""Chooses the matching rows of files, and warns about rows that aren't used."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from eef_framework.errors import CorruptFile, EefWarning
from eef_framework.records import Task, Trajectory


def rows_of_tasks(
    path: Path, given: Sequence[Trajectory], tasks: Iterable[Task], world: str = "this environment"
) -> list[Trajectory]:
    """Return the trajectories of tasks from a file, and warn if it is only used in part.

    Args:
        path: the file.
        given: its trajectories.
        tasks: the requested tasks.
        world: name of their world, for messages.

    Returns:
        Its trajectories of these tasks, in the file's order; several of one task where it has several.

    Warns:
        EefWarning: some of the trajectories aren't used, with the code `input-used-in-part`, or some of the tasks have
            none, with the code `tasks-without-trajectories`.

    Raises:
        CorruptFile: none is of these tasks (`no-matching-trajectories`), or a task has another meaning in the file
            (`other-world`).
    """
    known = {task.id: task for task in tasks}
    used = [row for row in given if row.task.id in known]
    check_same_tasks(path, used, known.values(), world)
    others = [row.task.id for row in given if row.task.id not in known]
    if not used:
        first = f" (it has {others[0]!r}, {next(iter(known), None)!r} is asked for)" if others else ": it is empty"
        raise CorruptFile(
            f"none of the {len(given)} trajectories in {path} is of a task that {world} was asked for{first}",
            "Ask for the tasks it has, or set the environment up as it was when they were recorded.",
            code="no-matching-trajectories",
            path=str(path),
            given=len(given),
        )
    warn_of_part(path, "trajectories", len(given), {"are of tasks that aren't asked for": others})
    there = {row.task.id for row in used}
    missing = [id for id in known if id not in there]
    if missing:
        warnings.warn(
            EefWarning(
                f"{path} has no trajectory of {len(missing)} of the {len(known)} tasks (first: {missing[0]!r})",
                code="tasks-without-trajectories",
                path=str(path),
                missing=missing,
                tasks=len(known),
            ),
            stacklevel=2,
        )
    return used


def check_same_tasks(
    path: Path, rows: Iterable[Trajectory], tasks: Iterable[Task], world: str = "this environment"
) -> None:
    """Check that trajectories are of tasks as they are now, by their fingerprints.

    Args:
        path: the file that the trajectories are from.
        rows: the trajectories; those of other tasks aren't checked.
        tasks: the tasks.
        world: name of their world, for messages.

    Raises:
        CorruptFile: a task meant something else when its trajectory was recorded (`other-world`).
    """
    now = {task.id: task.fingerprint for task in tasks}
    known = [row.task for row in rows if row.task.id in now]
    changed = [task.id for task in known if task.fingerprint != now[task.id]]
    if changed:
        raise CorruptFile(
            f"{path} doesn't fit {world}: task {changed[0]!r} means something else there "
            f"({len(changed)} of {len(known)} do)",
            "Set the environment up as it was when the trajectories were recorded.",
            code="other-world",
            path=str(path),
            tasks=changed,
        )


def warn_of_part(path: Path, what: str, given: int, left_out: Mapping[str, Sequence[str]]) -> None:
    """Warn that a file is used in part, with the amount and the reasons.

    Args:
        path: the file.
        what: what it contains: `trajectories`.
        given: the number it contains.
        left_out: reason, as the end of a sentence -> ids of those left out for this reason.

    Warns:
        EefWarning: anything is left out; with the code `input-used-in-part`, and `given`, `used`, `left_out` (the
            number by reason).
    """
    counts = {reason: len(ids) for reason, ids in left_out.items() if ids}
    if not counts:
        return
    used = given - sum(counts.values())
    reasons = "; ".join(f"{count} {reason} (first: {left_out[reason][0]!r})" for reason, count in counts.items())
    warnings.warn(
        EefWarning(
            f"{path}: {given} {what} given, {used} used: {reasons}",
            code="input-used-in-part",
            path=str(path),
            given=given,
            used=used,
            left_out=counts,
        ),
        stacklevel=3,
    )
