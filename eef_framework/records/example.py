"""What a trainer is given: conversations with a loss weight per agent turn."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from eef_framework.records.base import Info, Record, VersionedRecord

Role = Literal["system", "user", "assistant"]


class Message(Record):
    """One turn of a conversation."""

    role: Role
    content: str
    weight: float = Field(default=0.0, ge=0.0)
    """Weight of this turn's tokens in the loss. Only an assistant's turn may have one above 0."""
    silent: int = Field(default=0, ge=0)
    """How many characters at the start of `content` get no loss in spite of the weight, such as a thought's."""
    token_ids: tuple[int, ...] | None = None
    """For an assistant's turn: the tokens as they were sampled, stop token included."""
    tokenizer: str = ""
    """Fingerprint of the tokenizer that `token_ids` belong to."""


Conversation = tuple[Message, ...]
"""Messages in order: perhaps a system message, then user and assistant in turn."""


class Example(VersionedRecord):
    """A conversation to train on."""

    id: str
    messages: Conversation
    rejected: Conversation = ()
    """A worse attempt at the same task, with weights of its own, to which `messages` is to be preferred. Trainers that
    don't learn preferences pass over it."""
    task: str = ""
    """Id of the task, for caps and counts."""
    source: str = ""
    """Why it is in the training set: `expert`, `agent`, `continuation`, `recovery`."""
    trajectory: str = ""
    """Id of the trajectory it was made from."""
    states: tuple[int, ...] = ()
    """The state each trained turn answers, in order: which actions of the trajectory get loss."""
    info: Info = Field(default_factory=dict)

    @property
    def trained_turns(self) -> int:
        """How many turns get loss."""
        return sum(message.weight > 0 for message in self.messages)
