"""Converts examples to tensors. Preparation selects what is learned; collation only arranges it in rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.errors import EefError, NothingToTrain
from eef_framework.records import Example


class Prepared(NamedTuple):
    """An example as tokens."""

    id: str
    ids: list[int]
    places: list[int]
    """Positions in `ids` of the tokens to learn, in order."""
    weights: list[float]
    """Their weights in the loss, all above 0."""


class Preparation(NamedTuple):
    """A training set as tokens, and the examples that were left out."""

    examples: list[Prepared]
    over_long: list[str]
    """Ids of examples that were left out because they have too many tokens."""
    cut: list[str]
    """Ids of examples that were truncated after the last turn that fits."""
    without_loss: list[str]
    """Ids of examples without a token to learn."""
    drifted: list[str]
    """Ids of examples with turns known only as text, and with tokens that differ, turn by turn, from those of the
    complete text. They are learned turn by turn, as the agent would see them."""


class Batch(NamedTuple):
    """Examples in rows of equal length: padded, or several packed in one row."""

    ids: Any
    """Token ids, `(rows, longest)`, padded on the right, where causal attention never looks."""
    shown: Any
    """Positions that predict a token to learn in any row, `(positions,)`, ascending."""
    rows: Any
    """For each token to learn, its row, `(learned,)`."""
    columns: Any
    """For each token to learn, the index of the shown position that predicts it, `(learned,)`."""
    labels: Any
    """The tokens to learn, `(learned,)`."""
    weights: Any
    """Their weights, `(learned,)`."""
    positions: Any = None
    """If several examples share a row, the position of each token within its example, `(rows, longest)`."""


def prepare(
    examples: Sequence[Example], chat: ChatTokenizer, max_tokens: int, over_long: Literal["drop", "cut"] = "drop"
) -> Preparation:
    """Convert examples to tokens and drop those without anything to learn.

    Args:
        examples: the training set.
        chat: the tokenizer of the model that is trained.
        max_tokens: maximum length of an example.
        over_long: whether longer ones are left out, or truncated after the last turn that fits. The rest of a
            conversation is learned as it would be in the whole, since later turns never affect earlier ones.

    Raises:
        NothingToTrain: no example is left.
        ConfigError: the model's chat template can't render an example; the message has its id.
    """
    done = Preparation([], [], [], [], [])
    for example in examples:
        with named(example.id):
            ids, weights = chat.encode(example.messages)
        if not any(weights):
            done.without_loss.append(example.id)
            continue
        end = len(ids) if len(ids) <= max_tokens else 0 if over_long == "drop" else _last_end(weights, max_tokens)
        places = [place for place, weight in enumerate(weights[:end]) if weight > 0]
        if not places:
            done.over_long.append(example.id)
            continue
        if _text_only(example) and chat.differs_from_full_tokenization(example.messages, ids):
            done.drifted.append(example.id)
        if end < len(ids):
            done.cut.append(example.id)
        done.examples.append(Prepared(example.id, ids[:end], places, [weights[place] for place in places]))
    if not done.examples:
        raise NothingToTrain(
            f"of {len(examples)} examples none can be trained on: {len(done.without_loss)} have no turn with a weight, "
            f"{len(done.over_long)} are longer than {max_tokens} tokens",
            "Collect more, choose other selection rules, or raise the trainer's max_tokens.",
            examples=len(examples),
            without_loss=len(done.without_loss),
            over_long=len(done.over_long),
            max_tokens=max_tokens,
        )
    return done


@contextmanager
def named(example: str, side: str = "") -> Iterator[None]:
    """Add the example's id to an error, and the side of a pair."""
    try:
        yield
    except EefError as error:
        error.message = f"{f'{side} side of ' if side else ''}example {example!r}: {error.message}"
        error.details |= {"id": example} | ({"side": side} if side else {})
        raise


def _text_only(example: Example) -> bool:
    return all(message.token_ids is None for message in example.messages)


def _last_end(weights: Sequence[float], room: int) -> int:
    """Return the end of the last learned turn that fits; 0 if none does."""
    return max((place for place in range(1, room + 1) if weights[place - 1] > 0 >= weights[place]), default=0)


def collate(examples: Sequence[Prepared], pad: int = 0) -> Batch:
    """Pad examples to the length of the longest one.

    Args:
        examples: at least one.
        pad: any token, used for padding.
    """
    import torch

    # A token is predicted at the position before it, so anything after the last of these is useless.
    inputs = [example.ids[: example.places[-1]] for example in examples]
    longest = max(map(len, inputs))
    before = [[place - 1 for place in example.places] for example in examples]
    shown = sorted({place for places in before for place in places})
    column = {place: index for index, place in enumerate(shown)}
    return Batch(
        ids=torch.tensor([ids + [pad] * (longest - len(ids)) for ids in inputs]),
        shown=torch.tensor(shown),
        rows=torch.tensor([row for row, places in enumerate(before) for _ in places]),
        columns=torch.tensor([column[place] for places in before for place in places]),
        labels=torch.tensor([example.ids[place] for example in examples for place in example.places]),
        weights=torch.tensor([weight for example in examples for weight in example.weights]),
    )
