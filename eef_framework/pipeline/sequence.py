"""The phases of a run: demonstrations, cloning, then iterations of exploration, selection and fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from eef_framework.config.schema import RunConfig
from eef_framework.interfaces import TrainablePolicy
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.phase import Phase, Weights
from eef_framework.pipeline.phases import (
    Clone,
    Collect,
    CollectForEvaluation,
    Evaluate,
    ExplorationFiles,
    Explore,
    ImportDemonstrations,
    InitialCheckpoint,
    Report,
    Select,
    Train,
)
from eef_framework.pipeline.preflight import needs_demonstrations
from eef_framework.pipeline.results import TableRow
from eef_framework.pipeline.rows import Rows
from eef_framework.records import Example, Trajectory
from eef_framework.runs import RunLayout, Stage, StageKey

P = TypeVar("P", bound=Phase)


def phases_of(context: RunContext, variants: Sequence[RunConfig], layout: RunLayout) -> tuple[list[Phase], Report]:
    """Return all phases of a run in order, and the final report.

    Args:
        context: the run's context.
        variants: the configuration of each method, the run's own first.
        layout: where the run's files are.
    """
    return _Sequence(context, layout).all(variants)


class _Sequence:
    """Builds the list of phases: the only place that connects phases."""

    def __init__(self, context: RunContext, layout: RunLayout) -> None:
        self.context = context
        self.config = context.config
        self.trains = isinstance(context.policy, TrainablePolicy)
        self.layout = layout
        self.phases: list[Phase] = []
        self.rows: list[TableRow] = []
        self.explored: dict[int, Explore] = {}
        self.demonstrations = Rows(layout.trajectories(StageKey("collect")), Trajectory)

    def all(self, variants: Sequence[RunConfig]) -> tuple[list[Phase], Report]:
        """Return the phases of all methods."""
        collected = [self._collect(variants)] if needs_demonstrations(self.context, variants) else []
        if self.config.evaluate.expert and self.config.expert is not None:
            self._evaluate_expert(collected)
        base = self._initial_checkpoint(self.demonstrations if collected else None) if self.trains else None
        clone = self._clone(self.config, base, StageKey("clone"), "clone the expert")
        if clone is not None:
            # The recipe `sft`, whichever method starts from it. Any other clone is the run's own method.
            names = ("sft",) if self.config.clone.on == "successes" else _before_iterations(self.config)
            self._evaluate(names, StageKey("evaluate"), clone, [clone])
        for variant in variants:
            self._method(variant, base, clone)
        return self.phases, Report(layout=self.layout, rows=self.rows, after=self.phases)

    def _method(self, variant: RunConfig, base: InitialCheckpoint | None, shared: Clone | None) -> None:
        """Add one method: its own clone if it needs one, then its iterations."""
        name, clone = variant.method, shared
        if variant.clone != self.config.clone:
            clone = self._clone(variant, base, StageKey("clone", name), f"{name}: clone")
        start: Weights | None = clone or base
        # Nothing but alternatives: they are those of the model that learns from them. A clone of the expert has few.
        alone = bool(variant.explore.alternatives and not variant.explore.simulations)
        uses_clone = not (alone and variant.tune.start == "base")
        paid_for: list[Phase] = [clone] if clone is not None and uses_clone else []
        if clone is None:
            self._evaluate(("untrained",), StageKey("evaluate", name), base, [])
        elif clone is not shared:
            self._evaluate(_before_iterations(variant), StageKey("evaluate", name), clone, paid_for)
        explorations: list[ExplorationFiles] = []
        latest = start
        for iteration in range(1, variant.iterations + 1):
            source = {"base": base, "clone": start, "previous": latest}[variant.tune.start]
            explore = self._explore(variant, iteration, source if alone else latest)
            explorations.append(explore.files)
            select = self._select(variant, iteration, explorations)
            paid_for += [explore, select] if select.charged else [explore]
            if source is not None:  # without weights, selection is the last phase
                if select.predictions is not None:
                    source = predict = self._predict(variant, iteration, select.predictions, source)
                    paid_for.append(predict)
                latest = tune = self._tune(variant, iteration, select, source)
                paid_for.append(tune)
                self._evaluate((name, str(iteration)), StageKey("evaluate", name, iteration), latest, paid_for)
        self.phases[-1].last_to_read = [files.simulations for files in explorations]

    def _collect(self, variants: Sequence[RunConfig]) -> Phase:
        stage, source = self._stage(StageKey("collect")), self.config.collect.trajectories
        tasks, demonstrations = self.config.collect.tasks, self.demonstrations
        if source is not None:
            return self._add(
                ImportDemonstrations(
                    stage=stage,
                    tasks=tasks,
                    source=Path(source).expanduser(),
                    demonstrations=demonstrations,
                    explored=any(variant.iterations for variant in variants),
                )
            )
        return self._add(Collect(stage=stage, tasks=tasks, demonstrations=demonstrations))

    def _evaluate_expert(self, collected: Sequence[Phase]) -> None:
        key, tasks = StageKey("evaluate", expert=True), self.config.evaluate.tasks
        played = Rows(self.layout.trajectories(key), Trajectory)
        title = f"expert on {tasks.split} tasks"
        self._add(CollectForEvaluation(title=title, stage=self._stage(key), tasks=tasks, demonstrations=played))
        self.rows.append(TableRow("expert", key, tasks.split, played, collected))

    def _initial_checkpoint(self, demonstrations: Rows[Trajectory] | None) -> InitialCheckpoint:
        key = StageKey("base")
        folder = self.layout.checkpoint(key)
        return self._add(InitialCheckpoint(stage=self._stage(key), demonstrations=demonstrations, folder=folder))

    def _clone(self, variant: RunConfig, base: Weights | None, key: StageKey, title: str) -> Clone | None:
        if base is None or variant.clone.on == "none":
            return None
        return self._add(
            Clone(
                title=title,
                stage=self._stage(key),
                variant=variant,
                demonstrations=self.demonstrations,
                trainer=variant.clone.trainer,
                examples=Rows(self.layout.examples(key.method, 0), Example),
                start=base,
                folder=self.layout.checkpoint(key),
            )
        )

    def _explore(self, variant: RunConfig, iteration: int, weights: Weights | None) -> Explore:
        key = StageKey("explore", variant.method, iteration)
        phase = self._add(
            Explore(
                title=f"{variant.method}/{iteration}: explore",
                stage=self._stage(key),
                variant=variant,
                demonstrations=self.demonstrations,
                weights=weights,
                files=ExplorationFiles(self.layout.path / key.path),
                tasks=self.config.collect.tasks,
                iteration=iteration,
                name=f"{variant.method}/{iteration}",
                matches=self.explored.get(iteration),
            )
        )
        self.explored.setdefault(iteration, phase)  # the main method comes first
        return phase

    def _select(self, variant: RunConfig, iteration: int, explorations: Sequence[ExplorationFiles]) -> Select:
        return self._add(
            Select(
                title=f"{variant.method}/{iteration}: choose what to learn",
                stage=self._stage(StageKey("select", variant.method, iteration)),
                variant=variant,
                demonstrations=self.demonstrations,
                explorations=tuple(explorations),
                examples=Rows(self.layout.examples(variant.method, iteration), Example),
                predictions=Rows(self.layout.predictions(variant.method, iteration), Example)
                if variant.explore.predicts
                else None,
                charged=variant.select.shorten != "none",  # replays cost steps
            )
        )

    def _predict(self, variant: RunConfig, iteration: int, predictions: Rows[Example], start: Weights) -> Train:
        key = StageKey("world-model", variant.method, iteration)
        return self._add(
            Train(
                title=f"{variant.method}/{iteration}: predict observations",
                stage=self._stage(key),
                trainer=variant.tune.world_model_trainer(variant.clone),
                examples=predictions,
                start=start,
                folder=self.layout.checkpoint(key),
                name=f"{variant.method}-{iteration}-world-model",
                seed_names=("world-model", iteration),
            )
        )

    def _tune(self, variant: RunConfig, iteration: int, select: Select, start: Weights) -> Train:
        key = StageKey("tune", variant.method, iteration)
        return self._add(
            Train(
                title=f"{variant.method}/{iteration}: fine-tune",
                stage=self._stage(key),
                trainer=variant.tune.trainer or variant.clone.trainer,
                examples=select.examples,
                start=start,
                folder=self.layout.checkpoint(key),
                name=f"{variant.method}-{iteration}",
                seed_names=("tune", iteration),
            )
        )

    def _evaluate(
        self, names: tuple[str, ...], key: StageKey, weights: Weights | None, paid_for: Sequence[Phase]
    ) -> None:
        label, tasks = " ".join(names), self.config.evaluate.tasks
        played = Rows(self.layout.trajectories(key), Trajectory)
        self._add(
            Evaluate(
                title=f"{label} on {tasks.split} tasks",
                stage=self._stage(key),
                tasks=tasks,
                weights=weights,
                played=played,
                name="/".join(("evaluate", *names)),
                actor=f"agent/{label}",
            )
        )
        self.rows.append(TableRow(label, key, tasks.split, played, tuple(paid_for)))

    def _stage(self, key: StageKey) -> Stage:
        return self.layout.stage(key)

    def _add(self, phase: P) -> P:
        self.phases.append(phase)
        return phase


def _before_iterations(variant: RunConfig) -> tuple[str, ...]:
    """Return the name of a method's own clone: the method's, with iteration 0 if others follow."""
    return (variant.method, "0") if variant.iterations else (variant.method,)
