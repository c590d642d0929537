"""Phase: a step of a run that reads files and writes files."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from eef_framework.errors import ConfigError
from eef_framework.interfaces import Component, ProgressCallback
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.rows import Rows
from eef_framework.records import Checkpoint, Cost, Task, Trajectory
from eef_framework.records.base import Info
from eef_framework.runs import ANSWERS_FOLDER, JsonlFile, Stage, check_same_tasks, content_id, open_checked, was_run
from eef_framework.runs.file_names import CHECKPOINT, STAGE_MANIFEST

TIME_NOTED_EVERY_S = 10.0
"""How often a stage notes how long it has been worked on, in seconds: a killed process loses no more of its time."""


@dataclass(frozen=True)
class PhaseResult:
    """Result of a completed phase.

    Attributes:
        cost: its cost; the phase measures the time itself.
        rows: number of rows in each file it wrote.
        info: further entries for the stage's manifest.
        figures: results for trackers, such as the success rate.
    """

    cost: Cost = field(default_factory=Cost)
    rows: Mapping[str, int] = field(default_factory=dict)
    info: Info = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Planned:
    """Number of episodes that a phase will play.

    Attributes:
        episodes: the number; None if it isn't known in advance.
        at_most: whether that is an upper bound.
        single: how many of them have one action.
    """

    episodes: int | None
    at_most: bool = False
    single: int = 0

    def __add__(self, other: Planned) -> Planned:
        if self.episodes is None or other.episodes is None:
            return Planned(None)
        at_most, single = self.at_most or other.at_most, self.single + other.single
        return Planned(self.episodes + other.episodes, at_most, single)


@dataclass(kw_only=True)
class Phase(ABC):
    """A step of a run. Its fields are its inputs and outputs: files, or earlier phases.

    Attributes:
        title: name in the progress display.
        stage: the stage of a run directory that this phase completes, where it is part of a run. A phase without one
            reads and writes files of the user.
        charged: whether its cost is part of a method's cost. That of evaluations, for example, isn't.
        last_to_read: files that no later phase needs completely: their rows are removed from memory when it is done.
    """

    title: str
    stage: Stage | None = None
    last_to_read: Sequence[Rows[Any]] = ()
    charged: bool = True

    @property
    def training_log(self) -> Path | None:
        """The log of its training, which trackers are sent; None if it doesn't train."""
        return None

    @property
    def answers_folder(self) -> Path | None:
        """Folder for answers of servers, if the phase isn't part of a run; None to keep none."""
        return None

    @property
    def done(self) -> bool:
        """Whether it is already complete."""
        return self.stage is not None and self.stage.done

    def run(self, context: RunContext) -> None:
        """Do the remaining work."""
        if self.stage is not None and self.done:
            self.stage.check_rows()
            context.display.skipped(self.title)
            self._track(context)
            self._forget()
            return
        context.preflight(self.components(context))
        if self.stage is not None:
            self.stage.begin()
        began = time.monotonic()
        answers = ANSWERS_FOLDER.set(context.answers_folder or self.answers_folder)
        try:
            with context.display.phase(self.title) as progress:
                watched = context.tracking.watching(progress, self._tracked_as, self.training_log)
                result = self.work(context, self._timed(watched))
        except BaseException:
            if self.stage is not None:
                self.stage.note_time()
            raise
        finally:
            ANSWERS_FOLDER.reset(answers)
        if self.stage is not None:
            info: Info = {"figures": {**result.figures}} if result.figures else {}
            self.stage.finish(result.cost, dict(result.rows), info | result.info)
            self._track(context)
        elif result.figures or result.cost != Cost() or self.training_log:
            cost = result.cost.model_copy(update={"seconds": round(time.monotonic() - began, 3)})
            context.tracking.completed(self._tracked_as, cost, result.figures, self.training_log)
        self._forget()

    def _timed(self, progress: ProgressCallback) -> ProgressCallback:
        """Return a callback that also notes the time of the stage now and then, in case the process is killed."""
        stage = self.stage
        if stage is None:
            return progress

        def report(done: int, total: int, detail: str) -> None:
            progress(done, total, detail)
            stage.note_time(TIME_NOTED_EVERY_S)

        return report

    @property
    def _tracked_as(self) -> str:
        return self.stage.name if self.stage else type(self).__name__.lower()

    def _track(self, context: RunContext) -> None:
        """Send the figures of the complete stage to the trackers."""
        manifest = self.stage.manifest if self.stage else None
        if manifest is not None:
            figures = manifest.info.get("figures")
            figures = figures if isinstance(figures, dict) else {}
            context.tracking.completed(self._tracked_as, manifest.cost, figures, self.training_log)

    def _forget(self) -> None:
        for rows in self.last_to_read:
            rows.forget()

    @abstractmethod
    def work(self, context: RunContext, progress: ProgressCallback) -> PhaseResult:
        """Do the work. Resumes what an interrupted run left."""

    def components(self, context: RunContext) -> Sequence[Component]:
        """Return the components that do the work, for preflight checks before a run."""
        return ()

    def planned(self, context: RunContext) -> Planned | None:
        """Return the number of episodes it will play; None for a phase without episodes."""
        return None

    def expected_cost(self, context: RunContext) -> Cost | None:
        """Return an estimate of the tokens and dollars it will use, from above; None if it can't be told."""
        return None

    def recorded_inputs(self, context: RunContext) -> dict[str, Any]:
        """Return what its episodes depend on besides the configuration, such as a digest of the model's weights."""
        return {}

    def episodes(self, context: RunContext, path: Path, tasks: Iterable[Task], *parts: str) -> JsonlFile[Trajectory]:
        """Open a file of episodes to continue it.

        Args:
            context: the run's context.
            path: the file.
            tasks: the tasks to play.
            parts: the parts of the configuration that the episodes depend on. They are recorded next to a file of the
                user, with the `recorded_inputs`, so that other episodes aren't mistaken for these.

        Raises:
            CorruptFile: it has episodes of a task that has changed since (`other-world`).
        """
        if self.stage is not None:  # a run directory records its configuration
            file = JsonlFile(path, Trajectory)
        else:
            settings = context.recorded(*parts) | self.recorded_inputs(context)
            file = open_checked(path, Trajectory, settings, leeway=context.leeway())
        try:
            world = f"environment {context.environment.component_name()!r}"
            check_same_tasks(path, file.rows, tasks, world)
        except BaseException:
            file.close()
            raise
        return file


class Weights(Protocol):
    """Source of an agent's weights: a phase that creates them, or the user."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint; available once the weights exist."""


def checkpoint_of(weights: Weights | None) -> Checkpoint | None:
    """Return an agent's checkpoint; None for a policy without weights."""
    return weights.checkpoint if weights else None


def model_id(weights: Weights | None) -> str | None:
    """Return the name and a digest of an agent's checkpoint; None for a policy without weights."""
    return content_id(weights.checkpoint.path) if weights else None


@dataclass(frozen=True)
class GivenWeights:
    """Weights in a folder provided by the user.

    Raises:
        ConfigError: there is no such folder (`no-such-folder`), or it is a run or a stage of one (`not-a-checkpoint`).
    """

    path: Path

    def __post_init__(self) -> None:
        if not self.path.is_dir():
            raise ConfigError(
                f"there is no folder {str(self.path)!r} with a checkpoint",
                "Give one such as runs/NAME/clone/checkpoint. For a model by its name, set policy.model.",
                code="no-such-folder",
                path=str(self.path),
            )
        if was_run(self.path) or (self.path / STAGE_MANIFEST).exists():
            below = sorted(str(each) for each in self.path.rglob(CHECKPOINT) if each.is_dir())
            raise ConfigError(
                f"{str(self.path)!r} is part of a run, and not a checkpoint",
                f"Give one, such as {' or '.join(below)}." if below else "Give a folder that has weights.",
                code="not-a-checkpoint",
                path=str(self.path),
                checkpoints=below,
            )

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint in that folder."""
        return Checkpoint(path=self.path, name=self.path.name)
