"""Phase 3, first half: selects what to learn, and which of its turns get loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eef_framework.config.schema import RunConfig
from eef_framework.config.schema import Select as Settings
from eef_framework.errors import EefError, NothingToTrain
from eef_framework.interfaces import Component, ProgressCallback
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.examples import examples_of, tries_by_task
from eef_framework.pipeline.exploration_files import ExplorationFiles
from eef_framework.pipeline.filtering import filtered
from eef_framework.pipeline.pairs import Pair, pair_examples, pairs, require_whole_episodes
from eef_framework.pipeline.phase import Phase, PhaseResult
from eef_framework.pipeline.preference import Solution
from eef_framework.pipeline.rows import Rows, read_some
from eef_framework.pipeline.selection_record import pair_rows, selected_rows
from eef_framework.pipeline.shortening import shorten_all
from eef_framework.pipeline.solutions import Exploration, Selection, demonstrated, selection
from eef_framework.pipeline.step_pairs import step_pairs
from eef_framework.pipeline.world_model import predictions
from eef_framework.records import Cost, Example, Selected, Trajectory
from eef_framework.runs import FILES
from eef_framework.seeds import derive


@dataclass(kw_only=True)
class Select(Phase):
    """Selects what to learn: solutions, or pairs of attempts if configured.

    Attributes:
        variant: the method.
        demonstrations: the expert's trajectories, failures included.
        explorations: the explorations so far, in order. Without any, the demonstrations are cloned.
        examples: the file to write.
        predictions: the file to write with observations to predict, if the agent tried alternatives; None for none.
    """

    title: str = "choose what to learn"
    variant: RunConfig
    demonstrations: Rows[Trajectory]
    explorations: Sequence[ExplorationFiles] = field(default_factory=tuple)
    examples: Rows[Example]
    predictions: Rows[Example] | None = None

    charged: bool = False

    def components(self, context: RunContext) -> Sequence[Component]:
        """Return the filters."""
        return context.filters(self.variant)

    def work(self, context: RunContext, progress: ProgressCallback) -> PhaseResult:
        """Select, then filter."""
        seed = derive(context.config.seed, "select", len(self.explorations))
        demonstrations = read_some(self.demonstrations)
        chosen: _Chosen | None = None
        explored: Sequence[Exploration] = ()
        if not self.explorations:
            examples = cloning_examples(context, self.variant, demonstrations)
        else:
            explored = [files.read() for files in self.explorations]
            _check_tasks(self.explorations, explored, demonstrations)
            if self.variant.select.learns_pairs:
                examples = _pair_examples(context, self.variant, demonstrations, explored, seed)
            else:
                chosen = _choose(context, self.variant.select, demonstrations, explored, seed)
                examples = chosen.examples
        found = filtered(examples, context.filters(self.variant), seed)
        if chosen is not None and chosen.solutions and not examples:
            raise no_turn_with_loss(len(chosen.solutions))
        if not found.kept:
            raise _nothing_to_learn(
                context,
                len(demonstrations),
                len(examples),
                found.dropped,
                bool(self.explorations) and self.variant.select.learns_pairs,
            )
        self.examples.write(found.kept)
        rows = {self.examples.path.name: len(found.kept)}
        info: dict[str, Any] = {"dropped": found.dropped}
        if self.predictions is not None and explored and self.variant.explore.predicts:
            observations, info["predictions"] = _predictions(context, self.variant, demonstrations, explored)
            self.predictions.write(observations)
            rows[self.predictions.path.name] = len(observations)
        if self.stage is not None and explored:
            played = (*demonstrations, *(simulation for each in explored for simulation in each.simulations))
            if chosen is None:
                done = [*pair_rows(played, examples, found.kept, found.dropped_by)]
            else:
                done = [*selected_rows(played, chosen.solutions, chosen.found.left_out, found.kept, found.dropped_by)]
            Rows(self.stage.path / FILES.selected, Selected).write(done)
            rows[FILES.selected] = len(done)
        return PhaseResult(chosen.cost if chosen else Cost(), rows, info | (chosen.counts if chosen else {}))


@dataclass(frozen=True)
class _Chosen:
    """What was selected, before filters.

    Attributes:
        found: the solutions as they were recorded, and what was left out.
        solutions: the same solutions, shortened if configured.
        examples: made from them.
        cost: of shortening.
        counts: for the stage's manifest.
    """

    found: Selection
    solutions: Sequence[Solution]
    examples: list[Example]
    cost: Cost
    counts: dict[str, Any]


def _choose(
    context: RunContext,
    settings: Settings,
    demonstrations: Sequence[Trajectory],
    explorations: Sequence[Exploration],
    seed: int,
) -> _Chosen:
    rule = context.config.success
    found = selection(demonstrations, explorations, settings, rule, seed)
    counts: dict[str, Any] = {
        "selected": count(each.source for each in found.solutions),
        "left_out": count(found.left_out.values()),
    }
    solutions, cost = found.solutions, Cost()
    if settings.shorten != "none":
        solutions, cost, shortened = context.wait_for(shorten_all(context, found.solutions, settings))
        counts |= shortened
    tries = tries_by_task(explorations, rule)
    examples = examples_of(solutions, context.format, context.environment.instructions, tries)
    return _Chosen(found, solutions, examples, cost, counts)


def cloning_examples(context: RunContext, variant: RunConfig, demonstrations: Sequence[Trajectory]) -> list[Example]:
    """Return the demonstrations that a method imitates, as examples."""
    chosen = demonstrated(demonstrations, variant.clone.on, context.config.success)
    return examples_of(chosen, context.format, context.environment.instructions)


def no_turn_with_loss(trajectories: int) -> NothingToTrain:
    """Return the error that there are trajectories to learn from, and none of their turns gets loss."""
    return NothingToTrain(
        f"no turn of the {trajectories} trajectories to learn from gets loss: no answer has an action, or none has a "
        "thought and format.train_actions is false",
        "Set format.train_actions or format.train_unparsed to true, or use an expert that thinks.",
        code="no-turn-with-loss",
        trajectories=trajectories,
    )


def _check_tasks(
    files: Sequence[ExplorationFiles], explored: Sequence[Exploration], demonstrations: Sequence[Trajectory]
) -> None:
    """Reject explorations of tasks that were not demonstrated, or meant something else (by their fingerprints).

    Raises:
        EefError: not one task is the same, or these are the demonstrations.
    """
    tasks, ids = set(map(_task_key, demonstrations)), {row.id for row in demonstrations}
    for file, exploration in zip(files, explored, strict=True):
        rows = [*exploration.simulations, *exploration.alternatives]
        if rows and not any(_task_key(row) in tasks and row.id not in ids for row in rows):
            path = file.simulations.path
            raise EefError(
                f"{path} has no simulation of a task that was demonstrated",
                "Give the folder that `eef explore` wrote for these demonstrations.",
                code="other-simulations",
                path=str(path),
            )


def _task_key(row: Trajectory) -> tuple[str, str]:
    return row.task.id, row.task.fingerprint


def _nothing_to_learn(
    context: RunContext, demonstrations: int, examples: int, dropped: Mapping[str, int], pairs: bool
) -> NothingToTrain:
    """Say why nothing was chosen, and what to do about it."""
    if examples:
        return NothingToTrain(
            f"the filters dropped all {examples} examples: {', '.join(f'{name} {n}' for name, n in dropped.items())}",
            "Loosen `filters`.",
            code="all-filtered",
            dropped=dict(dropped),
        )
    if pairs:
        return NothingToTrain(
            f"no task of the {demonstrations} demonstrations has two attempts with different rewards and with actions "
            "in them, nor different actions in one state of which a verdict prefers one, so there is no pair",
            "Let the agent try more often (explore.simulations, or the attributor's), or train it for longer first.",
            code="no-pairs",
        )
    return NothingToTrain(
        f"nothing was solved: none of the {demonstrations} demonstrations, nor any attempt of the agent, reaches a "
        f"reward of {context.config.success.threshold:g} (success.threshold)",
        "Use a better expert or easier tasks, let the agent try more often (explore.simulations), or lower "
        "success.threshold.",
        code="nothing-solved",
        threshold=context.config.success.threshold,
    )


def _predictions(
    context: RunContext,
    variant: RunConfig,
    demonstrations: Sequence[Trajectory],
    explorations: Sequence[Exploration],
) -> tuple[list[Example], dict[str, int]]:
    """Return the observations to predict, and counts of them.

    Raises:
        NothingToTrain: all of them are blank.
    """
    format, instructions = context.format, context.environment.instructions
    rule, settings = context.config.success, variant.select
    found, counts = predictions(demonstrations, explorations, settings, rule, format, instructions)
    if not found:
        raise NothingToTrain(
            f"there is no observation to predict: {counts['blank']} actions in states of the expert's successes were "
            "answered by a blank text",
            "Set explore.alternatives to 0: this environment shows nothing after an action.",
            code="no-predictions",
            blank=counts["blank"],
        )
    return found, counts


def _pair_examples(
    context: RunContext,
    variant: RunConfig,
    demonstrations: Sequence[Trajectory],
    explorations: Sequence[Exploration],
    seed: int,
) -> list[Example]:
    settings, rule, found = variant.select, context.config.success, list[Pair]()
    if settings.pairs:
        require_whole_episodes(context.format)
        found += pairs(demonstrations, explorations, settings, seed)
    if settings.step_pairs:
        found += step_pairs(demonstrations, explorations, settings, rule, seed)
    tries = tries_by_task(explorations, rule)
    return pair_examples(found, context.format, context.environment.instructions, tries)


def count(names: Iterable[str]) -> dict[str, int]:
    """Return how often each name occurs, sorted by name."""
    return dict(sorted(Counter(names).items()))
