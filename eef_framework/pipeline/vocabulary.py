"""Vocabulary: words that an agent may have to read or write in a world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eef_framework.records import Conversation, Message, Trajectory


def vocabulary(demonstrations: Sequence[Trajectory], instructions: str) -> Iterator[Conversation]:
    """Yield the words of demonstrations, including admissible actions that weren't taken.

    Used to build models whose vocabulary comes from the world they are trained in.
    """
    yield (Message(role="system", content=instructions),)
    for trajectory in demonstrations:
        observations = [trajectory.observation(state) for state in range(len(trajectory.steps) + 1)]
        for observation, action in zip(observations, [*trajectory.actions, ""], strict=True):
            yield (
                Message(role="user", content=observation.text),
                Message(role="user", content="\n".join(observation.actions or ())),
                Message(role="assistant", content=action),
            )
