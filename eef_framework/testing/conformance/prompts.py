"""Prompts for the checks of policies."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from eef_framework.chat.format import ChatFormat
from eef_framework.errors import PolicyFailure, awaitable
from eef_framework.event_loop import run_coroutine
from eef_framework.interfaces import Policy, Sampling
from eef_framework.records import Conversation, Observation, Response
from eef_framework.testing.conformance.examples import demonstrations
from eef_framework.testing.conformance.violation import quoted


@dataclass(frozen=True)
class Prompt:
    """The arguments of `Policy.act`."""

    conversation: Conversation
    observation: Observation
    sampling: Sampling
    seed: int

    def __str__(self) -> str:
        where = f"{quoted(self.conversation[-1].content)}, temperature {self.sampling.temperature:g}, seed {self.seed}"
        return f"{where}{', constrained' if self.sampling.constrain else ''}"

    def sampled(self, **sampling: float) -> Prompt:
        """Return the same prompt with other sampling settings."""
        return replace(self, sampling=self.sampling.changed(**sampling))

    def seeded(self, seed: int) -> Prompt:
        """Return the same prompt with another seed."""
        return replace(self, seed=seed)


def prompts(seed: int = 0) -> list[Prompt]:
    """Return prompts of different lengths, half of them at temperature 0 and half at 1."""
    found: list[Prompt] = []
    for trajectory in demonstrations(3):
        for state in range(len(trajectory.steps)):
            conversation = ChatFormat(style="action").conversation("", trajectory.initial, trajectory.steps[:state])
            sampling = Sampling(temperature=len(found) % 2, max_tokens=8)
            found.append(Prompt(conversation, trajectory.observation(state), sampling, seed + len(found)))
    return found


def ask(policy: Policy, asked: Sequence[Prompt]) -> list[Response]:
    """Send all prompts at once, and return the answers in order."""

    async def gather() -> list[Response]:
        answers = (policy.act(each.conversation, each.observation, each.sampling, each.seed) for each in asked)
        return await asyncio.gather(*(awaitable(each, policy, "act", PolicyFailure) for each in answers))

    return run_coroutine(gather())


def content_of(response: Response) -> tuple[str, tuple[int, ...] | None]:
    """Return the content of an answer, without its cost, which depends on caches."""
    return response.text, response.token_ids


def answers_to_prompts(policy: Policy, seed: int) -> list[list[str]]:
    """Return the prompts, each with a policy's answer to it, as plain data."""
    asked = prompts(seed)
    return [[str(prompt), answer.text] for prompt, answer in zip(asked, ask(policy, asked), strict=True)]
