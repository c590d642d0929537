"""What a phase is: a step from files to files, with a name, inputs, outputs and work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from eef_framework.interfaces import Component
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.progress import Update
from eef_framework.pipeline.rows import Rows
from eef_framework.records import Checkpoint, Cost, VersionedRecord
from eef_framework.records.base import Info
from eef_framework.runs import JsonlFile, Stage, open_checked

R = TypeVar("R", bound=VersionedRecord)


@dataclass(frozen=True)
class Outcome:
    """What a phase says about its work when it is done.

    Attributes:
        cost: what it took; the time is measured by the phase's own clock.
        rows: number of rows of each file it wrote.
        info: what else belongs into the stage's manifest.
    """

    cost: Cost = field(default_factory=Cost)
    rows: Mapping[str, int] = field(default_factory=dict)
    info: Info = field(default_factory=dict)


@dataclass(frozen=True)
class Planned:
    """How many episodes a phase will play.

    Attributes:
        episodes: how many; None where nothing is known beforehand.
        at_most: whether that is an upper bound.
    """

    episodes: int | None
    at_most: bool = False


@dataclass(kw_only=True)
class Phase(ABC):
    """A step of a run. Its fields are its inputs and outputs: files, or earlier phases.

    Attributes:
        title: what progress shows.
        stage: the stage of a run directory that this phase completes, where it is part of a run. A phase without one
            works from files to files of the user's.
        last_to_read: files that no later phase needs whole: their rows are forgotten when it is done.
    """

    title: str
    stage: Stage | None = None
    last_to_read: Sequence[Rows[Any]] = ()

    charged: ClassVar[bool] = True
    """Whether its cost counts as what a method took: evaluations, for example, don't."""

    @property
    def done(self) -> bool:
        """Whether it was completed before."""
        return self.stage is not None and self.stage.done

    def run(self, context: RunContext) -> None:
        """Do what is missing."""
        if self.stage is not None and self.done:
            self.stage.check_rows()
            context.progress.skipped(self.title)
            self._forget()
            return
        context.preflight(self.components(context))
        if self.stage is not None:
            self.stage.begin()
        with context.progress.phase(self.title) as update:
            outcome = self.work(context, update)
        if self.stage is not None:
            self.stage.finish(outcome.cost, dict(outcome.rows), outcome.info)
        self._forget()

    def _forget(self) -> None:
        for rows in self.last_to_read:
            rows.forget()

    @abstractmethod
    def work(self, context: RunContext, update: Update) -> Outcome:
        """Do the work. What an interrupted start left is taken up."""

    def components(self, context: RunContext) -> Sequence[Component]:
        """Return the components that do the work; they are asked before a run whether they can."""
        return ()

    def planned(self, context: RunContext) -> Planned | None:
        """Return how many episodes it will play; None for a phase that plays none."""
        return None

    def episodes(self, context: RunContext, path: Path, record: type[R], *parts: str, **given: Any) -> JsonlFile[R]:
        """Open a file of episodes to go on with.

        Args:
            context: of the run.
            path: the file.
            record: what its lines are.
            parts: the parts of the configuration that the episodes depend on. Beside a file of the user's it is
                recorded what they were, so that other episodes aren't taken for these.
            given: what else they depend on.
        """
        if self.stage is not None:  # a run directory records its configuration
            return JsonlFile(path, record)
        return open_checked(path, record, context.recorded(*parts) | given)


class Weights(Protocol):
    """Where the weights of an agent come from: a phase that makes them, or the user."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint; known once they are made."""


@dataclass(frozen=True)
class GivenWeights:
    """Weights in a folder of the user's."""

    path: Path

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint in that folder."""
        return Checkpoint(path=self.path, name=self.path.name)
