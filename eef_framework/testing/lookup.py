"""A policy that learns a table from messages to answers, and its trainer. A checkpoint is a JSON file."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from eef_framework.interfaces import Policy, ProgressCallback, Sampling, TrainablePolicy, Trainer
from eef_framework.records import Checkpoint, Conversation, Example, Observation, Response, TrainResult
from eef_framework.seeds import derive
from eef_framework.testing.queue_policy import answer, any_action

Table = dict[str, dict[str, float]]
"""Message of the user -> answer -> weight."""


class LookupPolicy(TrainablePolicy):
    """Answers a message as in training, and a new message at random."""

    name: ClassVar[str] = "lookup"

    epsilon: float = Field(default=0.2, ge=0.0, le=1.0)
    """Probability of a random admissible action at temperature 1; proportional to the temperature."""
    template: str = "Action: {action}"
    """Format of a random action."""

    def initial_checkpoint(self, conversations: Iterable[Conversation], output: Path, seed: int) -> Checkpoint:
        """Write an empty table."""
        return Checkpoint.of_json(output, {}, "base")

    def load(self, checkpoint: Checkpoint) -> Policy:
        """Return a policy with the table of a checkpoint."""
        return LoadedLookup(table=checkpoint.read_json(), epsilon=self.epsilon, template=self.template)


class LoadedLookup(Policy):
    """Answers from a table."""

    name: ClassVar[str] = "lookup"

    table: Table
    """What was answered to what."""
    epsilon: float
    """As for `LookupPolicy`."""
    template: str
    """As for `LookupPolicy`."""

    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        """Answer from the table: the answer with the highest weight at temperature 0, else one drawn by weight."""
        draw = random.Random(derive(seed, self.name, conversation[-1].content))
        known = self.table.get(conversation[-1].content)
        if not known or draw.random() < self.epsilon * sampling.temperature:
            return answer(conversation, self.template.format(action=any_action(observation, draw)))
        if sampling.temperature == 0:
            return answer(conversation, max(sorted(known), key=lambda text: known[text]))
        return answer(conversation, draw.choices(list(known), list(known.values()))[0])

    async def score(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, answers: Sequence[Response]
    ) -> Sequence[Response]:
        """Return answers with their log-probabilities; at temperature 0, those of temperature 1."""
        known = self.table.get(conversation[-1].content)
        random_share = self.epsilon * (sampling.temperature or 1.0) if known else 1.0
        at_random = [self.template.format(action=action) for action in observation.actions or ("look",)]

        def logprob(text: str) -> float:
            learned = known.get(text, 0.0) / sum(known.values()) if known else 0.0
            share = (1 - random_share) * learned + random_share * at_random.count(text) / len(at_random)
            return math.log(share) if share > 0 else -math.inf

        return [each.changed(logprob=logprob(each.text)) for each in answers]


class LookupTrainer(Trainer):
    """Adds the weighted turns of its examples to the table."""

    name: ClassVar[str] = "lookup"

    policies: ClassVar[Sequence[type[TrainablePolicy]]] = (LookupPolicy,)

    decay: float = Field(default=1.0, ge=0.0)
    """Factor for the weights learned earlier."""

    def train(
        self, examples: Sequence[Example], start: Checkpoint, output: Path, seed: int, progress: ProgressCallback
    ) -> TrainResult:
        """Learn the turns with a weight above 0. The loss of a step is the mean over the turns of one example."""
        before: Table = start.read_json()
        table = {message: {a: w * self.decay for a, w in known.items()} for message, known in before.items()}
        tokens, losses = 0, []
        for number, example in enumerate(examples, 1):
            loss, learned = _learn(table, example)
            tokens += learned
            losses.append(loss)
            progress(number, len(examples), f"loss {loss:.2f}")
        Checkpoint.of_json(output, table)
        return TrainResult(trained_tokens=tokens, losses=tuple(losses))


def _learn(table: Table, example: Example) -> tuple[float, int]:
    """Add an example to a table.

    Returns:
        Its mean negative log-likelihood before it was learned (probabilities are at least 0.01), and the number of
        its trained words.
    """
    losses, words = [], 0
    for conversation, message in example.turns():
        known = table.setdefault(conversation[-1].content, {})
        share = known.get(message.content, 0.0) / (sum(known.values()) or 1.0)
        losses.append(-math.log(max(share, 0.01)))
        known[message.content] = known.get(message.content, 0.0) + message.weight
        words += len(message.content.split())
    return (sum(losses) / len(losses) if losses else 0.0), words
