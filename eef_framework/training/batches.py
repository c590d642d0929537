"""Which examples are trained on in which step."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

from eef_framework.seeds import derive
from eef_framework.training.collate import Prepared

T = TypeVar("T")


def number_of_steps(examples: int, batch_size: int, epochs: float, steps: int | None) -> int:
    """Return how many optimisation steps there are; `steps`, where given, overrules `epochs`."""
    return steps if steps is not None else max(1, math.ceil(epochs * examples / batch_size))


def batches(examples: Sequence[T], batch_size: int, steps: int, seed: int) -> Iterator[list[T]]:
    """Yield the examples of each step: all examples in random order, again and again, each time in another order.

    A batch may span the end of one round and the start of the next, so that all batches have the same size, and may
    hold an example twice where there are fewer examples than a batch takes.
    """
    waiting: list[T] = []
    round_ = 0
    for _ in range(steps):
        while len(waiting) < batch_size:
            order = list(examples)
            random.Random(derive(seed, "order", round_)).shuffle(order)
            waiting += order
            round_ += 1
        yield waiting[:batch_size]
        del waiting[:batch_size]


def pieces(batch: Sequence[Prepared], max_tokens: int) -> list[list[Prepared]]:
    """Cut a batch into pieces of similar length that fit into memory.

    Args:
        batch: the examples of one step.
        max_tokens: largest piece, padding included. An example that is longer by itself is a piece.
    """
    cut: list[list[Prepared]] = []
    for example in sorted(batch, key=lambda example: (len(example.ids), example.id)):
        if not cut or len(example.ids) * (len(cut[-1]) + 1) > max_tokens:
            cut.append([])
        cut[-1].append(example)
    return cut


def share(cut: Sequence[list[Prepared]], process: int, processes: int) -> list[tuple[list[Prepared], bool]]:
    """Return the pieces of a step that one of several processes works on, and whether each counts.

    All processes get equally many, because they exchange gradients together; where there are too few, one gets a piece
    that doesn't count.

    Args:
        cut: all pieces of the step, at least one.
        process: index of this process.
        processes: how many there are.
    """
    mine = [(piece, True) for piece in cut[process::processes]]
    rounds = math.ceil(len(cut) / processes)
    return mine + [(cut[0], False)] * (rounds - len(mine))
