"""Validated server responses: content, and reasons for missing text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, TypeGuard

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic_core import from_json

from eef_framework.chat.tool_calls import Call, read_call, with_calls
from eef_framework.policies.chat_completions.error_response import (
    LONGEST_REASON,
    RequestRejected,
    error_within,
    shortened,
)

WithoutText = Literal["reasoning-used-the-budget", "stopped-within-reasoning", "refusal", "no-text"]
"""Why an answer has no text."""

_FAILED = re.compile(
    r"error|fail|abort|cancel|overload|time.?out|timed|network|insufficient|unavailable|malformed|exception|crash"
    r"|interrupt|killed|out_of_memory|disconnect|gateway|shut.?down|rate.?limit|quota|throttl|capacity|busy|evict",
    re.IGNORECASE,
)
"""Values of `finish_reason` for a failed server. Servers and routers use many words for it."""
_FILTERED = re.compile(
    r"filter|safety|blocked|blocklist|prohibited|recitation|sensitive|spii|moderat|censor|policy_violation"
    r"|guardrail",
    re.IGNORECASE,
)
_ENDED = re.compile(r"\A\Z|stop|eos|end|len|max|limit|complete|finish|done|refus", re.IGNORECASE)
"""Values for an answer that the model ended itself, or that reached its limit."""
_AT_LIMIT = ("length", "max_tokens", "max_output_tokens", "model_length", "max_length")
_TEXT, _REASONING = ("text", "output_text"), ("reasoning", "thinking", "reasoning_text", "redacted_thinking")


class UnreadableAnswer(Exception):
    """An unreadable response: not JSON, of another shape, or empty."""


class FailedAnswer(UnreadableAnswer):
    """A response that reports a server failure.

    Args:
        reason: what it says.
        completion: the answer, which may have cost something.
    """

    def __init__(self, reason: str, completion: Completion) -> None:
        super().__init__(reason)
        self.completion = completion


class ChoiceMessage(BaseModel):
    """The message of a choice. Reasoning in a separate field isn't in `content`."""

    content: str | None = None
    """The text, with tool calls as text at its end."""
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    thinking: Any = None
    reasoning_details: Any = None
    parts: Any = None
    """The original `content`, if it is a list of parts."""
    called: bool = False
    """Whether tool calls were apart from the text, so that it isn't the text that was sampled."""

    @model_validator(mode="before")
    @classmethod
    def _joined(cls, message: Any) -> Any:
        if not isinstance(message, dict):
            return message
        content, parts = message.get("content"), None
        if isinstance(content, dict):
            content = [content]
        if isinstance(content, list):
            content, parts = _text_of(content), content
        calls = _calls_of(message.get("tool_calls"))
        if calls and (content is None or isinstance(content, str)):
            content = with_calls(content or "", calls)
        return {**message, "content": content, "parts": parts, "called": bool(calls)}

    @property
    def refused(self) -> str:
        """The model's refusal to answer; empty if it didn't refuse."""
        if isinstance(self.refusal, str) and self.refusal.strip():
            return self.refusal
        return "".join(str(part.get("refusal") or "") for part in self.parts or () if _kind(part) == "refusal")

    @property
    def reasoned(self) -> bool:
        """Whether there is a hidden part of the answer."""
        return any(self._reasoning_fields) or any(_kind(part) in _REASONING for part in self.parts or ())

    @property
    def thought(self) -> str:
        """The reasoning, if the server returns its text in a separate field or part; else empty."""
        field = next((field for field in self._reasoning_fields if field), None)
        parts = self.parts if field is None else field
        if isinstance(parts, str):
            return parts
        if not isinstance(parts, list):
            return ""
        return "\n\n".join(text for part in parts if (text := _reasoning_of(part)))

    @property
    def _reasoning_fields(self) -> tuple[Any, ...]:
        return self.reasoning_content, self.reasoning, self.thinking, self.reasoning_details


class Choice(BaseModel):
    """One answer."""

    message: ChoiceMessage
    finish_reason: str = ""
    native_finish_reason: str = ""
    """The error of a router's upstream provider."""
    token_ids: Any = None
    logprobs: Any = None

    @field_validator("finish_reason", "native_finish_reason", mode="before")
    @classmethod
    def _word(cls, reason: Any) -> str:
        return reason.strip().lower() if isinstance(reason, str) else ""

    @property
    def failed(self) -> str:
        """Reason of a server failure; empty if it didn't fail."""
        found = next((word for word in (self.finish_reason, self.native_finish_reason) if _FAILED.search(word)), "")
        silent = not (self.message.content or "").strip() and not self.message.refused
        # An empty answer that ended for a reason that isn't the model's, such as "unknown" or "other".
        return found or (self.finish_reason if silent and not self.filtered and self._ended_otherwise else "")

    @property
    def _ended_otherwise(self) -> bool:
        return not _ENDED.search(self.finish_reason) and not re.search("tool|function", self.finish_reason)

    @property
    def filtered(self) -> str:
        """Reason why the server withheld the answer; empty if it didn't."""
        return next((word for word in (self.finish_reason, self.native_finish_reason) if _FILTERED.search(word)), "")


class Completion(BaseModel):
    """The used part of a response. Fields that don't affect results may have any value and are checked when read."""

    model_config = ConfigDict(extra="ignore")

    choices: list[Choice] = Field(min_length=1)
    usage: Any = None

    _body: str = PrivateAttr(default="")

    @property
    def body(self) -> str:
        """The response's body that it was read from, for `read_completion`."""
        return self._body


def read_completion(data: bytes) -> Completion:
    """Read the body of a response.

    Raises:
        UnreadableAnswer: it contains no answer, or reports a server failure.
        RequestRejected: it contains an error instead of an answer.
    """
    # Some servers keep the connection open with comments, as in an event stream, while the model is working.
    body = re.sub(rb"\A(?:\s|\xef\xbb\xbf|:[^\n]*\n)+", b"", data)
    try:
        document = from_json(body)
        rejection = error_within(document)
        if rejection is not None:
            raise RequestRejected(rejection)
        completion = Completion.model_validate(document)
        completion._body = body.decode("utf-8", "replace")
    except ValidationError as cause:
        first = cause.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise UnreadableAnswer(f"{f'{place}: ' if place else ''}{first['msg']}, in {_excerpt(body)!r}") from cause
    except ValueError as cause:
        raise UnreadableAnswer(f"{cause}, in {_excerpt(body)!r}") from cause
    choice = completion.choices[0]
    if choice.failed:
        raise FailedAnswer(f"finish_reason {choice.failed!r}", completion)
    if choice.message.content is None and re.search("tool|function", choice.finish_reason):
        raise UnreadableAnswer(f"no text, and finish_reason {choice.finish_reason!r}")
    return completion


def read_echo(data: bytes) -> list[float | None]:
    """Read the log-probabilities of an echoed prompt from the body of a response.

    Raises:
        UnreadableAnswer: it contains none.
        RequestRejected: it contains an error instead.
    """
    try:
        document = from_json(data)
    except ValueError as cause:
        raise UnreadableAnswer(f"{cause}, in {_excerpt(data)!r}") from cause
    rejection = error_within(document)
    if rejection is not None:
        raise RequestRejected(rejection)
    try:
        found = document["choices"][0]["logprobs"]["token_logprobs"]
        return [None if each is None else float(each) for each in found]
    except (LookupError, TypeError, ValueError) as cause:
        raise UnreadableAnswer(f"no log-probabilities, in {_excerpt(data)!r}") from cause


def without_text(choice: Choice, reported: Any, stop: bool) -> WithoutText | None:
    """Return why an answer has no text; None if it has.

    Args:
        choice: the answer.
        reported: the token counts, as the server reported them.
        stop: whether the request named texts to stop at.
    """
    if (choice.message.content or "").strip():
        return None
    if choice.message.refused or choice.finish_reason == "refusal":
        return "refusal"
    reasoned = choice.message.reasoned or reasoning_tokens(reported) > 0
    if choice.finish_reason in _AT_LIMIT:
        return "reasoning-used-the-budget"  # whatever used it: an answer of blanks doesn't get there
    return "stopped-within-reasoning" if reasoned and stop else "no-text"


def token_ids(value: Any) -> tuple[int, ...] | None:
    """Return a list of token ids, or None if it isn't one."""
    if not isinstance(value, list) or not value or not all(map(is_count, value)):
        return None
    return tuple(value)


def logprobs(value: Any) -> tuple[float, ...] | None:
    """Return the log-probabilities of a choice; None if they are missing or impossible."""
    content = value.get("content") if isinstance(value, dict) else None
    if not isinstance(content, list) or not content:
        return None
    found = [each.get("logprob") if isinstance(each, dict) else None for each in content]
    if not all(isinstance(each, float | int) and not isinstance(each, bool) and each <= 1e-6 for each in found):
        return None
    return tuple(float(each) for each in found if each is not None)


def reasoning_tokens(reported: Any) -> int:
    """Return the number of reasoning tokens; servers differ in whether these count against the limit."""
    details = reported.get("completion_tokens_details") if isinstance(reported, dict) else None
    found = details.get("reasoning_tokens") if isinstance(details, dict) else None
    return found if is_count(found) else 0


def _calls_of(value: Any) -> list[Call]:
    """Return the tool calls of a message; none if one of them has no name.

    Arguments that aren't an object are the model's mistake, not the server's: they are kept as text, which is parsed as
    an answer without an action. Servers leave the arguments of tools without parameters empty.
    """
    given = value if isinstance(value, list) else []
    functions = [each.get("function") if isinstance(each, dict) else None for each in given]
    calls = [
        read_call(function) or Call(function["name"], function.get("arguments") or {})
        for function in functions
        if isinstance(function, dict) and isinstance(function.get("name"), str)
    ]
    return calls if len(calls) == len(given) else []


def _text_of(parts: Sequence[Any]) -> str | None:
    """Return the joined texts among the parts of an answer; None if there are none."""
    texts = [part if isinstance(part, str) else str(part.get("text") or "") for part in parts if _is_text(part)]
    return "".join(texts) if texts else None


def _is_text(part: Any) -> bool:
    return isinstance(part, str) or _kind(part) in _TEXT


def _reasoning_of(part: Any) -> str:
    if not _kind(part).startswith(_REASONING):
        return ""
    given = next((part[key] for key in ("reasoning", "thinking", "text", "summary") if part.get(key)), None)
    return given if isinstance(given, str) else _text_of(given) or "" if isinstance(given, list) else ""


def _kind(part: Any) -> str:
    return str(part.get("type", "text" if "text" in part else "")) if isinstance(part, dict) else ""


def _excerpt(data: bytes) -> str:
    return shortened(data[: 4 * LONGEST_REASON].decode("utf-8", "replace"))[:80]


def is_count(value: Any) -> TypeGuard[int]:
    """Return whether a value is a number of tokens, or a token id."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
