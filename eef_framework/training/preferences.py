"""Converts pairs of trajectories to tensors, for trainers that learn preferences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from eef_framework.chat.tokens import ChatTokenizer, Encoded
from eef_framework.errors import ConfigError, NothingToTrain
from eef_framework.records import Example
from eef_framework.training.collate import named


class Pair(NamedTuple):
    """A better and a worse attempt at the same task, as tokens. A token's weight is 1 if it is learned, 0 otherwise."""

    id: str
    preferred: Encoded
    rejected: Encoded

    @property
    def longest(self) -> int:
        """Number of tokens of the longer one."""
        return max(len(self.preferred.ids), len(self.rejected.ids))

    @property
    def tokens(self) -> int:
        """Number of tokens of both."""
        return len(self.preferred.ids) + len(self.rejected.ids)


class PairPreparation(NamedTuple):
    """Pairs as tokens, and the pairs that were left out."""

    pairs: list[Pair]
    unpaired: list[str]
    """Ids of examples without a worse attempt."""
    without_loss: list[str]
    """Ids of pairs in which a side has no token to learn."""
    alike: list[str]
    """Ids of pairs with identical sides, token by token: neither is better."""
    over_long: list[str]
    """Ids of pairs with a side that has too many tokens."""


def prepare_pairs(examples: Sequence[Example], chat: ChatTokenizer, max_tokens: int) -> PairPreparation:
    """Convert pairs to tokens and drop those without anything to learn.

    Args:
        examples: the training set.
        chat: the tokenizer of the model that is trained.
        max_tokens: maximum length of a side of a pair. A pair with a longer side is left out as a whole: a truncated
            attempt may no longer be better or worse.

    Raises:
        NothingToTrain: no pair is left.
        ConfigError: a turn has a weight other than 0 or 1, or the model's chat template can't render a side; the
            message has the example's id.
    """
    done = PairPreparation([], [], [], [], [])
    for example in examples:
        if not example.rejected:
            done.unpaired.append(example.id)
            continue
        with named(example.id, "preferred"):
            preferred = chat.encode(example.messages)
        with named(example.id, "rejected"):
            rejected = chat.encode(example.rejected)
        pair = Pair(example.id, preferred, rejected)
        _require_plain_weights(pair)
        if not (any(pair.preferred.weights) and any(pair.rejected.weights)):
            done.without_loss.append(example.id)
        elif pair.preferred == pair.rejected:
            done.alike.append(example.id)
        elif pair.longest > max_tokens:
            done.over_long.append(example.id)
        else:
            done.pairs.append(pair)
    if not done.pairs:
        raise NothingToTrain(
            f"of {len(examples)} examples none is a pair to learn from: {len(done.unpaired)} have no worse attempt, "
            f"{len(done.without_loss)} a side without a turn that has a weight, {len(done.alike)} two sides that are "
            f"the same, {len(done.over_long)} a side longer than {max_tokens} tokens",
            "Select pairs (select.pairs: true), explore more, or raise the trainer's max_tokens.",
            code="no-usable-pairs",
            examples=len(examples),
            unpaired=len(done.unpaired),
            without_loss=len(done.without_loss),
            alike=len(done.alike),
            over_long=len(done.over_long),
        )
    return done


def _require_plain_weights(pair: Pair) -> None:
    other = {*pair.preferred.weights, *pair.rejected.weights} - {0.0, 1.0}
    if other:
        raise ConfigError(
            f"a turn of the pair {pair.id!r} has the weight {min(other)}; preferences are learned from whole turns or "
            "not at all (1 or 0)",
            "Leave out the filter that changes weights.",
            code="weight-of-pair",
            id=pair.id,
            weight=min(other),
        )


class PairCollator:
    """Pads pairs to equal length: the collator for trl's DPOTrainer.

    Args:
        pairs: all pairs; a row of the trainer's data set is an index into them.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._pairs = pairs

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return tensors `(2 * pairs, longest)`: the preferred sides in order, then the rejected ones.

        They are padded on the right, which causal attention never sees.
        """
        import torch

        pairs = [self._pairs[row["place"]] for row in rows]
        sides = [pair.preferred for pair in pairs] + [pair.rejected for pair in pairs]
        longest = max(pair.longest for pair in pairs)

        def padded(lists: list[list[int]]) -> Any:
            return torch.tensor([each + [0] * (longest - len(each)) for each in lists])

        return {
            "input_ids": padded([side.ids for side in sides]),
            "attention_mask": padded([[1] * len(side.ids) for side in sides]),
            "completion_mask": padded([[int(weight) for weight in side.weights] for side in sides]),
        }
