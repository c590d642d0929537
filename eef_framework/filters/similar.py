"""Filter for near-duplicates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from eef_framework.filters.trajectories import by_trajectory, of_trajectories
from eef_framework.interfaces import Filter
from eef_framework.records import Example

Answers = tuple[str, ...]


class DropSimilar(Filter):
    """Drop trajectories whose answers are nearly those of an earlier trajectory of the same task."""

    name: ClassVar[str] = "drop-similar"

    similarity: float = Field(default=0.8, gt=0.0, le=1.0)
    """Similarity from which a trajectory is dropped: 1 for equal answers in the same order, 0 for none in common. It is
    twice the length of the longest common subsequence, divided by the number of answers of both."""

    def apply(self, examples: Sequence[Example], seed: int) -> Sequence[Example]:
        """Keep the first of similar trajectories."""
        kept: dict[str, list[Answers]] = defaultdict(list)
        names: set[str] = set()
        for name, of_trajectory in by_trajectory(examples).items():
            answers, others = _answers(of_trajectory), kept[of_trajectory[0].task]
            if all(similarity(answers, other) < self.similarity for other in others):
                others.append(answers)
                names.add(name)
        return of_trajectories(examples, names)


def similarity(first: Answers, second: Answers) -> float:
    """Return the similarity of two lists of answers, from 0 to 1; two empty ones are equal."""
    if first == second:
        return 1.0
    row = [0] * (len(second) + 1)  # length of the longest common subsequence with each beginning of `second`
    for answer in first:
        above = row
        row = [0]
        for index, other in enumerate(second):
            row.append(above[index] + 1 if answer == other else max(above[index + 1], row[index]))
    return 2 * row[-1] / (len(first) + len(second))


def _answers(examples: Sequence[Example]) -> Answers:
    return tuple(
        message.content
        for example in examples
        for message in (*example.messages, *example.rejected)
        if message.role == "assistant" and message.weight > 0
    )
