"""Detects refusals because of a conversation's length: by the refusal's code, its numbers, its words."""

from __future__ import annotations

import re

from eef_framework.policies.chat_completions.refusal import Refusal

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
"""Patterns for the limit in a refusal."""

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
"""Matches refusals of `max_tokens` itself, which a shorter conversation wouldn't fix."""
_CONVERSATION = re.compile(r"context|prompt|inputs?\b|messages|sequence|conversation|length of|-\d", re.IGNORECASE)
_RATE = re.compile(r"per (?:minute|hour|day|second)|\b[TR]P[MD]\b|rate limit", re.IGNORECASE)


def is_too_long(refusal: Refusal) -> bool:
    """Return whether a conversation is refused for its length, as far as one refusal shows."""
    if refusal.status in _NEVER:
        return False
    if refusal.names & _NAMES or refusal.status == 413:
        return True
    used, limit = sizes(refusal)
    if refusal.status == 429 or _RATE.search(refusal.text):
        # A single request above the per-minute limit never passes, regardless of the wait.
        return used is not None and limit is not None and used > limit and _asks_for_more(refusal.text)
    if _SETTING.search(refusal.text) and not _CONVERSATION.search(refusal.text):
        return False
    if _WORDS.search(refusal.text):
        return True
    return used is not None and limit is not None and limit >= SMALLEST_WINDOW and "token" in refusal.text.lower()


def sizes(refusal: Refusal) -> tuple[int | None, int | None]:
    """Return the tokens of a request and the most that are allowed, where a refusal tells both.

    Two numbers at least that can be tokens: the limit is the one named so; the request's is the largest above it.
    """
    named = dict(refusal.numbers)
    limit = next((value for key, value in named.items() if re.search(r"n_ctx|limit|max", key)), None)
    asked = (value for key, value in named.items() if re.search(r"prompt_tokens|n_prompt|requested|input", key))
    used = next(asked, None)
    if limit is not None and used is not None:
        return used, limit
    numbers = [int(re.sub(r"\D", "", found)) for found in re.findall(_NUMBER, refusal.text)]
    match = _LIMIT.search(refusal.text)
    if match is None:
        return None, None
    limit = int(re.sub(r"\D", "", next(group for group in match.groups() if group)))
    above = [number for number in numbers if number > limit]
    return (max(above) if above else None), limit


def _asks_for_more(text: str) -> bool:
    """Tell a request that is too large from one that comes too early: `Limit 6000, Used 5500, Requested 700`."""
    requested = re.search(rf"requested:?[^\d]{{0,12}}{_NUMBER}", text, re.IGNORECASE)
    limit = re.search(rf"limit:?[^\d]{{0,12}}{_NUMBER}", text, re.IGNORECASE)
    if not requested or not limit:
        return False
    number, most = (int(re.sub(r"\D", "", match[1])) for match in (requested, limit))
    return number > most
