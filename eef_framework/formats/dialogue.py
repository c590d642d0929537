"""The neutral form that all formats are read to and written from: a conversation, and the facts about it."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from eef_framework.records import MOST_REWARD

Role = Literal["system", "user", "assistant"]
_REASONING = re.compile(r"reasoning|(?:redacted_)?thinking")
"""Types of parts with reasoning, such as `reasoning`, `reasoning.text`, `thinking`."""


class MalformedRow(ValueError):
    """A row that can't be converted. Its text is the reason, for a message that names file and line."""


class UnknownFormat(MalformedRow):
    """A row in none of the formats."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One message.

    Attributes:
        role: who speaks; the environment is the user.
        content: the text. Calls of tools and their results are text too (see `tool_calls`).
        weight: loss weight; None if the format doesn't tell.
        unweighted_prefix_chars: number of characters at the start without loss.
        unweighted_suffix_chars: number of characters at the end without loss.
        action: for a turn of the agent, the action in it, if known.
        thought: the thought in it, if known.
        reasoning: the reasoning that a server returned apart from the text.
        token_ids: the sampled tokens, if known.
        logprobs: their log-probabilities, if known.
        preamble: whether it stands before the episode's first observation, such as instructions and `OK`.
        info: what only the format itself understands, to write the turn as it was read.
    """

    role: Role
    content: str
    weight: float | None = None
    unweighted_prefix_chars: int = 0
    unweighted_suffix_chars: int = 0
    action: str | None = None
    thought: str = ""
    reasoning: str = ""
    token_ids: Sequence[int] | None = None
    logprobs: Sequence[float] | None = None
    preamble: bool = False
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """A conversation, and the facts about it.

    Attributes:
        turns: the messages in order: perhaps a system message, then user and assistant in turn.
        rejected: a worse conversation from the same beginning, if there is one.
        id: of the episode or example; empty if the row has none.
        task: id of the task; empty if unknown.
        reward: of the episode; None if unknown.
        ending: why the episode ended, as in `Trajectory.ending`; empty if unknown.
        actor: who played; empty if unknown.
        record: our record without its texts (see `records_of`), which makes a round trip exact.
        fields: other fields of the row.
        joined: number of messages that were joined with the one before, because both have the same role.
    """

    turns: tuple[Turn, ...]
    rejected: tuple[Turn, ...] = ()
    id: str = ""
    task: str = ""
    reward: float | None = None
    ending: str = ""
    actor: str = ""
    record: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    joined: int = 0

    def ordered(self) -> Dialogue:
        """Return the dialogue with its messages in a valid order.

        Raises:
            MalformedRow: they can't be ordered.
        """
        turns = ordered(self.turns)
        rejected = ordered(self.rejected) if self.rejected else ()
        return replace(self, turns=turns, rejected=rejected, joined=len(self.turns) - len(turns))


def ordered(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Join messages of the same role that follow one another, and check the order.

    Raises:
        MalformedRow: there is no answer, an answer comes first, a system message comes later, or messages to be joined
            have different weights.
    """
    found: list[Turn] = []
    for number, turn in enumerate(turns, 1):
        if turn.role == "system" and found and found[-1].role != "system":
            raise MalformedRow(f"message {number} is of role 'system': only the first may be")
        if found and found[-1].role == turn.role:
            found[-1] = _joined(found[-1], turn, number)
        else:
            found.append(turn)
    first = next((turn.role for turn in found if turn.role != "system"), None)
    if first == "assistant":
        raise MalformedRow("the first message is an answer: the message that it answers is missing")
    if not any(turn.role == "assistant" for turn in found):
        raise MalformedRow("no message is an answer of the agent")
    return tuple(found)


def _joined(first: Turn, second: Turn, number: int) -> Turn:
    if first.weight != second.weight:
        raise MalformedRow(
            f"messages {number - 1} and {number} are both of role {second.role!r} and have different loss weights"
        )
    return Turn(
        role=first.role,
        content=f"{first.content}\n\n{second.content}",
        weight=first.weight,
        unweighted_prefix_chars=first.unweighted_prefix_chars,
        unweighted_suffix_chars=second.unweighted_suffix_chars,
        info={**first.info, **second.info},
    )


def reason_of(cause: ValidationError) -> str:
    """Return the first reason why data isn't a record, with its place."""
    first = cause.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]


class Content(NamedTuple):
    """What a message says."""

    reasoning: str
    text: str


def text_of(value: Any, what: str) -> str:
    """Return a message's text: a string, or parts of which all are text. Reasoning is left out.

    Raises:
        MalformedRow: it is something else.
    """
    return content_of(value, what).text


def content_of(value: Any, what: str) -> Content:
    """Return a message's text and its reasoning, which APIs have as parts of their own.

    Raises:
        MalformedRow: a part is something else.
    """
    if value is None:
        return Content("", "")
    if isinstance(value, str):
        return Content("", value)
    if not isinstance(value, list):
        raise MalformedRow(f"{what} is {type(value).__name__}; expected text")
    reasoning, text = [], []
    for part in value:
        kind = part.get("type") if isinstance(part, dict) else type(part).__name__
        if isinstance(part, str):
            text.append(part)
        elif isinstance(kind, str) and _REASONING.match(kind):
            # Encrypted reasoning has at most a summary.
            keys = ("summary",) if part.get("redacted") else ("reasoning", "thinking", "text", "summary")
            given = next((part[key] for key in keys if part.get(key)), None)
            reasoning.append(text_of(given, what))
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            text.append(part["text"])
        else:
            raise MalformedRow(f"{what} has a part of type {kind!r}; only text can be converted")
    return Content("\n\n".join(filter(None, reasoning)), "".join(text))


def messages_of(row: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return a list of messages from a row.

    Raises:
        MalformedRow: it isn't a list of JSON objects, or is empty.
    """
    found = row.get(key)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise MalformedRow(f"{key!r} isn't a list of messages")
    if not found:
        raise MalformedRow(f"{key!r} is empty")
    return found


def mapping(value: Any) -> dict[str, Any]:
    """Return an object of JSON; an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def string(value: Any) -> str:
    """Return an id as text; empty for None."""
    return "" if value is None else str(value)


def number(value: Any) -> float | None:
    """Return a reward as a number, also if it was written as text; None if there is none.

    Raises:
        MalformedRow: it is something else, isn't finite, or is too large for an episode.
    """
    if value is None:
        return None
    found = value
    if isinstance(value, str):
        with suppress(ValueError):
            found = float(value)
    if not isinstance(found, int | float) or not abs(found) <= MOST_REWARD:  # true of NaN, too
        raise MalformedRow(
            f"the reward isn't a number from -{MOST_REWARD:g} to {MOST_REWARD:g}, but {reprlib.repr(value)}"
        )
    return float(found)
