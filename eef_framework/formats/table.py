"""The formats that are read and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from eef_framework.errors import UnknownName
from eef_framework.formats import (
    atif,
    chat_messages,
    inspect_log,
    prompt_completion,
    react,
    sharegpt,
    verifiers_episodes,
)
from eef_framework.formats.dialogue import Dialogue

Row = dict[str, Any]


class Format(NamedTuple):
    """A format of rows."""

    summary: str
    matches: Callable[[Row], bool]
    """Whether a row has this format."""
    read: Callable[[Row], Dialogue | None]
    """Reads a row; None if another row has its conversation. Raises `MalformedRow`."""
    write: Callable[[Dialogue], Iterator[Row]]
    """Writes the rows of a dialogue."""
    weights: str = ""
    """Which loss weights of answers programs find in it: `any`, `on-off`, or none."""
    pairs: bool = False
    """Whether it has preferences."""
    conversations: Callable[[Row], Iterator[tuple[str, Row]]] | None = None
    """Splits a row into the conversations that `read` takes, each with its place in the row; None if a row is one."""


FORMATS: dict[str, Format] = {
    "agenttraj": Format(
        "AgentGym's AgentTraj: ShareGPT with `loss` per message",
        sharegpt.is_agent_traj,
        sharegpt.read,
        sharegpt.write_agent_traj,
        weights="on-off",
    ),
    "sharegpt": Format(
        "ShareGPT, as ETO has it: `conversations` with `from` and `value`",
        sharegpt.is_sharegpt,
        sharegpt.read,
        sharegpt.write,
        pairs=True,
    ),
    "trl": Format(
        "TRL: `prompt` and `completion`, or `chosen` and `rejected`",
        prompt_completion.is_prompt_completion,
        prompt_completion.read,
        prompt_completion.write,
        weights="on-off",
        pairs=True,
    ),
    "inspect": Format("logs of inspect_ai (.eval)", inspect_log.is_sample, inspect_log.read, inspect_log.write),
    "messages": Format(
        "OpenAI's messages, with tool calls and `weight`",
        chat_messages.is_messages,
        chat_messages.read,
        chat_messages.write,
        weights="any",
    ),
    "atif": Format("Harbor's ATIF", atif.is_atif, atif.read, atif.write, weights="on-off"),
    "verifiers": Format(
        "verifiers' episodes (traces.jsonl)",
        verifiers_episodes.is_episode,
        verifiers_episodes.read,
        verifiers_episodes.write,
        weights="on-off",
        conversations=verifiers_episodes.conversations,
    ),
    "react": Format("ReAct logs: `steps` with `action` and `observation`", react.is_react, react.read, react.write),
}
"""Name -> format. The order is that of recognition: the first that matches."""


def format_of(row: Row) -> str | None:
    """Return the name of a row's format; None if it has none of them."""
    return next((name for name, each in FORMATS.items() if each.matches(row)), None)


def format_named(name: str, *others: str) -> Format:
    """Return a format by its name.

    Args:
        name: the name.
        others: further names, for the message.

    Raises:
        UnknownName: there is none of this name.
    """
    if name not in FORMATS:
        raise UnknownName.of("format", name, (*others, *FORMATS))
    return FORMATS[name]
