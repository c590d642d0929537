"""What goes wrong between here and a server: what may pass, what concerns one answer, what concerns everybody."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from eef_framework.errors import AnswerFailure, EefError, PolicyFailure
from eef_framework.policies.openai.answer import UnreadableAnswer
from eef_framework.policies.openai.settings import ServerSettings

if TYPE_CHECKING:
    from openai import APIStatusError

_TOO_LONG = re.compile(r"context.{0,20}(length|size|window)|too many tokens|prompt is too long", re.IGNORECASE)
_LONGEST_REASON = 300


class TooLong(Exception):
    """The conversation is longer than the model's context."""


def may_pass(error: BaseException) -> bool:
    """Tell whether the same request may be answered when it is sent again."""
    import openai

    if isinstance(error, openai.APIStatusError):
        passing = error.status_code in (408, 409, 429) or error.status_code >= 500
        return passing and not _out_of_money(error)
    return isinstance(error, openai.APIConnectionError | UnreadableAnswer)


def wait_asked_for(error: BaseException | None) -> float | None:
    """Return how many seconds the server asks to wait for, if it does."""
    import openai

    if not isinstance(error, openai.APIStatusError):
        return None
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "")))
    except ValueError:  # none, or a date
        return None


def is_too_long(error: BaseException) -> bool:
    """Tell whether a server refuses a conversation for its length."""
    import openai

    if not isinstance(error, openai.APIStatusError) or error.status_code not in (400, 413, 422):
        return False
    return error.code == "context_length_exceeded" or _TOO_LONG.search(_reason(error)) is not None


def failure_of(error: Exception, settings: ServerSettings, attempts: int, answered: bool) -> EefError:
    """Return what a lost answer means, in words, without the key.

    Args:
        error: what the last attempt raised.
        settings: the server's.
        attempts: how many there were.
        answered: whether this server has answered anything yet. One that refuses the very first request would refuse
            all of them.
    """
    import openai

    if isinstance(error, EefError):
        return error
    key = os.environ.get(settings.api_key_env)
    reason = _reason(error).replace(key, "***") if key else _reason(error)
    times = f" {attempts} times" if attempts > 1 else ""

    def told(kind: type[PolicyFailure], what: str, fix: str = "") -> PolicyFailure:
        return kind(f"{settings.model!r} at {settings.place} {what}{times}: {reason}", fix)

    if isinstance(error, openai.APIStatusError):
        everybody, fix = _refusal(error, settings, answered)
        return told(PolicyFailure if everybody else AnswerFailure, f"refused ({error.status_code})", fix)
    if isinstance(error, openai.APIConnectionError) and type(error.__cause__).__name__.startswith("Connect"):
        fix = "Start the server, or mend base_url; repeating the command goes on from here."
        return told(PolicyFailure, "couldn't be reached", fix)
    if isinstance(error, openai.APITimeoutError):
        return told(
            AnswerFailure, f"didn't answer within {settings.timeout_s:g} s", "Raise timeout_s if it needs longer."
        )
    if isinstance(error, openai.APIConnectionError):
        return told(AnswerFailure, "broke off")
    if isinstance(error, UnreadableAnswer):
        return told(AnswerFailure, "gave no readable answer", "Check that base_url leads to a chat-completions API.")
    return told(PolicyFailure, f"couldn't be asked ({type(error).__name__})")


def _refusal(error: APIStatusError, settings: ServerSettings, answered: bool) -> tuple[bool, str]:
    """Return whether a refusal concerns everybody, and what to do about it."""
    if error.status_code in (401, 403):
        return True, f"Check the key in the environment variable {settings.api_key_env}."
    if error.status_code == 404:
        return True, "Check model and base_url."
    if error.status_code == 402 or _out_of_money(error):
        return True, "Mend the account; repeating the command goes on from here."
    if may_pass(error) or answered or error.code == "content_filter":
        return False, ""
    return True, "Check the settings stop, token_limit and extra: the server may not know a field."


def _out_of_money(error: APIStatusError) -> bool:
    return error.code == "insufficient_quota"


def _reason(error: BaseException) -> str:
    import openai

    text = str(error)
    if isinstance(error, openai.APIStatusError):
        body = error.body if isinstance(error.body, dict) else {}
        text = str(body.get("message") or error.response.text or text)
    elif isinstance(error, openai.APIConnectionError) and error.__cause__ is not None:
        text = str(error.__cause__) or type(error.__cause__).__name__
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."
