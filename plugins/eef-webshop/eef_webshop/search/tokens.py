"""Lucene's standard tokenizer: Unicode word boundaries (UAX #29), with emoji and symbols, without punctuation.

The grammar follows Lucene's `StandardTokenizerImpl.jflex`. Relevant for products: `finish:wood`, `3.5` and `don't` are
one token; `a/b` and `a-b` are two; hearts, check marks, © and ™ are tokens.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

MAX_LENGTH = 255
"""Maximum length of a token in characters; longer ones are split."""

_PICTOGRAPHS = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u2199\u21a9-\u21aa\u231a-\u231b\u2328\u2388\u23cf\u23e9-\u23f3"
    "\u23f8-\u23fa\u24c2\u25aa-\u25ab\u25b6\u25c0\u25fb-\u25fe\u2600-\u2605\u2607-\u2612\u2614-\u2685\u2690-\u2705\u2708-\u2712\u2714"
    "\u2716\u271d\u2721\u2728\u2733-\u2734\u2744\u2747\u274c\u274e\u2753-\u2755\u2757\u2763-\u2767\u2795-\u2797\u27a1\u27b0"
    "\u27bf\u2934-\u2935\u2b05-\u2b07\u2b1b-\u2b1c\u2b50\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001f0ff"
    "\U0001f10d-\U0001f10f\U0001f12f\U0001f16c-\U0001f171\U0001f17e-\U0001f17f\U0001f18e\U0001f191-\U0001f19a"
    "\U0001f1ad-\U0001f1e5\U0001f201-\U0001f20f\U0001f21a\U0001f22f\U0001f232-\U0001f23a\U0001f23c-\U0001f23f"
    "\U0001f249-\U0001f53d\U0001f546-\U0001f64f\U0001f680-\U0001f6ff\U0001f774-\U0001f77f\U0001f7d5-\U0001f7ff"
    "\U0001f80c-\U0001f80f\U0001f848-\U0001f84f\U0001f85a-\U0001f85f\U0001f888-\U0001f88f\U0001f8ae-\U0001f8ff"
    "\U0001f90c-\U0001f93a\U0001f93c-\U0001f945\U0001f947-\U0001faff\U0001fc00-\U0001fffd"
)
"""`Extended_Pictographic` of Unicode 14, and skin tones. Later versions have a smaller set, without ★."""

_ASCII = re.compile(
    r"(?:(?<!_)_++)?[a-zA-Z0-9](?:\w|(?<=[a-zA-Z])[:.'](?=[a-zA-Z])|(?<=[0-9])[.,;'](?=[0-9]))*", re.ASCII
)


def tokenize(text: str) -> list[str]:
    """Return the tokens of a text, in order."""
    tokens = (_ASCII if text.isascii() else unicode_pattern()).findall(text)
    return tokens if len(text) <= MAX_LENGTH or max(map(len, tokens), default=0) <= MAX_LENGTH else _split(tokens)


def _split(tokens: list[str]) -> list[str]:
    return [token[start : start + MAX_LENGTH] for token in tokens for start in range(0, len(token), MAX_LENGTH)]


@cache
def unicode_pattern() -> Any:
    """Return the pattern for arbitrary texts. On ASCII texts it finds the same tokens as the fast one."""
    import regex

    # The colon is explicit because in newer versions of Unicode it no longer joins letters.
    extend = r"[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]*"
    letter = rf"[\p{{WB=ALetter}}\p{{WB=Hebrew_Letter}}]{extend}"
    number = rf"[\p{{WB=Numeric}}０-９]{extend}"
    hebrew = rf"\p{{WB=Hebrew_Letter}}{extend}"
    between_letters = rf"[\p{{WB=MidLetter}}\p{{WB=MidNumLet}}:']{extend}"
    between_numbers = rf"[\p{{WB=MidNum}}\p{{WB=MidNumLet}}']{extend}"
    run = (
        rf"(?:{letter}|{number}|(?<={letter}){between_letters}(?={letter})|(?<={number}){between_numbers}(?={number})"
        rf"|(?<={hebrew})'{extend}|(?<={hebrew})\"{extend}(?={hebrew}))+"
    )
    line = rf"\p{{WB=ExtendNumLet}}{extend}"
    unit = rf"(?:(?:\p{{WB=Katakana}}{extend})+|{run})"
    word = rf"(?:(?=\p{{WB=ExtendNumLet}})(?<!{line})(?:{line})++)?{unit}(?:(?:{line})+{unit})*(?:{line})*"
    # A joiner between two symbols joins them; elsewhere it belongs to the symbol before it.
    marks = (
        rf"(?:[\p{{WB=Extend}}\p{{WB=Format}}--[\uFE0E\uFE0F\U000E0020-\U000E007F]]|\u200D(?!\u200D*[{_PICTOGRAPHS}]))*"
    )
    shown = rf"[{_PICTOGRAPHS}]{marks}\uFE0F?"
    emoji = rf"{shown}(?:(?:\u200D+{shown})*|[\U000E0020-\U000E007E]+\U000E007F)|[#*]{extend}\u20E3{extend}"
    flag = rf"(?:\p{{WB=Regional_Indicator}}{extend}){{2}}"
    asian = rf"(?:\p{{LB=SA}}{extend})+|[\p{{Script=Han}}\p{{Script=Hiragana}}]{extend}"
    return regex.compile(rf"{word}|{emoji}|{flag}|{asian}", regex.VERSION1)
