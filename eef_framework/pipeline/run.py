"""A whole run: demonstrations, cloning, then exploration, choice and fine-tuning in turn, for every method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from eef_framework.config.loading import resolved
from eef_framework.config.tree import RunConfig
from eef_framework.pipeline.methods import methods
from eef_framework.pipeline.progress import ConsoleProgress, Progress
from eef_framework.pipeline.solutions import Round
from eef_framework.pipeline.stages import Stages
from eef_framework.pipeline.workshop import Workshop
from eef_framework.plugins import Registry
from eef_framework.records import (
    Checkpoint,
    Record,
    RunMetrics,
    Task,
    Trajectory,
)
from eef_framework.report.build import build_report
from eef_framework.runs import RunDirectory, write_text

if TYPE_CHECKING:
    from rich.console import Console

R = TypeVar("R", bound=Record)


def run(config: RunConfig, registry: Registry, out: Path, console: Console | None = None) -> RunMetrics:
    """Do a run, or take it up where it was interrupted.

    Args:
        config: what to do. Components may be given in place of their names: `RunConfig(environment=Mine(), ...)`.
        registry: where components are found by name.
        out: the run directory.
        console: where to show progress; nothing is shown without one.

    Returns:
        The results, which are also in `metrics.json`.

    Raises:
        ConfigError: the configuration is wrong; nothing was started.
        RunConflict: the directory is the record of another run, or in use.
        StorageError: the disk is full, a file is corrupt.
        ComponentFailure: code behind an interface failed.
    """
    variants = methods(config, registry)
    workshop = Workshop.build(config, registry, ConsoleProgress(console) if console else Progress())
    try:
        for variant in variants:  # whatever is misspelt anywhere is found before anything starts
            workshop.check(variant)
        directory = RunDirectory(out)
        directory.prepare(resolved(config, registry), _plugin_versions(registry))
        with directory.locked():
            return Run(workshop, directory).all(variants)
    finally:
        workshop.close()


class Run:
    """The loop around the stages.

    Args:
        workshop: the run's components.
        directory: its record.
    """

    def __init__(self, workshop: Workshop, directory: RunDirectory) -> None:
        self._workshop = workshop
        self._directory = directory
        self._stages = Stages(workshop, directory)

    def all(self, variants: Sequence[RunConfig]) -> RunMetrics:
        """Do everything, and return the results."""
        config, stages = self._workshop.config, self._stages
        train = self._workshop.tasks(config.collect.tasks)
        test = self._workshop.tasks(config.evaluate.tasks)
        demonstrations = stages.demonstrations(train)
        if config.evaluate.expert:
            stages.evaluate_expert(test)
        base = stages.base(demonstrations)
        for variant in variants:
            self.method(variant, base, demonstrations, train, test)
        metrics = stages.results.metrics(config.method)
        write_text(self._directory.path / "metrics.json", metrics.model_dump_json(indent=2) + "\n")
        with self._workshop.progress.phase("report"):
            build_report(self._directory.path)
        return metrics

    def method(
        self,
        variant: RunConfig,
        base: Checkpoint | None,
        demonstrations: Sequence[Trajectory],
        train: Sequence[Task],
        test: Sequence[Task],
    ) -> None:
        """Do one method: clone, then iterate."""
        name = variant.method
        shared = variant.clone == self._workshop.config.clone
        home = ("clone",) if shared else ("methods", name, "clone")
        clone = self._stages.clone(variant, base, demonstrations, home)
        spent = ["/".join(home)]
        if shared:
            self._stages.evaluate(clone, "sft", "", 0, test, ("evaluate", "clone"), spent)
        else:
            label = f"{name} 0" if variant.iterations else name
            self._stages.evaluate(clone, label, name, 0, test, ("methods", name, "evaluate"), spent)
        rounds: list[Round] = []
        latest_checkpoint = clone
        for iteration in range(1, variant.iterations + 1):
            place = ("methods", name, str(iteration))
            rounds.append(self._stages.explore(variant, latest_checkpoint, iteration, train, demonstrations, place))
            examples = self._stages.select(variant, demonstrations, rounds, iteration, place)
            starts = {"base": base, "clone": clone, "previous": latest_checkpoint}
            latest_checkpoint = self._stages.tune(variant, examples, starts[variant.tune.start], iteration, place)
            spent += ["/".join((*place, stage)) for stage in ("explore", "tune")]
            label = f"{name} {iteration}"
            self._stages.evaluate(latest_checkpoint, label, name, iteration, test, (*place, "evaluate"), spent)


def _plugin_versions(registry: Registry) -> dict[str, str]:
    return {p.distribution: p.version for p in registry.plugins if p.distribution and not p.error}
