"""Matches imported trajectories to tasks of an environment, and replays them to verify that they belong to it.

Only verified trajectories can be explored from, because only their states can be rebuilt.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eef_framework.errors import ConfigError, EefError, EefWarning, EnvironmentFailure, boundary
from eef_framework.formats.reading import read_records
from eef_framework.interfaces import Environment
from eef_framework.records import Step, Task, Trajectory
from eef_framework.runs import rows_of_tasks

_LABEL = "observation:"

_REASONS = {
    "no-such-task": "the environment has no task {task!r} with these settings",
    "other-task": "the environment's task {task!r} has another fingerprint",
    "environment-failed": "{error}",
    "other-observation": "the environment's observation in state {state} is another one",
    "ended-early": "the environment's episode ends in state {state}",
    "other-reward": "the environment's reward is {reward}, not {own_reward}",
    "not-replayed": "it was not replayed",
}
"""Why a trajectory isn't verified -> in words."""


def is_imported(trajectory: Trajectory) -> bool:
    """Return whether a trajectory was read from another format and isn't verified."""
    imported = trajectory.info.get("imported")
    return isinstance(imported, dict) and not imported.get("verified")


def verified(trajectory: Trajectory, environment: Environment, tasks: Mapping[str, Task]) -> Trajectory:
    """Match an imported trajectory to its task, replay it, and return it with what was found.

    Args:
        trajectory: the trajectory; one that is verified or our own is returned unchanged.
        environment: where to replay it.
        tasks: the environment's tasks, by id.

    Returns:
        With the environment's task, observations and rewards if every observation is the same (spaces and a label
            `Observation:` aside), and `verified: true` in `info["imported"]`. Otherwise unchanged, with the reason as
            `unverified`.
    """
    if not is_imported(trajectory):
        return trajectory
    task = tasks.get(trajectory.task.id)
    if task is None:
        return _unverified(trajectory, "no-such-task")
    if trajectory.task.fingerprint not in ("", task.fingerprint):
        return _unverified(trajectory, "other-task")
    try:
        with boundary(EnvironmentFailure, environment, f"replaying {trajectory.id!r}"):
            return _replayed(trajectory, environment, task)
    except EefError as failure:  # one episode that the environment can't replay doesn't stop the others
        return _unverified(trajectory, "environment-failed", error=str(failure))


def _replayed(trajectory: Trajectory, environment: Environment, task: Task) -> Trajectory:
    with environment.open(task) as session:
        initial = session.observation
        if not _same(trajectory.initial.text, initial.text):
            return _unverified(trajectory, "other-observation", state=0)
        for number, step in enumerate(trajectory.steps):
            if session.done:
                return _unverified(trajectory, "ended-early", state=number)
            seen = session.step(step.action)
            last = number + 1 == len(trajectory.steps)
            if not _same(step.observation.text, seen.observation.text) and not (last and not step.observation.text):
                return _unverified(trajectory, "other-observation", state=number + 1)
        known = _facts(trajectory)
        if known.get("reward") and abs(session.reward - trajectory.reward) > 1e-6:
            return _unverified(trajectory, "other-reward", reward=session.reward)
        steps = tuple(
            seen.changed(response=own.response, info={**seen.info, **own.info})
            for own, seen in zip(trajectory.steps, session.steps, strict=True)
        )
        ending = _ending(steps, trajectory)
        changed: Trajectory = trajectory.changed(
            task=task,
            initial=initial,
            steps=steps,
            reward=session.reward,
            ending=ending,
            info={**trajectory.info, "imported": {**known, "verified": True}},
        )
        return changed


def read_demonstrations(path: Path, tasks: Sequence[Task], environment: Environment) -> list[Trajectory]:
    """Read a file of trajectories: our own of these tasks, or imported ones, verified where possible.

    Args:
        path: the file, in any format.
        tasks: the tasks that are asked for.
        environment: their environment.

    Returns:
        The trajectories in the file's order. Imported ones are all returned, verified or not.

    Warns:
        EefWarning: some aren't verified (`unverified`, with the number by reason), or some of our own aren't used
            (`input-used-in-part`), or some tasks have none (`tasks-without-trajectories`).

    Raises:
        CorruptFile: none of our own is of these tasks (`no-matching-trajectories`), or a task has another meaning in
            the file (`other-world`).
    """
    given = read_records(path, Trajectory)
    if not any(map(is_imported, given)):
        return rows_of_tasks(path, given, tasks, f"environment {environment.component_name()!r}")
    known = {task.id: task for task in tasks}
    found = [verified(each, environment, known) for each in given]
    warn_of_unverified(path, found)
    return found


@dataclass
class Verification:
    """Counts trajectories by what their replay found.

    Attributes:
        verified: number of trajectories that are verified, or our own.
        reasons: number of others by reason.
        first: the first of these, and why, in words.
    """

    verified: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first: str = ""

    def add(self, trajectory: Trajectory) -> None:
        """Count a trajectory."""
        if not is_imported(trajectory):
            self.verified += 1
            return
        facts = {"state": 0, "error": "", "reward": 0.0} | _facts(trajectory)
        reason = str(facts.get("unverified", "not-replayed"))
        self.reasons[reason] += 1
        if not self.first:
            why = _REASONS.get(reason, reason)
            named = {**facts, "task": trajectory.task.id, "own_reward": trajectory.reward}
            self.first = f"{trajectory.id!r}: {why.format(**named)}"

    def warn(self, path: Path, stacklevel: int = 2) -> None:
        """Warn about trajectories that the environment hasn't confirmed, if there are any.

        Warns:
            EefWarning: with the code `unverified`.
        """
        left = sum(self.reasons.values())
        if not left:
            return
        counts = ", ".join(f"{number} {reason}" for reason, number in self.reasons.most_common())
        warnings.warn(
            EefWarning(
                f"{path}: {self.verified} of {self.verified + left} trajectories are verified by replay; the others "
                f"({counts}) can be trained on and shown, but not explored from. The first, {self.first}",
                code="unverified",
                path=str(path),
                verified=self.verified,
                unverified=dict(self.reasons),
            ),
            stacklevel=stacklevel + 1,
        )


def warn_of_unverified(path: Path, found: Iterable[Trajectory]) -> None:
    """Warn about trajectories that the environment hasn't confirmed.

    Warns:
        EefWarning: with the code `unverified`.
    """
    counts = Verification()
    for trajectory in found:
        counts.add(trajectory)
    counts.warn(path, stacklevel=3)


def explorable(demonstrations: Sequence[Trajectory], path: Path) -> list[Trajectory]:
    """Return the demonstrations that can be explored from: all but imported ones that aren't verified.

    Args:
        demonstrations: the demonstrations.
        path: their file, for messages.

    Warns:
        EefWarning: some can't be (`unverified`).

    Raises:
        ConfigError: none can be (`unverified-demonstrations`).
    """
    left = [each for each in demonstrations if is_imported(each)]
    if not left:
        return list(demonstrations)
    found = [each for each in demonstrations if not is_imported(each)]
    if not found:
        raise ConfigError(
            f"none of the {len(left)} demonstrations in {path} can be explored from: they were imported, and no replay "
            f"has confirmed that they belong to this environment (first: {left[0].id!r})",
            "Match them with `eef convert --env NAME`, collect demonstrations with an expert, or use a recipe that "
            "only trains on them (sft).",
            code="unverified-demonstrations",
            path=str(path),
            demonstrations=[each.id for each in left],
        )
    warn_of_unverified(path, demonstrations)
    return found


def _ending(steps: Sequence[Step], trajectory: Trajectory) -> Any:
    if steps and steps[-1].done:
        return "terminated" if steps[-1].terminated else "truncated"
    return "gave-up" if trajectory.ending in ("terminated", "truncated") else trajectory.ending


def _facts(trajectory: Trajectory) -> dict[str, Any]:
    imported = trajectory.info.get("imported")
    return dict(imported) if isinstance(imported, dict) else {}


def _unverified(trajectory: Trajectory, reason: str, **details: Any) -> Trajectory:
    facts = {**_facts(trajectory), "verified": False, "unverified": reason, **details}
    changed: Trajectory = trajectory.changed(info={**trajectory.info, "imported": facts})
    return changed


def _same(recorded: str, seen: str) -> bool:
    return _plain(recorded) == _plain(seen)


def _plain(text: str) -> str:
    """Return a text without a label and with single spaces, in which logs of the same environment differ."""
    plain = " ".join(text.split())
    return plain[len(_LABEL) :].strip() if plain.casefold().startswith(_LABEL) else plain
