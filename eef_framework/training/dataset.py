"""Tokenizes examples for training: token ids, loss weights, and batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.errors import ConfigError, EefError, NothingToTrain
from eef_framework.models.finding import find_model
from eef_framework.policies.loading import load_tokenizer
from eef_framework.records import Checkpoint, Example
from eef_framework.training.batches import number_of_steps, shuffled_batches
from eef_framework.training.collate import TokenizedExample, TrainingBatch, collate


@dataclass
class TokenizedDataset:
    """Examples as tokens with loss weights, and the ids of the examples that were left out.

    The tokens of a turn are those that the policy sampled, if they are known; observations have no loss. The trainer
    `sft` uses this class, too.

    Attributes:
        examples: the examples to train on; each has a token to learn.
        over_long: ids of examples that were left out because they have too many tokens.
        truncated: ids of examples that were truncated after the last turn that fits.
        without_loss: ids of examples that were left out because they have no token to learn.
        differently_tokenized: ids of examples whose turns are known only as text, and whose tokens differ, turn by
            turn, from those of the complete text. They are learned turn by turn, as the agent would see them.
    """

    examples: list[TokenizedExample] = field(default_factory=list)
    over_long: list[str] = field(default_factory=list)
    truncated: list[str] = field(default_factory=list)
    without_loss: list[str] = field(default_factory=list)
    differently_tokenized: list[str] = field(default_factory=list)

    @classmethod
    def from_examples(
        cls,
        examples: Sequence[Example],
        tokenizer: Any,
        max_tokens: int = 4096,
        over_long: Literal["drop", "cut"] = "drop",
        trust_remote_code: bool = False,
    ) -> Self:
        """Tokenize examples, and leave out those without anything to learn.

        Args:
            examples: the training examples.
            tokenizer: a checkpoint, the folder or name of a model, or a tokenizer of transformers with a chat template.
            max_tokens: maximum length of an example.
            over_long: whether longer ones are left out, or truncated after the last turn that fits. The rest of a
                conversation is learned as it would be in the whole, since later turns never affect earlier ones.
            trust_remote_code: whether Python code that comes with the tokenizer may run.

        Raises:
            NothingToTrain: no example is left.
            ConfigError: the model's chat template can't render an example; the message has its id.
        """
        chat, data = _chat_tokenizer(tokenizer, trust_remote_code), cls()
        for example in examples:
            with example_named(example.id):
                token_ids, loss_weights = chat.encode(example.messages)
            end = len(token_ids)
            if end > max_tokens:
                end = 0 if over_long == "drop" else _end_of_last_turn(loss_weights, max_tokens)
            tokenized = TokenizedExample(example.id, token_ids[:end], loss_weights[:end])
            if not any(loss_weights):
                data.without_loss.append(example.id)
                continue
            if not tokenized.target_positions:
                data.over_long.append(example.id)
                continue
            if _has_text_only(example) and chat.differs_from_full_tokenization(example.messages, token_ids):
                data.differently_tokenized.append(example.id)
            if end < len(token_ids):
                data.truncated.append(example.id)
            data.examples.append(tokenized)
        if not data.examples:
            raise NothingToTrain(
                f"of {len(examples)} examples none can be trained on: {len(data.without_loss)} have no turn with a "
                f"weight, {len(data.over_long)} are longer than {max_tokens} tokens",
                "Collect more, choose other selection rules, or raise the trainer's max_tokens.",
                examples=len(examples),
                without_loss=len(data.without_loss),
                over_long=len(data.over_long),
                max_tokens=max_tokens,
            )
        return data

    def batches(
        self, batch_size: int, seed: int, *, epochs: float = 1.0, steps: int | None = None
    ) -> Iterator[TrainingBatch]:
        """Return the batch of each step: all examples in random order, repeatedly, each epoch in another order.

        Args:
            batch_size: examples per step.
            seed: for the order of examples.
            epochs: number of passes over the examples.
            steps: number of steps; overrides `epochs`.

        Raises:
            NothingToTrain: there is no example.
            ConfigError: the batch size is below 1 (`batch-size`).
        """
        if not self.examples:
            raise NothingToTrain("the data set has no examples", examples=0)
        if batch_size < 1:
            raise ConfigError(
                f"batch_size is {batch_size!r}", "Give 1 or more.", code="batch-size", batch_size=batch_size
            )
        number = number_of_steps(len(self.examples), batch_size, epochs, steps)
        return map(collate, shuffled_batches(self.examples, batch_size, number, seed))

    def summary(self) -> dict[str, Any]:
        """Return counts of the examples, and the ids of those that were left out or changed; it can be JSON."""
        return {
            "examples": len(self.examples),
            "tokens": sum(len(example.token_ids) for example in self.examples),
            "tokens_with_loss": sum(len(example.target_positions) for example in self.examples),
            "over_long": self.over_long,
            "truncated": self.truncated,
            "without_loss": self.without_loss,
            "differently_tokenized": self.differently_tokenized,
        }


@contextmanager
def example_named(id_: str, side: str = "") -> Iterator[None]:
    """Add an example's id to an error, and the side of a pair."""
    try:
        yield
    except EefError as error:
        error.message = f"{f'{side} side of ' if side else ''}example {id_!r}: {error.message}"
        error.details |= {"id": id_} | ({"side": side} if side else {})
        raise


def _chat_tokenizer(tokenizer: Any, trust_remote_code: bool) -> ChatTokenizer:
    if isinstance(tokenizer, ChatTokenizer):
        return tokenizer
    if isinstance(tokenizer, str | Path):
        tokenizer = load_tokenizer(find_model(str(tokenizer), trust_remote_code), trust_remote_code)
    elif isinstance(tokenizer, Checkpoint):
        tokenizer = load_tokenizer(tokenizer.path, trust_remote_code)
    return ChatTokenizer(tokenizer)


def _has_text_only(example: Example) -> bool:
    return all(message.token_ids is None for message in example.messages)


def _end_of_last_turn(loss_weights: Sequence[float], max_tokens: int) -> int:
    """Return the exclusive end index of the last learned turn that fits; 0 if none does."""
    ends = (end for end in range(1, max_tokens + 1) if loss_weights[end - 1] > 0 >= loss_weights[end])
    return max(ends, default=0)
