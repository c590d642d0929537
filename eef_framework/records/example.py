"""Training examples: conversations with a loss weight per agent turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from eef_framework.records.base import Info, Record, VersionedRecord
from eef_framework.records.tool import Tool
from eef_framework.renames import with_new_names

Role = Literal["system", "user", "assistant"]


class Message(Record):
    """One turn of a conversation."""

    role: Role
    content: str
    weight: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Weight of this turn's tokens in the loss. Only an assistant turn may have a weight above 0."""
    unweighted_prefix_chars: int = Field(default=0, ge=0)
    """Number of characters at the start of `content` that get no loss despite the weight, for example a thought."""
    unweighted_suffix_chars: int = Field(default=0, ge=0)
    """Number of characters at its end that get no loss, for example a made-up observation. If above 0, the stop token
    gets no loss either."""
    token_ids: tuple[int, ...] | None = None
    """For an assistant turn: the sampled tokens, stop token included."""
    tokenizer: str = ""
    """Fingerprint of the tokenizer that `token_ids` belong to."""
    tools: tuple[Tool, ...] = ()
    """For a system message, which may be blank: the tools that may be called in the conversation."""

    @model_validator(mode="before")
    @classmethod
    def _take_old_names(cls, data: Any) -> Any:
        return with_new_names(
            data, "message", {"silent": "unweighted_prefix_chars", "silent_end": "unweighted_suffix_chars"}
        )

    @model_validator(mode="after")
    def _only_agents_learn(self) -> Self:
        if self.weight and self.role != "assistant":
            raise PydanticCustomError(
                "weight-not-assistant",
                "a {role}'s message has the weight {weight}; only an assistant's may have one above 0",
                {"role": self.role, "weight": self.weight},
            )
        if self.tools and self.role != "system":
            raise PydanticCustomError(
                "tools-not-system",
                "a {role}'s message has tools; only a system message may have some",
                {"role": self.role},
            )
        return self


Conversation = tuple[Message, ...]
"""Messages in order: an optional system message, then user and assistant alternating. A training conversation ends with
an assistant message."""


class Example(VersionedRecord):
    """A conversation to train on."""

    id: str
    messages: Conversation
    rejected: Conversation = ()
    """A worse attempt at the same task, with its own weights; `messages` is preferred to it. Trainers that don't learn
    preferences ignore it."""
    task: str = ""
    """Id of the task, used for caps and counts."""
    source: str = ""
    """Why it is in the training set: `expert`, `agent`, `continuation`, `recovery`, `advice`, `reflection`, `pair`,
    `world-model`."""
    trajectory: str = ""
    """Id of the trajectory it was made from."""
    states: tuple[int, ...] = ()
    """The state that each trained turn answers, in order: the actions of the trajectory that get loss. Empty if an
    observation is learned."""
    info: Info = Field(default_factory=dict)
    """About its trajectory, for filters: `kind` of the task; number of `steps`, of `invalid` actions and of `unparsed`
    answers; how many of the agent's `tries` from the initial state `solved` the task. Of a pair: these of the
    preferred attempt, the id of the `rejected` one, its `rejected_states` that get loss, and both `rewards`."""

    @field_validator("messages", "rejected")
    @classmethod
    def _takes_turns(cls, messages: Conversation, info: ValidationInfo) -> Conversation:
        """Reject conversations without anything to learn, or that no template can render correctly."""
        if not messages:
            if info.field_name == "messages":
                raise PydanticCustomError(
                    "empty-conversation", "it is empty; expected a user's message and an assistant's answer"
                )
            return messages
        first = 1 if messages[0].role == "system" else 0
        for number, message in enumerate(messages[first:], first):
            expected = "assistant" if (number - first) % 2 else "user"
            if message.role != expected:
                raise PydanticCustomError(
                    "role-order",
                    "message {number} is of role {role}, expected {expected}: perhaps a system message, then user and "
                    "assistant in turn (join messages of one role that follow one another)",
                    {"number": number, "role": message.role, "expected": expected},
                )
        if messages[-1].role != "assistant":
            raise PydanticCustomError(
                "no-answer-at-end",
                "the last message is of role {role}, expected an answer of the assistant",
                {"role": messages[-1].role},
            )
        return messages

    def turns(self) -> Iterator[tuple[Conversation, Message]]:
        """Yield each turn that gets loss, after the conversation that it answers."""
        for number, message in enumerate(self.messages):
            if message.weight > 0:
                yield self.messages[:number], message

    def unweighted(self) -> Self:
        """Return the example without what filters may change: weights and `info`."""
        messages, rejected = (
            tuple(message.changed(weight=0.0) for message in side) for side in (self.messages, self.rejected)
        )
        return self.changed(messages=messages, rejected=rejected, info={})

    @property
    def trained_turns(self) -> int:
        """How many turns get loss."""
        return sum(message.weight > 0 for message in self.messages)
