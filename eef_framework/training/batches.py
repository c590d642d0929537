"""Batches: assigns examples to training steps."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

from eef_framework.seeds import derive
from eef_framework.training.collate import Prepared

T = TypeVar("T")


def number_of_steps(examples: int, batch_size: int, epochs: float, steps: int | None) -> int:
    """Return the number of optimisation steps; `steps`, if given, overrides `epochs`."""
    return steps if steps is not None else max(1, math.ceil(epochs * examples / batch_size))


def batches(examples: Sequence[T], batch_size: int, steps: int, seed: int) -> Iterator[list[T]]:
    """Yield the examples of each step: all examples in random order, repeatedly, each epoch in another order.

    A batch may span the end of one epoch and the start of the next, so that all batches have the same size, and may
    contain an example twice if there are fewer examples than the batch size.
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


def micro_batches(batch: Sequence[Prepared], max_tokens: int) -> list[list[Prepared]]:
    """Split a batch into micro-batches of similar length that fit into memory.

    Args:
        batch: the examples of one step.
        max_tokens: maximum size of a micro-batch, padding included. A longer example forms its own micro-batch.
    """
    cut: list[list[Prepared]] = []
    for example in sorted(batch, key=lambda example: (len(example.ids), example.id)):
        if not cut or len(example.ids) * (len(cut[-1]) + 1) > max_tokens:
            cut.append([])
        cut[-1].append(example)
    return cut


def share(cut: Sequence[list[Prepared]], process: int, processes: int) -> list[tuple[list[Prepared], bool]]:
    """Return the micro-batches of a step for one of several processes, and whether each counts.

    All processes get the same number, because they exchange gradients together; if there are too few, a process gets
    one that doesn't count.

    Args:
        cut: all micro-batches of the step, at least one.
        process: index of this process.
        processes: number of processes.
    """
    mine = [(piece, True) for piece in cut[process::processes]]
    rounds = math.ceil(len(cut) / processes)
    return mine + [(cut[0], False)] * (rounds - len(mine))
