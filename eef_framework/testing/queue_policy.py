"""Policies that answer without a model."""

from __future__ import annotations

import random
from typing import ClassVar

from pydantic import Field, PrivateAttr

from eef_framework.errors import PolicyFailure
from eef_framework.interfaces import Policy, Sampling
from eef_framework.records import Conversation, Observation, Response
from eef_framework.seeds import derive
from eef_framework.testing.corridor import best_action


class QueuePolicy(Policy):
    """Gives prepared answers in order, regardless of the conversation. For one episode at a time."""

    name: ClassVar[str] = "queue"

    answers: tuple[str, ...] = ()
    """Its answers in order, each a whole turn."""

    _asked: list[Conversation] = PrivateAttr(default_factory=list)

    @property
    def asked(self) -> list[Conversation]:
        """The conversations it was given, in order."""
        return self._asked

    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        """Give the next answer.

        Raises:
            PolicyFailure: the answers are used up.
        """
        if len(self._asked) >= len(self.answers):
            count = len(self.answers)
            raise PolicyFailure(
                f"all {count} answers of the queue are used", "Add more answers.", code="queue-empty", answers=count
            )
        self._asked.append(conversation)
        return answer(conversation, self.answers[len(self._asked) - 1])


class ScriptedPolicy(Policy):
    """Answers by a rule, a function of observation and seed. To use another rule, override `choose`."""

    name: ClassVar[str] = "scripted"

    skill: float = Field(default=0.5, ge=0.0, le=1.0)
    """Probability of the right action in the corridor; otherwise it takes a random admissible action."""
    template: str = "Action: {action}"
    """Format of an answer."""

    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        """Answer by the rule."""
        draw = random.Random(derive(seed, self.name, observation.text))
        return answer(conversation, self.template.format(action=self.choose(observation, draw)))

    def choose(self, observation: Observation, draw: random.Random) -> str:
        """Return the action for a state.

        Args:
            observation: the current observation.
            draw: random generator, seeded by seed and observation.
        """
        if draw.random() < self.skill:
            return best_action(observation.text)
        return any_action(observation, draw)


def any_action(observation: Observation, draw: random.Random) -> str:
    """Return a random admissible action, or `look` if none is known."""
    return draw.choice(observation.actions or ("look",))


def answer(conversation: Conversation, text: str) -> Response:
    """Return a response with its cost. Each word counts as a token."""
    prompt = sum(len(message.content.split()) for message in conversation)
    return Response(text=text, prompt_tokens=prompt, computed_tokens=prompt + len(text.split()))
