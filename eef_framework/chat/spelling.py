"""Matches texts with admissible actions except for spelling: case, spaces, width of signs, invisible characters."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from eef_framework.records import FreeText, Observation

_INVISIBLE = (0xAD, 0x61C, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF, 0x7F)
_CONTROL = tuple(code for code in range(32) if code not in (9, 10))
_SPACES = (0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)
_PLAIN: dict[int, int | str] = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},  # full-width forms of ASCII
    **str.maketrans("【】〔〕〖〗﹕꞉∶", "[][][]:::"),
    **dict.fromkeys((*_INVISIBLE, *_CONTROL, *_SPACES), " "),
    **dict.fromkeys((0x0B, 0x0C, 0x0D, 0x85, 0x2028, 0x2029), "\n"),
}
_PAIRS = {"[": "]", "(": ")", "{": "}"}
_EDGES = "".join(map(chr, (*_INVISIBLE, *_CONTROL, *_SPACES))) + " \t\n"


def plain(text: str) -> str:
    r"""Return a text of the same length in which equivalent characters are equal.

    Full-width letters and signs become ASCII, invisible and control characters and all kinds of spaces a space, all
    line ends `\n`. Positions in it are the same as in the text.
    """
    return text.translate(_PLAIN)


def admissible(text: str, observation: Observation) -> tuple[str, int] | None:
    """Return the admissible spelling of an action, and how many characters of the text it takes.

    None if the text isn't known to be admissible, or could be several admissible actions.
    """
    actions = observation.actions or ()
    if text in actions:
        return text, len(text)
    key = _new_key(text)
    found = {action for action in actions if _key(action) == key} if key else set()
    if found:
        return (found.pop(), len(text)) if len(found) == 1 else None
    candidates = (_free(text, form) for form in observation.free)
    return next((each for each in candidates if each), None)


def same(one: str, other: str) -> bool:
    """Return whether two texts are the same action except for their spelling."""
    return one == other or _new_key(one) == _new_key(other)


def tidy(text: str) -> str:
    """Return an action that isn't known to be admissible with usual brackets, and no spaces at their edges."""
    text = text.strip(_EDGES)
    simple = plain(text)
    start = simple.find("[")
    if start < 0 or not simple.endswith("]") or "]" in simple[:start]:
        return text
    return f"{text[:start].strip(_EDGES)}[{text[start + 1 : -1].strip(_EDGES)}]"


def _new_key(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", plain(text)).split()).casefold()


_key = lru_cache(maxsize=1 << 16)(_new_key)


def _free(text: str, form: FreeText) -> tuple[str, int] | None:
    simple = plain(text)
    begun = _loose(form.prefix).match(simple)
    if not begun:
        return None
    start = begun.end()
    prefix, suffix = plain(form.prefix).strip(), plain(form.suffix).strip()
    if prefix and suffix and _PAIRS.get(prefix[-1]) == suffix:
        end = _closing(simple, start, prefix[-1], suffix)
        used = end + 1
    else:
        ended = _loose(form.suffix[::-1]).match(simple[start:][::-1])
        end, used = len(text) - ended.end() if ended else -1, len(text)
    inner = text[start:end].strip(_EDGES) if end >= 0 else ""
    return (f"{form.prefix}{inner}{form.suffix}", used) if inner else None


def _closing(text: str, start: int, opening: str, closing: str) -> int:
    """Return the position where the bracket opened before `start` is closed; -1 if it isn't.

    Brackets that pair tell where the part ends, and what follows isn't part of it; of others the last one counts.
    """
    if text.count(opening, start) + 1 != text.count(closing, start):
        return text.rfind(closing, start)
    depth = 1
    for place in re.finditer(rf"[{re.escape(opening + closing)}]", text[start:]):
        depth += 1 if place[0] == opening else -1
        if not depth:
            return start + place.start()
    return -1


@lru_cache(maxsize=1024)
def _loose(text: str) -> re.Pattern[str]:
    """Return a pattern for a text with spaces anywhere between words and signs, and somewhere between words."""
    parts = re.findall(r"\w+|\s+|[^\w\s]", plain(text))
    pattern = r"\s*+"
    for part, following in zip(parts, [*parts[1:], ""], strict=False):
        pattern += r"\s++" if part.isspace() else re.escape(part)
        if not part.isspace() and not following.isspace():
            pattern += r"\s*+"
    # "  put" and "put  " begin and end with two patterns for spaces, of which the first would take all.
    pattern = pattern.replace(r"\s*+\s++", r"\s++")
    return re.compile(pattern, re.IGNORECASE)
