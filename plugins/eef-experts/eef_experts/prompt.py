"""The expert's prompt: the format of responses, and examples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

from pydantic import ValidationError

from eef_framework.chat import ChatFormat
from eef_framework.errors import ConfigError, EefError, storage
from eef_framework.records import Conversation, Message, Observation, Step, Trajectory

GUIDANCE = {
    "react": (
        "In every turn, think about what to do next, then take one action. Answer with two lines and nothing else:\n"
        "Thought: what you think\n"
        "Action: the action"
    ),
    "tools": (
        "In every turn, think about what to do next, then take one action by calling one of the tools. Answer with "
        "your thought and the call, and nothing else."
    ),
    "action": "In every turn, answer with one action and nothing else.",
}
"""Description of the format of responses, by style."""


class ExpertFormat(ChatFormat):
    """A chat format with guidance and examples in the system message.

    Examples aren't turns of the conversation, so that models don't mistake them for a part of the current episode.
    """

    guidance: str | None = None
    """Prompt after the environment's instructions; by default (null) it describes the format of responses."""
    example_episodes: tuple[Conversation, ...] = ()
    """Whole episodes, each ending with a turn of the agent."""

    def conversation(self, instructions: str, initial: Observation, steps: Sequence[Step]) -> Conversation:
        """Return the prompt for the state after some steps; it ends with a user message."""
        return super().conversation(self.system_message(instructions), initial, steps)

    def system_message(self, instructions: str) -> str:
        """Return the system message, given the environment's instructions."""
        guidance = GUIDANCE[self.style] if self.guidance is None else self.guidance
        shown = [f"Example {n}:\n\n{_as_text(example)}" for n, example in enumerate(self.example_episodes, start=1)]
        return "\n\n".join(part for part in (instructions.strip(), guidance.strip(), *shown) if part)


def read_examples(path: str, format: ExpertFormat) -> tuple[Conversation, ...]:
    """Read examples.

    Args:
        path: a file whose lines are conversations (`{"messages": [{"role": ..., "content": ...}, ...]}`, or the list
            alone) or trajectories, as runs record them.
        format: the format to which trajectories are converted.

    Raises:
        ConfigError: a line isn't one of these.
        StorageError: the file can't be read.
    """
    with storage(path, "reading examples from"):
        lines = Path(path).expanduser().read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
    return tuple(_example(line, format, path, number) for number, line in _not_empty(lines))


def _not_empty(lines: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    return ((number, line) for number, line in enumerate(lines, start=1) if line.strip())


def _example(line: bytes, format: ExpertFormat, path: str, number: int) -> Conversation:
    try:
        data = json.loads(line)
        if isinstance(data, dict) and "steps" in data:
            trajectory = Trajectory.model_validate_json(line)
            turns = zip(cycle(("user", "assistant")), format.shot(trajectory), strict=False)
            return _checked(tuple(Message(role=role, content=text) for role, text in turns))
        messages = data["messages"] if isinstance(data, dict) else data
        return _checked(tuple(Message(role=each["role"], content=each["content"]) for each in messages))
    except (ValueError, KeyError, TypeError, ValidationError, EefError) as cause:
        raise ConfigError(
            f"{path}, line {number}, isn't an example: {type(cause).__name__}: {str(cause).splitlines()[0]}",
            'Write {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}, or a '
            "trajectory as runs record them.",
            code="not-an-example",
            path=path,
            line=number,
        ) from cause


def _checked(found: Conversation) -> Conversation:
    if not any(message.role == "assistant" for message in found):
        raise ValueError("it has no message of the assistant")
    return found


def _as_text(example: Conversation) -> str:
    return "\n".join(
        message.content if message.role == "assistant" else f"Observation: {message.content}"
        for message in example
        if message.role != "system"
    )
