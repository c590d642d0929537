"""Assigns examples to optimisation steps, micro-batches and processes."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

from eef_framework.seeds import derive
from eef_framework.training.collate import TokenizedExample

T = TypeVar("T")


def number_of_steps(examples: int, batch_size: int, epochs: float, steps: int | None) -> int:
    """Return the number of optimisation steps; `steps`, if given, overrides `epochs`."""
    return steps if steps is not None else max(1, math.ceil(epochs * examples / batch_size))


def shuffled_batches(examples: Sequence[T], batch_size: int, steps: int, seed: int) -> Iterator[list[T]]:
    """Yield the examples of each step: all examples in random order, repeatedly, each epoch in another order.

    A batch may span the end of one epoch and the start of the next, so that all batches have the same size, and may
    contain an example twice if there are fewer examples than the batch size.
    """
    queue: list[T] = []
    epoch = 0
    for _ in range(steps):
        while len(queue) < batch_size:
            order = list(examples)
            random.Random(derive(seed, "order", epoch)).shuffle(order)
            queue += order
            epoch += 1
        yield queue[:batch_size]
        del queue[:batch_size]


def micro_batches(batch: Sequence[TokenizedExample], max_tokens: int) -> list[list[TokenizedExample]]:
    """Split a batch into micro-batches of similar length that fit into memory.

    Args:
        batch: the examples of one step.
        max_tokens: maximum size of a micro-batch (batch * seq), padding included. A longer example forms its own one.
    """
    found: list[list[TokenizedExample]] = []
    for example in sorted(batch, key=lambda example: (len(example.token_ids), example.id)):
        if not found or len(example.token_ids) * (len(found[-1]) + 1) > max_tokens:
            found.append([])
        found[-1].append(example)
    return found


def share(
    micro_batches: Sequence[list[TokenizedExample]], process: int, processes: int
) -> list[tuple[list[TokenizedExample], bool]]:
    """Return the micro-batches of a step for one of several processes, and whether each counts.

    All processes get the same number, because they exchange gradients together; if there are too few, a process gets
    one that doesn't count.

    Args:
        micro_batches: all micro-batches of the step, at least one.
        process: index of this process.
        processes: number of processes.
    """
    own = [(micro_batch, True) for micro_batch in micro_batches[process::processes]]
    per_process = math.ceil(len(micro_batches) / processes)
    return own + [(micro_batches[0], False)] * (per_process - len(own))
