"""Token counts of answers, as servers report them: believed only where they can be true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic_core import to_json

from eef_framework.policies.chat_completions.answer import Choice, Completion, is_count, reasoning_tokens, token_ids
from eef_framework.records import Conversation

BYTES_PER_TOKEN = 256
"""Upper bound for the length of tokens; only runs of spaces come near."""
TEMPLATE_TOKENS = 2048
"""Allowance for a chat template's additions to a conversation: default instructions, today's date."""
MESSAGE_TOKENS = 64
"""Allowance for its additions to each message."""
SPARE_TOKENS = 8
"""Tolerance for the length of an answer: servers differ in whether the stop token counts."""
LONGEST_ANSWER = 10_000_000
"""Maximum plausible length of an answer without a limit, in tokens."""


class Usage(NamedTuple):
    """Tokens of a request and its answer."""

    prompt: int
    """The cached ones included."""
    cached: int
    completion: int


def usage(completion: Completion, conversation: Conversation, limit: int | None) -> Usage | None:
    """Return the token counts of an answer; None if they are missing or impossible.

    Args:
        completion: the response.
        conversation: the conversation that was answered.
        limit: maximum length of the answer, in tokens; None for no limit.
    """
    choice = completion.choices[0]
    reported = completion.usage if isinstance(completion.usage, dict) else {}
    details = reported.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    prompt, completed = reported.get("prompt_tokens"), reported.get("completion_tokens")
    cached = 0 if cached is None else cached
    if not (is_count(prompt) and is_count(completed) and is_count(cached)):
        return None
    found = Usage(prompt, cached, completed)
    most = LONGEST_ANSWER if limit is None else limit + SPARE_TOKENS + reasoning_tokens(reported)
    return found if completed <= min(most, LONGEST_ANSWER) and _possible(found, conversation, choice) else None


def prompt_bytes(conversation: Conversation) -> int:
    """Return the length of a prompt, tools included, in bytes."""
    tools = (to_json(tool.function).decode() for message in conversation for tool in message.tools)
    return sum(map(_size, (*(message.content for message in conversation), *tools)))


def _possible(found: Usage, conversation: Conversation, choice: Choice) -> bool:
    asked = prompt_bytes(conversation)
    most = asked + TEMPLATE_TOKENS + MESSAGE_TOKENS * len(conversation)
    ids: Sequence[int] | None = token_ids(choice.token_ids)
    return (
        max(1, asked // BYTES_PER_TOKEN) <= found.prompt <= most
        and found.cached <= found.prompt
        and _size(choice.message.content or "") / BYTES_PER_TOKEN <= found.completion
        and (ids is None or abs(len(ids) - found.completion) <= SPARE_TOKENS)
    )


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
