"""Checks that a server answers with the weights of a checkpoint, by the log-probabilities of a few known tokens.

A server computes in another precision and with other kernels than the trainer, so equal weights give different
log-probabilities, and the differences overlap with those between two checkpoints. But how far they have moved from one
checkpoint's to the other's can be told, best at tokens where the two differ most.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from eef_framework.errors import PolicyFailure
from eef_framework.records import Conversation, Message

ANSWER_TOKENS = 8
"""Length of the known answers, in tokens."""
MAX_MEDIAN = 0.5
"""Largest median difference between the log-probabilities of server and trainer, unless the weights differ by more."""
MIN_MOVED = 0.25
"""How far served log-probabilities have to have moved from the former weights (0) to the wanted ones (1). Adapters in
bfloat16 move them less far than merged weights in float32. Measured with SmolLM2-135M and vLLM 0.32: 0.87 and 0.60 with
the wanted weights served, for weights that are 0.57 and 0.15 apart; 0.02 and -0.01 with the former ones."""
ALIKE = 0.1
"""If the log-probabilities of two checkpoints differ by less, in the median, they can't be told apart."""

_PLACES = (
    "You are in the kitchen. There is an open fridge, a table and a closed wooden door to the east.",
    "Results for 'running shoes': item 1, trail shoes, $42.50; item 2, road shoes, $39.00. [next >] [back to search]",
    "You are in a corridor with a locked chest and a lamp. You carry: an iron key.",
    "The beaker contains water at 20 degrees. There is a stove, which is off, and a thermometer.",
    "Inventory: a red apple, a knife. Exits: north, south. A note is pinned to the wall.",
    "Search page. Instruction: find a blue cotton shirt, size large, cheaper than 30 dollars.",
)
_REQUESTS = (
    "What is your next action?",
    "Your goal is to finish the task. Answer with one action.",
    "Answer with Thought: and Action:.",
    "Available actions: go east, open door, take key, look, search[...], click[...]. Choose one.",
)


class KnownToken(NamedTuple):
    """A token whose log-probability is known.

    Attributes:
        prefix: the tokens before it: a prompt, and the beginning of its answer.
        token: the token.
        wanted: its log-probability with the weights that should be served.
        before: the same with the weights that were served before; None if there were none.
    """

    prefix: tuple[int, ...]
    token: int
    wanted: float
    before: float | None


class Comparison(NamedTuple):
    """How the served log-probabilities compare with the known ones."""

    tokens: int
    median: float
    """Median absolute difference to the wanted weights."""
    apart: float | None
    """Median absolute difference between the two weights; None if there is only one."""
    moved: float | None
    """How far they are on the way from the weights before (0) to the wanted ones (1); None if there is only one."""

    @property
    def decidable(self) -> bool:
        """Whether the two weights can be told apart."""
        return self.apart is not None and self.apart >= ALIKE

    @property
    def right(self) -> bool:
        """Whether the wanted weights are served, as far as can be told."""
        near = self.median <= max(MAX_MEDIAN, (self.apart or 0.0) / 2)  # another model is near to neither
        return near and (not self.decidable or (self.moved or 0.0) >= MIN_MOVED)


def conversations(count: int) -> list[Conversation]:
    """Return prompts such as those of agents' tasks."""
    texts = [f"{place}\n{request}" for request, place in itertools.product(_REQUESTS, _PLACES)]
    chosen = itertools.islice(itertools.cycle(texts), count)
    return [(Message(role="user", content=text),) for text in chosen]


def known_token(
    prompt: tuple[int, ...], answer: Sequence[int], wanted: Sequence[float], before: Sequence[float] | None
) -> KnownToken:
    """Return the token of an answer that tells two weights apart best.

    Args:
        prompt: tokens of the prompt.
        answer: tokens of the answer.
        wanted: log-probability of each with the weights that should be served.
        before: the same with the weights that were served before; None if there were none.
    """
    gaps = [0.0] * len(answer) if before is None else [abs(a - b) for a, b in zip(wanted, before, strict=True)]
    place = gaps.index(max(gaps))
    former = None if before is None else before[place]
    return KnownToken((*prompt, *answer[:place]), answer[place], wanted[place], former)


def compare(known: Sequence[KnownToken], served: Sequence[float]) -> Comparison:
    """Compare served log-probabilities with the known ones."""
    gaps = [abs(found - each.wanted) for each, found in zip(known, served, strict=True)]
    pairs = [
        (each.wanted - each.before, found - each.before)
        for each, found in zip(known, served, strict=True)
        if each.before is not None
    ]
    length = sum(abs(way) for way, _ in pairs)
    return Comparison(
        len(known),
        statistics.median(gaps),
        apart=statistics.median(abs(way) for way, _ in pairs) if pairs else None,
        moved=sum(math.copysign(1.0, way) * gone for way, gone in pairs) / length if length else None,
    )


def require_right(comparison: Comparison, url: str, name: str) -> None:
    """Check the result of a comparison.

    Raises:
        PolicyFailure: other weights are served (`wrong-weights`).
    """
    if comparison.right:
        return
    if comparison.decidable and comparison.moved is not None and comparison.moved < MIN_MOVED:
        why = f"those of {comparison.tokens} known tokens have moved by {comparison.moved:.0%} of the way to them"
    else:
        why = f"log-probabilities differ by {comparison.median:.2f} (median) from those of the weights"
    raise PolicyFailure(
        f"the server at {url} doesn't answer with the weights of {name!r}: {why}",
        "Restart the server, and run the command again to continue. Answers up to the last load were checked.",
        code="wrong-weights",
        base_url=url,
        model=name,
        moved=comparison.moved,
        tokens=comparison.tokens,
        median=round(comparison.median, 4),
    )
