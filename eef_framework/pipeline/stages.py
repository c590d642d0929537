"""The phases of the method as stages of a run directory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from eef_framework.config.tree import RunConfig
from eef_framework.errors import CorruptFile, TrainerFailure, boundary
from eef_framework.interfaces import TrainablePolicy
from eef_framework.pipeline.corpus import corpus
from eef_framework.pipeline.costs import cost_of
from eef_framework.pipeline.phases import (
    check_errors,
    collect,
    examples_of,
    explore,
    filtered,
    in_order,
    matched_simulations,
    play,
    select,
    to_attribute,
)
from eef_framework.pipeline.progress import Counter, Update
from eef_framework.pipeline.results import Results
from eef_framework.pipeline.solutions import Round, demonstrated
from eef_framework.pipeline.workshop import Workshop
from eef_framework.records import (
    Attribution,
    Checkpoint,
    Cost,
    Example,
    Info,
    Record,
    Task,
    Trajectory,
)
from eef_framework.rollout import Simulator
from eef_framework.runs import FILES, RowFile, RunDirectory, Stage, read_rows, write_rows
from eef_framework.seeds import derive

R = TypeVar("R", bound=Record)


class Stages:
    """The phases as stages of a run directory: done once, taken up where they were interrupted, skipped when complete.

    Args:
        workshop: the run's components.
        directory: its record.
    """

    def __init__(self, workshop: Workshop, directory: RunDirectory) -> None:
        self.workshop = workshop
        self.config = workshop.config
        self.directory = directory
        self.progress = workshop.progress
        self.rule = self.config.success
        self.results = Results(self.rule, self.config.evaluate.tasks.split)

    def demonstrations(self, tasks: Sequence[Task]) -> list[Trajectory]:
        """Phase 0: have the training tasks demonstrated by the expert, or read demonstrations from a file."""
        stage = self.directory.stage("collect")
        source = self.config.collect.trajectories

        def work(rows: RowFile[Trajectory], update: Update) -> list[Trajectory]:
            if source is not None:
                return self._imported(Path(source), tasks)
            seed = derive(self.config.seed, "collect")
            return asyncio.run(self._played_by_expert(tasks, rows, seed, update))

        found = self._rows(stage, FILES.trajectories, Trajectory, "expert demonstrates", work)
        self.results.spent("collect", stage)
        return found

    async def _played_by_expert(
        self, tasks: Sequence[Task], rows: RowFile[Trajectory], seed: int, update: Update
    ) -> list[Trajectory]:
        expert, environment = self.workshop.demonstrator(), self.workshop.environment
        return await collect(expert, environment, tasks, rows, self.rule, seed, update)

    def _imported(self, path: Path, tasks: Sequence[Task]) -> list[Trajectory]:
        known = {task.id: task for task in tasks}
        found = [row for row in read_rows(path, Trajectory) if row.task.id in known]
        changed = [row for row in found if row.task.fingerprint != known[row.task.id].fingerprint]
        if changed or not found:
            which = (
                f"task {changed[0].task.id!r} means something else there" if changed else "none of its tasks is here"
            )
            raise CorruptFile(
                f"{path} doesn't fit environment {self.workshop.environment.component_name()!r}: {which}",
                "Set the environment up as it was when the trajectories were recorded.",
            )
        return found

    def evaluate_expert(self, tasks: Sequence[Task]) -> None:
        """Let the expert play the held-out tasks, for the table."""
        stage = self.directory.stage("evaluate", "expert")

        def work(rows: RowFile[Trajectory], update: Update) -> list[Trajectory]:
            seed = derive(self.config.seed, "evaluate", "expert")
            return asyncio.run(self._played_by_expert(tasks, rows, seed, update))

        found = self._rows(stage, FILES.trajectories, Trajectory, "expert on held-out tasks", work)
        self.results.add("expert", "", 0, found, ["collect"])

    def base(self, demonstrations: Sequence[Trajectory]) -> Checkpoint | None:
        """Make or find the model that training starts from; None for a policy that can't be trained."""
        policy = self.workshop.policy
        if not isinstance(policy, TrainablePolicy):
            return None
        stage = self.directory.stage("base")
        if stage.manifest is not None:
            return Checkpoint(path=stage.path / str(stage.manifest.info["path"]), name="base")
        with self.progress.phase("model to start from"):
            words = corpus(demonstrations, self.workshop.environment.instructions)
            checkpoint = policy.base(words, stage.path / "checkpoint", derive(self.config.seed, "base"))
        path = checkpoint.path
        if path.is_relative_to(stage.path):  # so that a run directory can be moved
            path = path.relative_to(stage.path)
        stage.finish(Cost(), {}, {"path": str(path)})
        return checkpoint

    def clone(
        self,
        variant: RunConfig,
        base: Checkpoint | None,
        demonstrations: Sequence[Trajectory],
        home: tuple[str, ...],
    ) -> Checkpoint | None:
        """Phase 1: imitate the expert's successes (or everything, for the naive baseline)."""
        chosen = demonstrated(demonstrations, variant.clone.on, self.rule)
        examples = examples_of(chosen, self.config.format, self.workshop.environment.instructions)
        seed = derive(self.config.seed, "clone")
        title = "clone the expert" if home == ("clone",) else f"{variant.method}: clone"
        return self._train(self.directory.stage(*home), variant.clone.trainer, examples, base, seed, title, "clone")

    def explore(
        self,
        variant: RunConfig,
        checkpoint: Checkpoint | None,
        iteration: int,
        tasks: Sequence[Task],
        demonstrations: Sequence[Trajectory],
        place: tuple[str, ...],
    ) -> Round:
        """Phase 2: the agent tries, from initial states and from states of demonstrations; verdicts are recorded."""
        stage = self.directory.stage(*place, "explore")
        phase = f"{variant.method}/{iteration}"
        attributor = self.workshop.attributor(variant)
        path = stage.path / FILES.attributions

        def work(rows: RowFile[Trajectory], update: Update) -> list[Trajectory]:
            planned = self._planned(variant, demonstrations, len(tasks))
            counter = Counter(update, planned, map(self.rule.holds, rows.rows))
            seed = derive(self.config.seed, "explore", iteration)
            with self.workshop.agent(checkpoint) as agent:
                player = self.workshop.player(agent, f"agent/{phase}", variant.explore.sampling)
                simulator = Simulator(player, rows, phase, seed, self.rule, lambda t: counter.add(self.rule.holds(t)))
                attributions = asyncio.run(explore(simulator, tasks, demonstrations, attributor, variant.explore))
            check_errors(rows.rows)
            if attributions:
                write_rows(path, attributions)
            return in_order(rows.rows)

        found = self._rows(stage, FILES.simulations, Trajectory, f"{phase}: explore", work)
        self.results.spent("/".join((*place, "explore")), stage)
        verdicts = read_rows(path, Attribution) if path.exists() else ()
        return Round(found, {verdict.trajectory: verdict for verdict in verdicts})

    def _planned(self, variant: RunConfig, demonstrations: Sequence[Trajectory], tasks: int) -> int:
        attributor = self.workshop.attributor(variant)
        initial = variant.explore.simulations * tasks
        if attributor is None or attributor.planned(1) is None:
            return initial
        if variant.explore.attribute != "none":
            demonstrations = to_attribute(demonstrations, self.rule, variant.explore)
        elif not variant.explore.matched:
            return initial
        return initial + sum(matched_simulations(demonstrations, attributor, variant.explore).values())

    def select(
        self,
        variant: RunConfig,
        demonstrations: Sequence[Trajectory],
        rounds: Sequence[Round],
        iteration: int,
        place: tuple[str, ...],
    ) -> list[Example]:
        """Phase 3, first half: choose solutions and mask what isn't to be learned."""
        stage = self.directory.stage(*place, "select")
        info: Info = {}

        def work(rows: RowFile[Example], update: Update) -> list[Example]:
            seed = derive(self.config.seed, "select", iteration)
            instructions = self.workshop.environment.instructions
            format = self.config.format
            examples = select(demonstrations, rounds, variant.select, format, instructions, self.rule, seed)
            kept, dropped = filtered(examples, self.workshop.filters(variant), seed)
            info["dropped"] = dict(dropped)
            return kept

        title = f"{variant.method}/{iteration}: choose what to learn"
        return self._rows(stage, FILES.examples, Example, title, work, info)

    def tune(
        self,
        variant: RunConfig,
        examples: Sequence[Example],
        start: Checkpoint | None,
        iteration: int,
        place: tuple[str, ...],
    ) -> Checkpoint | None:
        """Phase 3, second half: fine-tune on the choice."""
        stage = self.directory.stage(*place, "tune")
        trainer = variant.tune.trainer or variant.clone.trainer
        seed = derive(self.config.seed, "tune", iteration)
        name = f"{variant.method}-{iteration}"
        return self._train(stage, trainer, examples, start, seed, f"{variant.method}/{iteration}: fine-tune", name)

    def evaluate(
        self,
        checkpoint: Checkpoint | None,
        label: str,
        method: str,
        iteration: int,
        tasks: Sequence[Task],
        place: tuple[str, ...],
        spent: Sequence[str],
    ) -> None:
        """Let the agent play the held-out tasks."""
        if label in self.results:
            return
        stage = self.directory.stage(*place)

        def work(rows: RowFile[Trajectory], update: Update) -> list[Trajectory]:
            seed = derive(self.config.seed, "evaluate")
            phase = f"evaluate/{label.replace(' ', '/')}"
            with self.workshop.agent(checkpoint) as agent:
                player = self.workshop.player(agent, f"agent/{label}", self.config.evaluate.sampling)
                return asyncio.run(play(player, tasks, rows, phase, self.rule, seed, update))

        found = self._rows(stage, FILES.trajectories, Trajectory, f"{label} on held-out tasks", work)
        self.results.add(label, method, iteration, found, spent)

    def _train(
        self,
        stage: Stage,
        trainer: dict[str, Any],
        examples: Sequence[Example],
        start: Checkpoint | None,
        seed: int,
        title: str,
        name: str,
    ) -> Checkpoint | None:
        """Train in a stage of its own, unless that was done, or the policy has no weights."""
        if start is None:
            return None
        manifest = stage.manifest
        if manifest is None:
            if name == "clone":
                write_rows(stage.path / FILES.examples, examples)
            component = self.workshop.trainer(trainer)
            with (
                self.progress.phase(title) as update,
                boundary(TrainerFailure, f"trainer {component.component_name()!r}", f"training {name!r}"),
            ):
                checkpoint, cost = component.train(examples, start, stage.path / "checkpoint", seed, update)
            checkpoint = checkpoint.changed(name=name)
            stage.finish(cost, {}, {"examples": len(examples)})
        else:
            self.progress.skipped(title)
            checkpoint = Checkpoint(path=stage.path / "checkpoint", name=name)
        self.results.spent(stage.name, stage)
        return checkpoint

    def _rows(
        self,
        stage: Stage,
        filename: str,
        record: type[R],
        title: str,
        work: Callable[[RowFile[R], Update], list[R]],
        info: Info | None = None,
    ) -> list[R]:
        """Return the rows of a stage, doing what is missing. Complete stages have them in a fixed order.

        What the work puts into `info` goes into the stage's manifest.
        """
        path = stage.path / filename
        if stage.done:
            self.progress.skipped(title)
            return list(read_rows(path, record))
        with RowFile(path, record) as rows, self.progress.phase(title) as update:
            found = work(rows, update)
        write_rows(path, found)
        cost = cost_of(row for row in found if isinstance(row, Trajectory))
        stage.finish(cost, {filename: len(found)}, info)
        return found
