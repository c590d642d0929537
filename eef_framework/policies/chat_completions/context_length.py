"""Detects whether a conversation was rejected for its length, by code, numbers and words of the error response."""

from __future__ import annotations

import re

from eef_framework.policies.chat_completions.error_response import ErrorResponse

_NAMES = frozenset(
    [
        "context_length_exceeded",
        "exceed_context_size_error",
        "context_window_exceeded",
        "request_too_large",
        "prompt_too_long",
        "input_too_long",
        "string_above_max_length",
        "max_tokens_exceeded",
        "input_tokens_exceeded",
        "model_max_prompt_tokens_exceeded",
        "context_too_long",
        "tokens_limit_reached",
    ]
)
"""Codes and types for conversations that are too long."""

_NEVER = frozenset({401, 402, 403, 404, 405, 407, 408, 409, 425, 451})
"""Codes unrelated to a request's length."""

SMALLEST_WINDOW = 256
"""Minimum plausible limit of a conversation, in tokens."""

_NUMBER = r"(?<![\w.])(\d[\d,_]*\d|\d)(?![\w]|\.\d)"

_LIMIT = re.compile(
    rf"(?:maximum|max\b|limit|at most|less than|<=|≤|allowed|context)[^\d]{{0,60}}?{_NUMBER}"
    rf"|{_NUMBER}[^\d]{{0,20}}(?:maximum|context)",
    re.IGNORECASE,
)
"""Patterns for the limit in an error message."""

_LONG_THING = r"(?:context|prompt|inputs?|conversation|messages?|history|sequence|tokens?|n_ctx)\b"
_WORDS = re.compile(
    "|".join(
        [
            # "context" together with a measure can only be about its length.
            r"context.{0,20}(?:length|size|window|limit|shift)|(?:maximum|max|model).{0,20}context|exceed.{0,20}context",
            rf"{_LONG_THING}.{{0,60}}\b(?:exceed|too (?:long|large|many|big)|over the)",
            rf"{_LONG_THING}.{{0,60}}\b(?:longer|larger|greater|more) than",
            rf"\b(?:exceed\w*|too (?:many|long|large)|over)\b.{{0,60}}{_LONG_THING}",
            r"(?:max\w*|maximum).{0,30}(?:prompt|input|sequence|model) (?:length|size|tokens)",
            r"input.{0,12}(?:length|tokens?)\b.{0,60}(?:\[|between|at most|must be|should be|maximum|limit)",
            r"\bmust be (?:<=|≤|at most|less|smaller).{0,20}\d+.{0,60}(?:input|prompt|tokens)",
            r"(?:input|prompt|max_new_tokens).{0,60}must be (?:<=|≤|at most|less|smaller)",
            r"max_(?:completion_|new_|output_)?tokens.{0,20}(?:must be )?(?:at least|positive|greater|>).{0,40}-\d",
            r"payload too large|request entity too large|reduce (?:the length|your (?:message|prompt|input))",
        ]
    ),
    re.IGNORECASE | re.DOTALL,
)
_SETTING = re.compile(
    r"(?:completion|output|generated|new|response) tokens|max_(?:completion_|output_|new_)?tokens", re.IGNORECASE
)
"""Matches rejections of `max_tokens` itself, which a shorter conversation wouldn't fix."""
_CONVERSATION = re.compile(r"context|prompt|inputs?\b|messages|sequence|conversation|length of|-\d", re.IGNORECASE)
_RATE = re.compile(r"per (?:minute|hour|day|second)|\b[TR]P[MD]\b|rate limit", re.IGNORECASE)


def is_too_long(rejection: ErrorResponse) -> bool:
    """Return whether a conversation is rejected for its length, as far as one error response shows."""
    if rejection.status in _NEVER:
        return False
    if rejection.names & _NAMES or rejection.status == 413:
        return True
    used, limit = sizes(rejection)
    if rejection.status == 429 or _RATE.search(rejection.text):
        # A single request above the per-minute limit never passes, regardless of the wait.
        return used is not None and limit is not None and used > limit and _asks_for_more(rejection.text)
    if _SETTING.search(rejection.text) and not _CONVERSATION.search(rejection.text):
        return False
    if _WORDS.search(rejection.text):
        return True
    return used is not None and limit is not None and limit >= SMALLEST_WINDOW and "token" in rejection.text.lower()


def sizes(rejection: ErrorResponse) -> tuple[int | None, int | None]:
    """Return the tokens of a request and the limit, if an error response contains both; otherwise None for one or both.

    The limit is the number that is called so, and the request's length is the largest number above it.
    """
    named = dict(rejection.numbers)
    limit = next((value for key, value in named.items() if re.search(r"n_ctx|limit|max", key)), None)
    asked = (value for key, value in named.items() if re.search(r"prompt_tokens|n_prompt|requested|input", key))
    used = next(asked, None)
    if limit is not None and used is not None:
        return used, limit
    numbers = [int(re.sub(r"\D", "", found)) for found in re.findall(_NUMBER, rejection.text)]
    match = _LIMIT.search(rejection.text)
    if match is None:
        return None, None
    limit = int(re.sub(r"\D", "", next(group for group in match.groups() if group)))
    above = [number for number in numbers if number > limit]
    return (max(above) if above else None), limit


def _asks_for_more(text: str) -> bool:
    """Return whether a request alone exceeds the limit, unlike `Limit 6000, Used 5500, Requested 700`."""
    requested = re.search(rf"requested:?[^\d]{{0,12}}{_NUMBER}", text, re.IGNORECASE)
    limit = re.search(rf"limit:?[^\d]{{0,12}}{_NUMBER}", text, re.IGNORECASE)
    if not requested or not limit:
        return False
    number, most = (int(re.sub(r"\D", "", match[1])) for match in (requested, limit))
    return number > most
