"""What a server says, taken with a grain of salt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeGuard

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from eef_framework.records import Conversation

BYTES_PER_TOKEN = 256
"""No tokenizer in use has longer tokens; runs of spaces come near."""
TEMPLATE_TOKENS = 2048
"""What a chat template may add to a conversation: default instructions, today's date."""
MESSAGE_TOKENS = 64
"""What it may add to each message."""
SPARE_TOKENS = 8
"""What an answer may be longer than allowed: servers differ in whether the stop token counts."""


class UnreadableAnswer(Exception):
    """An answer that is none: no JSON, another shape, nothing in it."""


class Said(BaseModel):
    """The message of a choice."""

    content: str | None = None


class Choice(BaseModel):
    """One answer."""

    message: Said
    finish_reason: str | None = None
    token_ids: Any = None
    logprobs: Any = None


class Completion(BaseModel):
    """What a server returns, as far as it is used. What decides nothing may be anything and is checked when read."""

    model_config = ConfigDict(extra="ignore")

    choices: list[Choice] = Field(min_length=1)
    usage: Any = None
    prompt_token_ids: Any = None


class Usage(NamedTuple):
    """Tokens of a request and its answer."""

    prompt: int
    """The cached ones included."""
    cached: int
    completion: int


def read_completion(data: bytes) -> Completion:
    """Read the body of a response.

    Raises:
        UnreadableAnswer: it holds no answer.
    """
    try:
        completion = Completion.model_validate_json(data)
    except ValidationError as cause:
        first = cause.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        excerpt = data[:80].decode("utf-8", "replace")
        raise UnreadableAnswer(f"{f'{place}: ' if place else ''}{first['msg']}, in {excerpt!r}") from cause
    choice = completion.choices[0]
    if choice.message.content is None and choice.finish_reason not in ("stop", "length", "content_filter"):
        raise UnreadableAnswer(f"no text, and finish_reason {choice.finish_reason!r}")
    return completion


def token_ids(value: Any) -> tuple[int, ...] | None:
    """Return a list of token ids, or None if it isn't one."""
    if not isinstance(value, list) or not value or not all(map(_is_count, value)):
        return None
    return tuple(value)


def logprobs(value: Any) -> tuple[float, ...] | None:
    """Return the log-probabilities of a choice, or None where there are none, or some are impossible."""
    content = value.get("content") if isinstance(value, dict) else None
    if not isinstance(content, list) or not content:
        return None
    found = [each.get("logprob") if isinstance(each, dict) else None for each in content]
    if not all(isinstance(each, float | int) and not isinstance(each, bool) and each <= 1e-6 for each in found):
        return None
    return tuple(float(each) for each in found if each is not None)


def usage(completion: Completion, conversation: Conversation, max_tokens: int) -> Usage | None:
    """Return the token counts of an answer, or None where there are none, or they can't be.

    Args:
        completion: what the server said.
        conversation: what it was asked.
        max_tokens: the longest answer that was allowed.
    """
    choice = completion.choices[0]
    reported = completion.usage if isinstance(completion.usage, dict) else {}
    details = reported.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    prompt, completed = reported.get("prompt_tokens"), reported.get("completion_tokens")
    cached = 0 if cached is None else cached
    if not (_is_count(prompt) and _is_count(completed) and _is_count(cached)):
        return None
    found = Usage(prompt, cached, completed)
    return found if _possible(found, conversation, choice, max_tokens) else None


def _possible(found: Usage, conversation: Conversation, choice: Choice, max_tokens: int) -> bool:
    asked = sum(_size(message.content) for message in conversation)
    most = asked + TEMPLATE_TOKENS + MESSAGE_TOKENS * len(conversation)
    ids: Sequence[int] | None = token_ids(choice.token_ids)
    return (
        max(1, asked // BYTES_PER_TOKEN) <= found.prompt <= most
        and found.cached <= found.prompt
        and _size(choice.message.content or "") / BYTES_PER_TOKEN <= found.completion <= max_tokens + SPARE_TOKENS
        and (ids is None or abs(len(ids) - found.completion) <= SPARE_TOKENS)
    )


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
