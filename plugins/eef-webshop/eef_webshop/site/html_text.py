"""Text as it results from the reference's HTML templates and parser."""

from __future__ import annotations

import json

_BLANK = " \t\n\r\f"


def as_rendered(text: str) -> str:
    """Return a text as the page's parser returns it: white space alone becomes one blank or nothing."""
    if text.strip(_BLANK):
        return text
    return " " if text and "\n" not in text else ""


def join_parts(parts: list[str]) -> str:
    """Return the text of a page in mode `text`, given its parts."""
    return " [SEP] ".join([part.strip() for part in parts if part])


def script_safe_json(value: object) -> str:
    """Return JSON as the page's template writes it: sorted, in ASCII, with HTML's special characters escaped."""
    text = json.dumps(value, sort_keys=True)
    for character in "&<>'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
