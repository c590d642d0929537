"""Whoever answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from pydantic import Field

from eef_framework.interfaces.component import Component
from eef_framework.records import Checkpoint, Conversation, Observation, Record, Response


class Sampling(Record):
    """How a turn is sampled."""

    temperature: float = Field(default=1.0, ge=0.0)
    """0 takes the likeliest token; 1 samples from the model's distribution."""
    max_tokens: int = Field(default=64, gt=0)
    """Longest answer, in tokens."""
    constrain: bool = False
    """Allow only admissible actions, in states whose observation lists them."""


class Policy(Component):
    """The agent under training, or anything else that answers: a server, a person, a script.

    What an implementer owes: an answer depends on the arguments only, never on what else is waiting. How questions
    are batched is the policy's own affair; callers simply await many answers at once.
    """

    @abstractmethod
    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        """Answer the last message.

        Args:
            conversation: ends with a user's message.
            observation: the state the answer is for, with the admissible actions where they are known.
            sampling: how to sample.
            seed: determines the sample together with the other arguments.

        Returns:
            The turn. `thought` and `parsed` are filled in by the caller, who knows the format of answers.

        Raises:
            AnswerFailure: this answer is lost, the next may come; the episode is recorded as an error. Details named
                `computed_tokens` and `usd` are counted among its costs.
            PolicyFailure: no answer will come, whoever asks; the run stops, and can be resumed.
        """


class TrainablePolicy(Policy):
    """A policy whose weights come from a checkpoint."""

    @abstractmethod
    def base(self, conversations: Iterable[Conversation], output: Path, seed: int) -> Checkpoint:
        """Make or find the model that training starts from.

        Args:
            conversations: the expert's demonstrations, for models that get their vocabulary from them.
            output: folder to write to, where the model is made here.
            seed: for the initial weights, where they are drawn here.
        """

    @abstractmethod
    def load(self, checkpoint: Checkpoint) -> Self:
        """Return a policy that answers with the weights of a checkpoint."""
