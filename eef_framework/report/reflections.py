"""Reflections on the expert's actions, and why some of its actions have none."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from eef_framework.records import StateId, Trajectory
from eef_framework.report.counts import ExplorationCounts, RunCounts
from eef_framework.report.source import Source, Training
from eef_framework.report.trajectory_index import Reflection
from eef_framework.runs import FILES, StageKey


class Reflections:
    """Reflections of all explorations, by demonstration.

    Args:
        source: the run.
        counts: what is found is counted there.
    """

    def __init__(self, source: Source, counts: RunCounts) -> None:
        self._counts = counts
        self._written: dict[str, list[Reflection]] = defaultdict(list)
        self._unparsed: dict[StateId, dict[str, str]] = defaultdict(dict)
        """State without a reflection -> training -> why, where answers of the agent had no action."""
        self._counted: set[tuple[str, StateId]] = set()
        for training in source.trainings():
            if training.attributions.with_name(FILES.reflections).exists():
                self._read(source, training)

    def of(self, trajectory: Trajectory, succeeded: bool) -> Sequence[Reflection]:
        """Return what was written on a demonstration's actions, and count those of its actions that have no reflection.

        Args:
            trajectory: the demonstration.
            succeeded: whether it is a success. There are no reflections on others.
        """
        absent = self._absent(trajectory) if succeeded else ()
        return [*self._written.get(trajectory.id, ()), *absent]

    def _read(self, source: Source, training: Training) -> None:
        reflected: set[StateId] = set()
        of_training = self._counts.explorations.setdefault(training.label, ExplorationCounts())
        for row in source.rows(training.attributions.with_name(FILES.reflections), Trajectory):
            reflected.add(row.state_id(row.prefix_length))
            demonstration = row.id.partition("/reflections/")[2].rpartition("/s")[0]
            reflection = Reflection.of(row, training.label)
            of_training.reflections[reflection.status] += 1
            self._written[demonstration].append(reflection)
        if not source.layout.stage(StageKey("explore", training.method, training.iteration)).done:
            return  # not all have been written yet
        answers: Counter[StateId] = Counter()
        unparsed: Counter[StateId] = Counter()
        for row in source.rows(training.attributions.with_name(FILES.alternatives), Trajectory):
            state = row.state_id(row.prefix_length)
            for step in row.own_steps:
                answers[state] += 1
                unparsed[state] += not step.parsed
        for state, n in unparsed.items():
            if n and state not in reflected:
                others = ", and the others were the expert's action" if n < answers[state] else ""
                self._unparsed[state][training.label] = (
                    f"{n} of the agent's {answers[state]} answers here had no action{others}"
                )

    def _absent(self, trajectory: Trajectory) -> Iterator[Reflection]:
        """Yield why actions of a success have no reflection. One that several demonstrations share is counted once."""
        for state in range(len(trajectory.steps)):
            for training, why in self._unparsed.get(trajectory.state_id(state), {}).items():
                key = training, trajectory.state_id(state + 1)
                if key not in self._counted:
                    self._counted.add(key)
                    self._counts.explorations[training].reflections["absent"] += 1
                yield Reflection("", state, "", training, "", "absent", why)
