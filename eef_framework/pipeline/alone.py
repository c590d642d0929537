"""Each phase by itself, from files to files: for people who come with trajectories, or a model, of their own.

The configuration says which components take part and how they are set up; its parts that don't concern a phase are
not used. Files that exist are continued where the phase plays episodes, if their episodes were made with the same
settings, and replaced otherwise. Episodes of tasks that aren't asked for any more stay in the file, behind the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from eef_framework.config.loading import resolved
from eef_framework.config.tree import RunConfig
from eef_framework.errors import ConfigError
from eef_framework.evaluation.evaluate import evaluation_of
from eef_framework.interfaces import TrainablePolicy
from eef_framework.pipeline import phases
from eef_framework.pipeline.corpus import corpus
from eef_framework.pipeline.progress import ConsoleProgress, Counter, Progress
from eef_framework.pipeline.solutions import Round, demonstrated
from eef_framework.pipeline.workshop import Workshop
from eef_framework.plugins import Registry
from eef_framework.records import Attribution, Checkpoint, Cost, Evaluation, Example, Task, Trajectory
from eef_framework.rollout import Recorded, Simulator
from eef_framework.runs import FILES, RowFile, read_rows, write_rows
from eef_framework.runs.continued import continued, named
from eef_framework.seeds import derive

if TYPE_CHECKING:
    from rich.console import Console


class Alone:
    """The phases of one configuration, one at a time.

    Args:
        config: what takes part, and how.
        registry: where components are found by name.
        console: where to show progress; nothing is shown without one.

    Raises:
        ConfigError: the configuration is wrong.
    """

    def __init__(self, config: RunConfig, registry: Registry, console: Console | None = None) -> None:
        self.config = config
        self._registry = registry
        self.workshop = Workshop.build(config, registry, ConsoleProgress(console) if console else Progress())
        self.workshop.check(config)
        self.rule = config.success

    def __enter__(self) -> Alone:
        return self

    def __exit__(self, *exception: object) -> None:
        self.workshop.close()

    def collect(self, out: Path) -> list[Trajectory]:
        """Have the training tasks demonstrated, and write the trajectories."""
        workshop = self.workshop
        expert, tasks = workshop.demonstrator(), workshop.tasks(self.config.collect.tasks)
        seed = derive(self.config.seed, "collect")
        with self._continued(out, "expert") as rows, workshop.progress.phase("expert demonstrates") as update:
            work = phases.collect(expert, workshop.environment, tasks, rows, self.rule, seed, update)
            found = asyncio.run(work)
        write_rows(out, _with_others(found, rows.rows))
        return found

    def explore(
        self, demonstrations: Path, model: Path | None, out: Path
    ) -> tuple[list[Trajectory], list[Attribution]]:
        """Let the agent try from initial states and from states of demonstrations, and attribute these.

        Args:
            demonstrations: the expert's trajectories.
            model: folder of the agent's checkpoint; None for the model that the policy's settings name, and for a
                policy without weights.
            out: folder for `simulations.jsonl` and `attributions.jsonl`.
        """
        known, tasks = self._demonstrations(demonstrations)
        workshop = self.workshop
        settings = self.config.explore
        path = out / FILES.simulations
        parts = ("policy", "format", "success", "attributor", "explore")
        with (
            self._model(model) as start,
            self._continued(path, *parts, model=named(start), demonstrations=named(demonstrations)) as rows,
            workshop.progress.phase("explore") as update,
        ):
            counter = Counter(update, len(tasks) * settings.simulations, map(self.rule.holds, rows.rows))
            attributor = workshop.attributor(self.config)
            seed = derive(self.config.seed, "explore", 1)
            with workshop.agent(_checkpoint(start)) as agent:
                player = workshop.player(agent, "agent/explore", settings.sampling)
                simulator = Simulator(
                    player, rows, "explore", seed, self.rule, lambda t: counter.add(self.rule.holds(t))
                )
                attributions = asyncio.run(phases.explore(simulator, tasks, known, attributor, settings))
            phases.check_errors(rows.rows)
            found = phases.in_order(rows.rows)
        write_rows(path, found)
        write_rows(out / FILES.attributions, attributions)
        return found, attributions

    def attribute(self, demonstrations: Path, simulations: Path, out: Path) -> list[Attribution]:
        """Attribute demonstrations by simulations that are recorded already.

        Raises:
            AttributorFailure: the attributor asks for simulations that aren't there.
        """
        known, _ = self._demonstrations(demonstrations)
        attributor = self.workshop.attributor(self.config)
        if attributor is None:
            raise ConfigError("this configuration has no attributor", "Name one: --set attributor=interval.")
        recorded = Recorded(list(read_rows(simulations, Trajectory)), self.rule)
        chosen = phases.to_attribute(known, self.rule, self.config.explore)
        work = phases.gather(phases.attribute(attributor, trajectory, recorded) for trajectory in chosen)
        found = asyncio.run(work)
        write_rows(out, found)
        return found

    def select(self, demonstrations: Path, explored: Sequence[Path], out: Path) -> list[Example]:
        """Choose what to learn.

        Args:
            demonstrations: the expert's trajectories.
            explored: folders that `explore` wrote, the latest last; none for plain cloning.
            out: file for the examples.
        """
        known, _ = self._demonstrations(demonstrations)
        rounds = [_round(folder) for folder in explored]
        seed = derive(self.config.seed, "select", len(rounds))
        format, instructions = self.config.format, self.workshop.environment.instructions
        if rounds:
            examples = phases.select(known, rounds, self.config.select, format, instructions, self.rule, seed)
        else:
            examples = phases.examples_of(demonstrated(known, self.config.clone.on, self.rule), format, instructions)
        kept, _ = phases.filtered(examples, self.workshop.filters(self.config), seed)
        write_rows(out, kept)
        return kept

    def base(self, demonstrations: Path, out: Path) -> Checkpoint:
        """Make or find the model that training starts from."""
        policy = self.workshop.policy
        if not isinstance(policy, TrainablePolicy):
            raise ConfigError(f"policy {policy.component_name()!r} has no weights to train", "Name another policy.")
        known, _ = self._demonstrations(demonstrations)
        words = corpus(known, self.workshop.environment.instructions)
        return policy.base(words, out, derive(self.config.seed, "base"))

    def train(self, examples: Path, model: Path, out: Path) -> tuple[Checkpoint, Cost]:
        """Train from a checkpoint on a file of examples."""
        trainer = self.workshop.trainer(self.config.tune.trainer or self.config.clone.trainer)
        rows = list(read_rows(examples, Example))
        with self.workshop.progress.phase("train") as update:
            seed = derive(self.config.seed, "tune", 1)
            return trainer.train(rows, Checkpoint(path=model), out, seed, update)

    def evaluate(self, model: Path | None, out: Path) -> Evaluation:
        """Let the agent play the held-out tasks, and write the episodes.

        Args:
            model: folder of the agent's checkpoint; None as for `explore`.
            out: file for the episodes.
        """
        workshop = self.workshop
        settings = self.config.evaluate
        tasks = workshop.tasks(settings.tasks)
        sampling = settings.sampling.model_dump()
        with (
            self._model(model) as start,
            self._continued(out, "policy", "format", sampling=sampling, model=named(start)) as rows,
            workshop.progress.phase("agent on held-out tasks") as update,
        ):
            seed = derive(self.config.seed, "evaluate")
            with workshop.agent(_checkpoint(start)) as agent:
                player = workshop.player(agent, "agent/evaluate", settings.sampling)
                found = asyncio.run(phases.play(player, tasks, rows, "evaluate", self.rule, seed, update))
        write_rows(out, _with_others(found, rows.rows))
        return evaluation_of("agent", found, self.rule, settings.tasks.split)

    @contextmanager
    def _model(self, given: Path | None) -> Iterator[Path | None]:
        """Hold the model to play with: the one given, or the one that the policy's settings name, if it has one."""
        policy = self.workshop.policy
        if given is not None or not isinstance(policy, TrainablePolicy):
            yield given
            return
        with TemporaryDirectory() as folder:
            yield policy.base((), Path(folder) / "base", derive(self.config.seed, "base")).path

    def _continued(self, path: Path, *parts: str, **given: Any) -> RowFile[Trajectory]:
        """Open a file of episodes that depend on these parts of the configuration, and on what else is given."""
        config = resolved(self.config, self._registry)
        settings = {part: config[part] for part in ("seed", "environment", *parts)}
        return continued(path, Trajectory, settings | {"limits": {"steps": self.config.limits.steps}} | given)

    def _demonstrations(self, path: Path) -> tuple[list[Trajectory], list[Task]]:
        found = list(read_rows(path, Trajectory))
        return found, list({row.task.id: row.task for row in found}.values())


def _with_others(found: list[Trajectory], rows: Sequence[Trajectory]) -> list[Trajectory]:
    """Return episodes, and those of other tasks behind them: what was paid for once isn't thrown away."""
    tasks = {row.task.id for row in found}
    return [*found, *phases.in_order(row for row in rows if row.task.id not in tasks)]


def _checkpoint(model: Path | None) -> Checkpoint | None:
    return None if model is None else Checkpoint(path=model, name=model.name)


def _round(folder: Path) -> Round:
    verdicts = folder / FILES.attributions
    known = read_rows(verdicts, Attribution) if verdicts.exists() else ()
    return Round(list(read_rows(folder / FILES.simulations, Trajectory)), {v.trajectory: v for v in known})
