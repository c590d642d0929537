"""Lucene's standard tokenizer: Unicode's word boundaries (UAX #29), emoji and symbols kept, other signs dropped.

The grammar follows the description in Lucene's `StandardTokenizerImpl.jflex`. What matters for products: `finish:wood` and
`3.5` are one token each, `don't` too; `a/b` and `a-b` are two; a heart, a check mark, © and ™ are tokens of their own.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

LONGEST = 255
"""Characters a token may have; a longer one is cut into pieces."""

_ASCII = re.compile(r"_*[a-zA-Z0-9](?:\w|(?<=[a-zA-Z])[:.'](?=[a-zA-Z])|(?<=[0-9])[.,;'](?=[0-9]))*", re.ASCII)


def tokenize(text: str) -> list[str]:
    """Return the tokens of a text, in order."""
    tokens = (_ASCII if text.isascii() else unicode_pattern()).findall(text)
    return tokens if len(text) <= LONGEST or max(map(len, tokens), default=0) <= LONGEST else _cut(tokens)


def _cut(tokens: list[str]) -> list[str]:
    return [token[start : start + LONGEST] for token in tokens for start in range(0, len(token), LONGEST)]


@cache
def unicode_pattern() -> Any:
    """Return the pattern for texts with any characters; on ASCII texts it finds the same as the fast one."""
    import regex

    # The colon is written out because newer versions of Unicode no longer let it join letters.
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
    word = rf"(?:{line})*{unit}(?:(?:{line})+{unit})*(?:{line})*"
    shown = rf"\p{{Extended_Pictographic}}[\p{{WB=Extend}}\p{{WB=Format}}\p{{WB=ZWJ}}--[\uFE0E\uFE0F\U000E0020-\U000E007F]]*\uFE0F?"
    emoji = rf"{shown}(?:(?:\u200D{shown})*|[\U000E0020-\U000E007E]+\U000E007F)|[#*]{extend}\u20E3{extend}"
    flag = rf"(?:\p{{WB=Regional_Indicator}}{extend}){{2}}"
    asian = rf"(?:\p{{LB=SA}}{extend})+|[\p{{Script=Han}}\p{{Script=Hiragana}}]{extend}"
    return regex.compile(rf"{word}|{emoji}|{flag}|{asian}", regex.VERSION1)
