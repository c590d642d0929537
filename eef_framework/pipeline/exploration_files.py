"""Files of an exploration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eef_framework.pipeline.reflection import is_usable
from eef_framework.pipeline.rows import Rows
from eef_framework.pipeline.solutions import Exploration
from eef_framework.records import Attribution, Trajectory
from eef_framework.runs import FILES


class ExplorationFiles:
    """Files of an exploration.

    Args:
        folder: the folder.

    Attributes:
        simulations: all its episodes, from initial and from intermediate states.
        attributions: its verdicts; the file doesn't exist if nothing was attributed.
        advice: the expert's actions in states of the agent's episodes; the file doesn't exist if it wasn't asked.
        alternatives: the agent's actions in states of the expert's successes; the file doesn't exist if none was tried.
        reflections: the expert's actions there, with reflections; the file doesn't exist if none was wanted.
    """

    def __init__(self, folder: Path) -> None:
        self.simulations = Rows(folder / FILES.simulations, Trajectory)
        self.attributions = Rows(folder / FILES.attributions, Attribution)
        self.advice = Rows(folder / FILES.advice, Trajectory)
        self.alternatives = Rows(folder / FILES.alternatives, Trajectory)
        self.reflections = Rows(folder / FILES.reflections, Trajectory)

    @property
    def all(self) -> tuple[Rows[Any], ...]:
        """All files."""
        return self.simulations, self.attributions, self.advice, self.alternatives, self.reflections

    def read(self) -> Exploration:
        """Return what they have, without single actions that were lost, and reflections that can't be used."""
        verdicts = {verdict.trajectory: verdict for verdict in self.attributions.read_if_there()}
        advice, alternatives, reflections = (
            [row for row in rows.read_if_there() if not row.lost]
            for rows in (self.advice, self.alternatives, self.reflections)
        )
        usable = [row for row in reflections if is_usable(row)]
        return Exploration(self.simulations.read(), verdicts, advice, alternatives, usable)
