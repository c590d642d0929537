"""Makes text from records, servers and files safe to print on a terminal."""

from __future__ import annotations

import unicodedata

_HARMFUL = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
"""Categories of characters that change what a terminal does: escapes, changes of direction, line separators."""
_HARMLESS = "\n\t\u200d\ufe0f"  # the last two put emoji together


def printable(text: str) -> str:
    r"""Return a text with its control characters escaped: the start of an escape sequence becomes `\x1b`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text.replace("\r\n", "\n")))


def _shown(character: str) -> str:
    if character in _HARMLESS or unicodedata.category(character) not in _HARMFUL:
        return character
    return character.encode("unicode_escape").decode()
