"""Output on terminals that can't show every character: readable, and never an error."""

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
    """Have stdout and stderr print something similar for what their encoding lacks: `+-` for a plus-minus sign.

    Without this, a table with one such character would end a command with an error in an ASCII locale.
    A closed stdin reads as empty.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 (open as long as the process runs)
    codecs.register_error("eef-similar", _similar)
    for stream in (sys.stdout, sys.stderr):
        encoding = str(getattr(stream, "encoding", "")).lower().replace("-", "")
        if encoding not in ("", "none") and hasattr(stream, "reconfigure"):
            # File names may contain bytes that aren't text: even UTF-8 can't encode these.
            stream.reconfigure(errors="backslashreplace" if encoding == "utf8" else "eef-similar")


def _similar(error: UnicodeError) -> tuple[str, int]:
    """Return a replacement for the characters that an encoding lacks, and the position to continue from."""
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
