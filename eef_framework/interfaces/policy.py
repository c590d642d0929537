"""Policy: answers conversations. TrainablePolicy: loads one from a checkpoint."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ConfigDict, Field

from eef_framework.errors import PolicyFailure
from eef_framework.interfaces.component import Component
from eef_framework.records import Checkpoint, Conversation, Observation, Record, Response


class Sampling(Record):
    """How a turn is sampled."""

    temperature: float = Field(default=1.0, ge=0.0)
    """0 takes the most likely token; 1 samples from the model's distribution."""
    max_tokens: int = Field(default=64, gt=0)
    """Maximum length of an answer, in tokens."""
    constrain: bool = False
    """Allow only admissible actions where the observation lists them."""


class Policy(Component):
    """Policy: answers conversations. A model with its weights, a model on a server, a person, a script.

    Implementations must guarantee that an answer depends only on the arguments, never on concurrent requests. Batching
    is up to the policy; callers simply await many answers at once. Fields may be of any type, such as a loaded model.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    @abstractmethod
    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        """Answer the last message.

        Args:
            conversation: ends with a user message.
            observation: the state the answer is for, with the admissible actions if they are known.
            sampling: how to sample.
            seed: determines the sample, together with the other arguments.

        Returns:
            The turn. The caller, which knows the format of answers, fills in `thought` and `parsed`.

        Raises:
            AnswerFailure: this answer is lost, but later ones may succeed; the episode is recorded as an error. The
                details `computed_tokens` and `usd` are added to its costs.
            PolicyFailure: no request can be answered; the run stops, and can be resumed.
        """

    async def score(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, answers: Sequence[Response]
    ) -> Sequence[Response]:
        """Return possible answers to the last message with their log-probabilities. Optional.

        The log-probability of an answer is the one that `act` reports when it samples this answer. Its last digits may
        depend on concurrent requests.

        Args:
            conversation: as for `act`.
            observation: as for `act`.
            sampling: as for `act`. The limit of tokens has no effect on answers that exceed it.
            answers: what to score. If an answer has tokens of this policy's tokenizer, these are scored; otherwise the
                usual tokens of its text, stop token included.

        Returns:
            The answers in the same order, with `logprob`, `logprobs` and the costs of this request. The log-probability
            of an answer that can't be sampled is minus infinity.

        Raises:
            PolicyFailure: the policy has no log-probabilities of given answers (`scoring-unsupported`), or it failed.
        """
        name = self.component_name()
        raise PolicyFailure(
            f"policy {name!r} has no log-probabilities of given answers",
            "Use a policy that has them, such as `transformers`, or another attributor.",
            code="scoring-unsupported",
            policy=name,
        )


class TrainablePolicy(Component):
    """Trainable policy: settings of a model whose weights are in checkpoints. It answers once it is loaded."""

    @abstractmethod
    def initial_checkpoint(self, conversations: Iterable[Conversation], output: Path, seed: int) -> Checkpoint:
        """Create or find the model that training starts from.

        Args:
            conversations: the expert's demonstrations, for models that get their vocabulary from them.
            output: folder to write to, if the model is created here.
            seed: for the initial weights, if they are random.
        """

    @abstractmethod
    def load(self, checkpoint: Checkpoint) -> Policy:
        """Return a policy that answers with the weights of a checkpoint. The caller closes it.

        Several may be loaded at once, also from one checkpoint.
        """
