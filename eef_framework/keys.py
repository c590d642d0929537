"""Reads keys and tokens from environment variables."""

from __future__ import annotations

import os

from eef_framework.errors import ConfigError
from eef_framework.redaction import register_secret


def read_key(variable: str) -> str:
    """Return the key in an environment variable; an empty text if it isn't set.

    Blanks, line ends and quotes around it, which come in with files and editors, are left off. The key is redacted in
    all messages from then on.

    Raises:
        ConfigError: it can't be a key (`bad-key`).
    """
    key = os.environ.get(variable, "").strip().strip("\ufeff\u200b").strip()
    if len(key) > 1 and key[0] == key[-1] and key[0] in "'\"":  # as some tools keep them from .env files
        key = key[1:-1].strip()
    register_secret(key)
    if not all("!" <= character <= "~" for character in key):
        raise ConfigError(
            f"the environment variable {variable} can't be a key: it contains blanks, line ends or other "
            "characters that keys don't have",
            f"Set {variable} again, to the key alone.",
            code="bad-key",
            variable=variable,
        )
    return key
