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
    """Gives prepared answers in order, whatever it is asked: for one episode at a time."""

    name: ClassVar[str] = "queue"

    answers: tuple[str, ...] = ()
    """What it says, whole turns in order."""

    _asked: list[Conversation] = PrivateAttr(default_factory=list)

    @property
    def asked(self) -> list[Conversation]:
        """The conversations it was asked to continue, in order."""
        return self._asked

    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        """Give the next answer.

        Raises:
            PolicyFailure: the answers are used up.
        """
        if len(self._asked) >= len(self.answers):
            raise PolicyFailure(f"the queue's {len(self.answers)} answers are used up", "Queue as many as it takes.")
        self._asked.append(conversation)
        return answer(conversation, self.answers[len(self._asked) - 1])


class ScriptedPolicy(Policy):
    """Answers by a rule: a function of observation and seed. Subclass it and write `choose` for another rule."""

    name: ClassVar[str] = "scripted"

    skill: float = Field(default=0.5, ge=0.0, le=1.0)
    """Chance of the right action in the corridor; otherwise any admissible action is taken."""
    template: str = "Action: {action}"
    """How an action is worded."""

    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        """Answer by the rule."""
        draw = random.Random(derive(seed, self.name, observation.text))
        return answer(conversation, self.template.format(action=self.choose(observation, draw)))

    def choose(self, observation: Observation, draw: random.Random) -> str:
        """Return the action for a state.

        Args:
            observation: what is seen.
            draw: for choices at random; depends on the seed and the observation only.
        """
        if draw.random() < self.skill:
            return best_action(observation.text)
        return any_action(observation, draw)


def any_action(observation: Observation, draw: random.Random) -> str:
    """Return an admissible action at random (`look` where none is known)."""
    return draw.choice(observation.actions or ("look",))


def answer(conversation: Conversation, text: str) -> Response:
    """Return a turn with its cost, a word being a token."""
    prompt = sum(len(message.content.split()) for message in conversation)
    return Response(text=text, prompt_tokens=prompt, computed_tokens=prompt + len(text.split()))
