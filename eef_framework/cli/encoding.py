"""Output on terminals with a limited encoding: readable, and never an error."""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata

_PLAIN = {
    "±": "+-",
    "×": "x",
    "→": "->",
    "←": "<-",
    "–": "-",
    "—": "-",
    "−": "-",
    "·": "*",
    "•": "*",
    "…": "...",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "≤": "<=",
    "≥": ">=",
    "✓": "ok",
    "✗": "x",
}


def use_any_terminal() -> None:
    """Make stdout and stderr replace characters that their encoding lacks with similar ones: `+-` for `±`.

    Otherwise a single such character would raise an error, for example in an ASCII locale. A closed stdin reads as
    empty.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 (open as long as the process runs)
    codecs.register_error("eef-similar", _similar)
    for stream in (sys.stdout, sys.stderr):
        encoding = str(getattr(stream, "encoding", "")).lower().replace("-", "")
        if encoding not in ("", "none") and hasattr(stream, "reconfigure"):
            # File names may contain bytes that aren't valid text: even UTF-8 can't encode these.
            stream.reconfigure(errors="backslashreplace" if encoding == "utf8" else "eef-similar")


def _similar(error: UnicodeError) -> tuple[str, int]:
    """Return a replacement for characters that can't be encoded, and the position to continue from."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(_ascii(character) for character in characters), error.end


def _ascii(character: str) -> str:
    letters = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    for similar in (_PLAIN.get(character, ""), letters):
        if similar and similar.isascii():
            return similar
    return "?"
