"""Vocabulary: words that an agent may have to read or write in a world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eef_framework.chat.format import ChatFormat
from eef_framework.chat.tool_calls import as_call, as_result
from eef_framework.records import Conversation, Message, Trajectory


def vocabulary(
    demonstrations: Sequence[Trajectory], instructions: str, format: ChatFormat | None = None
) -> Iterator[Conversation]:
    """Yield the words of demonstrations, including admissible actions that weren't taken.

    Used to build models whose vocabulary comes from the world they are trained in.

    Args:
        demonstrations: the demonstrations.
        instructions: the environment's instructions.
        format: the format of conversations, which writes actions as tool calls in the style `tools`.
    """
    yield (Message(role="system", content=instructions),)
    if format is not None and format.outcomes is not None:
        yield (Message(role="system", content=f"{format.outcomes.success}\n{format.outcomes.failure}"),)
    tools = format.tools or () if format is not None and format.style == "tools" else None
    if tools is not None:
        yield (Message(role="user", content=as_result("")),)
    for trajectory in demonstrations:
        observations = [trajectory.observation(state) for state in range(len(trajectory.steps) + 1)]
        for observation, action in zip(observations, [*trajectory.actions, ""], strict=True):
            yield (
                Message(role="user", content=observation.text),
                Message(role="user", content="\n".join(observation.actions or ())),
                Message(role="assistant", content=as_call(action, tools) if tools is not None and action else action),
            )
