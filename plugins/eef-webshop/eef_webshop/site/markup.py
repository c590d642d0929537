"""How a value reads once it went through the reference's HTML, and came out as text again."""

from __future__ import annotations

import json

_BLANK = " \t\n\r\f"


def node(text: str) -> str:
    """Return a text as the page's parser gives it: one of white space only shrinks to a blank, or vanishes.

    Returns:
        The text; empty where the reference shows nothing.
    """
    if text.strip(_BLANK):
        return text
    return " " if text and "\n" not in text else ""


def joined(parts: list[str]) -> str:
    """Return the parts of a page in mode `text`."""
    return " [SEP] ".join([part.strip() for part in parts if part])


def script_safe_json(value: object) -> str:
    """Return JSON as the page's template writes it: sorted, in ASCII, without characters that HTML gives a meaning."""
    text = json.dumps(value, sort_keys=True)
    for character in "&<>'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
