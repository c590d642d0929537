"""Phase 3, first half: what to learn, and which of its turns get loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from eef_framework.chat.format import ChatFormat
from eef_framework.config.schema import RunConfig
from eef_framework.errors import FilterFailure, boundary
from eef_framework.interfaces import Filter
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.pairs import pair_examples, pairs
from eef_framework.pipeline.phase import Outcome, Phase
from eef_framework.pipeline.phases.explore import ExplorationFiles
from eef_framework.pipeline.progress import Update
from eef_framework.pipeline.rows import Rows
from eef_framework.pipeline.solutions import Exploration, Solution, demonstrated, solutions
from eef_framework.records import Example, Trajectory
from eef_framework.seeds import derive


@dataclass(kw_only=True)
class Select(Phase):
    """Chooses what to learn: solutions, or pairs of attempts where the settings say so.

    Attributes:
        variant: the method.
        demonstrations: the expert's trajectories, failures included.
        explorations: what was explored so far, the latest last. Without any, the demonstrations are cloned.
        examples: the file to write.
    """

    title: str = "choose what to learn"
    variant: RunConfig
    demonstrations: Rows[Trajectory]
    explorations: Sequence[ExplorationFiles] = field(default_factory=tuple)
    examples: Rows[Example]

    charged: ClassVar[bool] = False

    def work(self, context: RunContext, update: Update) -> Outcome:
        """Choose, then filter."""
        seed = derive(context.config.seed, "select", len(self.explorations))
        demonstrations = self.demonstrations.read()
        if self.explorations:
            explored = [files.read() for files in self.explorations]
            examples = _examples(context, self.variant, demonstrations, explored, seed)
        else:
            examples = cloning_examples(context, self.variant, demonstrations)
        kept, dropped = filtered(examples, context.filters(self.variant), seed)
        self.examples.write(kept)
        return Outcome(rows={self.examples.path.name: len(kept)}, info={"dropped": dict(dropped)})


def cloning_examples(context: RunContext, variant: RunConfig, demonstrations: Sequence[Trajectory]) -> list[Example]:
    """Return the demonstrations that a method imitates, as examples."""
    chosen = demonstrated(demonstrations, variant.clone.on, context.config.success)
    return _as_examples(chosen, context.config.format, context.environment.instructions)


def _examples(
    context: RunContext,
    variant: RunConfig,
    demonstrations: Sequence[Trajectory],
    explorations: Sequence[Exploration],
    seed: int,
) -> list[Example]:
    settings, config, instructions = variant.select, context.config, context.environment.instructions
    if settings.pairs:
        return pair_examples(pairs(demonstrations, explorations, settings, seed), config.format, instructions)
    found = solutions(demonstrations, explorations, settings, config.success, seed)
    return _as_examples(found, config.format, instructions)


def _as_examples(solutions: Iterable[Solution], format: ChatFormat, instructions: str) -> list[Example]:
    return [
        example
        for solution in solutions
        for example in format.examples(solution.trajectory, solution.weights, instructions, solution.source)
    ]


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
