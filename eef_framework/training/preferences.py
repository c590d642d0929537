"""Tokenizes pairs of trajectories, for trainers that learn preferences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from eef_framework.chat.tokens import ChatTokenizer, TokenizedConversation
from eef_framework.errors import ConfigError, NothingToTrain
from eef_framework.records import Example
from eef_framework.training.dataset import example_named


class TokenizedPair(NamedTuple):
    """A better and a worse attempt at the same task, as tokens. A token's weight is 1 if it is learned, 0 otherwise."""

    id: str
    preferred: TokenizedConversation
    rejected: TokenizedConversation

    @property
    def longest(self) -> int:
        """Number of tokens of the longer one."""
        return max(len(self.preferred.token_ids), len(self.rejected.token_ids))

    @property
    def tokens(self) -> int:
        """Number of tokens of both."""
        return len(self.preferred.token_ids) + len(self.rejected.token_ids)


class TokenizedPairs(NamedTuple):
    """Pairs as tokens, and the pairs that were left out."""

    pairs: list[TokenizedPair]
    unpaired: list[str]
    """Ids of examples without a worse attempt."""
    without_loss: list[str]
    """Ids of pairs in which a side has no token to learn."""
    alike: list[str]
    """Ids of pairs with identical sides, token by token: neither is better."""
    over_long: list[str]
    """Ids of pairs with a side that has too many tokens."""


def tokenize_pairs(examples: Sequence[Example], chat: ChatTokenizer, max_tokens: int) -> TokenizedPairs:
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
    found = TokenizedPairs([], [], [], [], [])
    for example in examples:
        if not example.rejected:
            found.unpaired.append(example.id)
            continue
        with example_named(example.id, "preferred"):
            preferred = chat.encode(example.messages)
        with example_named(example.id, "rejected"):
            rejected = chat.encode(example.rejected)
        pair = TokenizedPair(example.id, preferred, rejected)
        _require_weights_of_0_or_1(pair)
        if not (any(pair.preferred.loss_weights) and any(pair.rejected.loss_weights)):
            found.without_loss.append(example.id)
        elif pair.preferred == pair.rejected:
            found.alike.append(example.id)
        elif pair.longest > max_tokens:
            found.over_long.append(example.id)
        else:
            found.pairs.append(pair)
    if not found.pairs:
        raise NothingToTrain(
            f"of {len(examples)} examples none is a pair to learn from: {len(found.unpaired)} have no worse attempt, "
            f"{len(found.without_loss)} a side without a turn that has a weight, {len(found.alike)} two sides that are "
            f"the same, {len(found.over_long)} a side longer than {max_tokens} tokens",
            "Select pairs (select.pairs: true), explore more, or raise the trainer's max_tokens.",
            code="no-usable-pairs",
            examples=len(examples),
            unpaired=len(found.unpaired),
            without_loss=len(found.without_loss),
            alike=len(found.alike),
            over_long=len(found.over_long),
        )
    return found


def _require_weights_of_0_or_1(pair: TokenizedPair) -> None:
    other = {*pair.preferred.loss_weights, *pair.rejected.loss_weights} - {0.0, 1.0}
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

    def __init__(self, pairs: Sequence[TokenizedPair]) -> None:
        self._pairs = pairs

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return tensors `(2 * pairs, seq)`: the preferred sides in order, then the rejected ones.

        They are padded on the right, where causal attention doesn't look.
        """
        import torch

        pairs = [self._pairs[row["index"]] for row in rows]
        sides = [pair.preferred for pair in pairs] + [pair.rejected for pair in pairs]
        longest = max(pair.longest for pair in pairs)

        def padded(rows: list[list[int]]) -> Any:
            return torch.tensor([row + [0] * (longest - len(row)) for row in rows])  # (2 * pairs, seq)

        return {
            "input_ids": padded([side.token_ids for side in sides]),
            "attention_mask": padded([[1] * len(side.token_ids) for side in sides]),
            "completion_mask": padded([[int(weight) for weight in side.loss_weights] for side in sides]),
        }
