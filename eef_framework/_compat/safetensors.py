"""Errors of libraries in Rust (safetensors, tokenizers): only the text tells why a file can't be written."""

from __future__ import annotations

import re


def os_error_number(cause: Exception) -> int | None:
    """Return the operating system's error number in an exception's text; None if it has none."""
    found = re.search(r"\(os error (\d+)\)", str(cause))
    return int(found[1]) if found else None
