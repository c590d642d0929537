"""Phase 3, first half: selects what to learn, and which of its turns get loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eef_framework.config.schema import RunConfig
from eef_framework.errors import EefError, FilterFailure, NothingToTrain, boundary
from eef_framework.interfaces import Component, Filter, ProgressCallback
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.examples import examples_of, tries_by_task
from eef_framework.pipeline.pairs import pair_examples, pairs
from eef_framework.pipeline.phase import Outcome, Phase
from eef_framework.pipeline.phases.explore import ExplorationFiles
from eef_framework.pipeline.rows import Rows
from eef_framework.pipeline.shortening import shorten_all
from eef_framework.pipeline.solutions import Exploration, demonstrated, selection
from eef_framework.records import Cost, Example, Trajectory
from eef_framework.seeds import derive


@dataclass(kw_only=True)
class Select(Phase):
    """Selects what to learn: solutions, or pairs of attempts if configured.

    Attributes:
        variant: the method.
        demonstrations: the expert's trajectories, failures included.
        explorations: the explorations so far, in order. Without any, the demonstrations are cloned.
        examples: the file to write.
    """

    title: str = "choose what to learn"
    variant: RunConfig
    demonstrations: Rows[Trajectory]
    explorations: Sequence[ExplorationFiles] = field(default_factory=tuple)
    examples: Rows[Example]

    charged: bool = False

    def components(self, context: RunContext) -> Sequence[Component]:
        """Return the filters."""
        return context.filters(self.variant)

    def work(self, context: RunContext, progress: ProgressCallback) -> Outcome:
        """Select, then filter."""
        seed = derive(context.config.seed, "select", len(self.explorations))
        demonstrations = self.demonstrations.read()
        if not demonstrations:
            path = self.demonstrations.path
            raise EefError(f"{path} holds no demonstration", code="no-demonstrations", path=str(path))
        cost, info = Cost(), dict[str, Any]()
        if not self.explorations:
            examples = cloning_examples(context, self.variant, demonstrations)
        else:
            explored = [files.read() for files in self.explorations]
            _check_tasks(self.explorations, explored, demonstrations)
            if self.variant.select.pairs:
                examples = _pair_examples(context, self.variant, demonstrations, explored, seed)
            else:
                examples, cost, info = self._solution_examples(context, demonstrations, explored, seed)
        kept, dropped = filtered(examples, context.filters(self.variant), seed)
        if not kept:
            raise _nothing_to_learn(
                context,
                len(demonstrations),
                len(examples),
                dropped,
                bool(self.explorations) and self.variant.select.pairs,
            )
        self.examples.write(kept)
        return Outcome(cost, {self.examples.path.name: len(kept)}, {"dropped": dict(dropped), **info})

    def _solution_examples(
        self,
        context: RunContext,
        demonstrations: Sequence[Trajectory],
        explorations: Sequence[Exploration],
        seed: int,
    ) -> tuple[list[Example], Cost, dict[str, Any]]:
        """Return the examples of the selected solutions, the cost of shortening them, and counts."""
        settings, rule = self.variant.select, context.config.success
        found = selection(demonstrations, explorations, settings, rule, seed)
        counts = {
            "selected": count(each.source for each in found.solutions),
            "left_out": count(found.left_out.values()),
        }
        chosen, cost, shortened = found.solutions, Cost(), dict[str, Any]()
        if settings.shorten != "none":
            chosen, cost, shortened = context.wait_for(shorten_all(context, found.solutions, settings))
        tries = tries_by_task(explorations, rule)
        examples = examples_of(chosen, context.config.format, context.environment.instructions, tries)
        return examples, cost, {**counts, **shortened}


def cloning_examples(context: RunContext, variant: RunConfig, demonstrations: Sequence[Trajectory]) -> list[Example]:
    """Return the demonstrations that a method imitates, as examples."""
    chosen = demonstrated(demonstrations, variant.clone.on, context.config.success)
    return examples_of(chosen, context.config.format, context.environment.instructions)


def _check_tasks(
    files: Sequence[ExplorationFiles], explored: Sequence[Exploration], demonstrations: Sequence[Trajectory]
) -> None:
    """Reject explorations of tasks that were not demonstrated.

    Raises:
        EefError: not one task is the same, or these are the demonstrations.
    """
    tasks, ids = {row.task.id for row in demonstrations}, {row.id for row in demonstrations}
    for file, exploration in zip(files, explored, strict=True):
        if not any(row.task.id in tasks and row.id not in ids for row in exploration.simulations):
            path = file.simulations.path
            raise EefError(
                f"{path} holds no simulation of a task that was demonstrated",
                "Give the folder that `eef explore` wrote for these demonstrations.",
                code="other-simulations",
                path=str(path),
            )


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
            "in them, so there is no pair",
            "Let the agent try more often (explore.simulations), or train it for longer first.",
            code="no-pairs",
        )
    return NothingToTrain(
        f"nothing was solved: none of the {demonstrations} demonstrations, nor any attempt of the agent, reaches a "
        f"reward of {context.config.success.threshold:g} (success.threshold)",
        "Take a better expert or easier tasks, let the agent try more often (explore.simulations), or lower "
        "success.threshold.",
        code="nothing-solved",
        threshold=context.config.success.threshold,
    )


def _pair_examples(
    context: RunContext,
    variant: RunConfig,
    demonstrations: Sequence[Trajectory],
    explorations: Sequence[Exploration],
    seed: int,
) -> list[Example]:
    found = pairs(demonstrations, explorations, variant.select, seed)
    return pair_examples(found, context.config.format, context.environment.instructions)


def count(names: Iterable[str]) -> dict[str, int]:
    """Return how often each name occurs, sorted by name."""
    return dict(sorted(Counter(names).items()))


def filtered(examples: Sequence[Example], filters: Sequence[Filter], seed: int) -> tuple[list[Example], dict[str, int]]:
    """Apply filters one after the other.

    Returns:
        What they kept, and how many each dropped, by name.

    Raises:
        FilterFailure: one raised, or made an example up.
    """
    kept = list(examples)
    dropped: dict[str, int] = {}
    for number, filter_ in enumerate(filters):
        name = filter_.component_name()
        with boundary(FilterFailure, f"filter {name!r}", f"choosing among {len(kept)} examples"):
            chosen = list(filter_.apply(kept, derive(seed, "filter", number)))
        known = {example.id for example in kept}
        strangers = [example.id for example in chosen if example.id not in known]
        if strangers:
            raise FilterFailure(
                f"filter {name!r} returned an example it wasn't given: {strangers[0]!r}",
                "Filters choose and reweight; they don't make examples up.",
                code="made-up-example",
                example=strangers[0],
            )
        dropped[name] = dropped.get(name, 0) + len(kept) - len(chosen)
        kept = chosen
    return kept, dropped
