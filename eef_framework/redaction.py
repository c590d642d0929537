"""Keeps secrets out of messages, records and files.

Every message of an `EefError` and an `EefWarning` goes through `redact`, and so does every text of a server's that is
recorded.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

HIDDEN = "***"
"""Replacement for a secret."""

SHORTEST = 6
"""Minimum length of a secret, in characters. Shorter values, such as `none`, are placeholders."""

_SECRET_NAME = re.compile(
    r"(^|[_-])(api[_-]?key|key|keys|token|secret|password|passwd|pass|credentials?|authorization|auth|bearer)([_-]|$)",
    re.IGNORECASE,
)
"""Pattern for names of environment variables or fields with secrets."""

_PATTERNS = (
    (re.compile(r"(?<=://)[^\s/@'\"]*:[^\s/@'\"]*(?=@)"), HIDDEN),  # http://user:password@host
    (re.compile(r"(?i)\b(bearer|basic)(\s+|%20)(?!none\b)[^\s'\",;)\\}]+"), rf"\1 {HIDDEN}"),
    (
        re.compile(
            r"(?i)((?:api[_-]?key|(?:access|auth|api)[_-]?token|password|passwd|secret|authorization)"
            r"(?:=|['\"]\s*:\s*)['\"]?)(?!bearer|basic|\*)[^\s'\",;)}&]{6,}"
        ),
        rf"\1{HIDDEN}",
    ),  # api_key=..., {"password": "..."}
    (re.compile(r"(?i)([?&](?:key|token|sig|signature|code)=)[^\s'\"&#]{6,}"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(api-key['\"]?:\s+['\"]?)(?!\*)[^\s'\",;)}]{6,}"), rf"\1{HIDDEN}"),  # a header
    (re.compile(r"\b(sk|pk|rk|gsk|hf|xai|tgp|nvapi|gh[opsu]|glpat)[-_][A-Za-z0-9_*.-]{12,}"), HIDDEN),
    (re.compile(r"\bAIza[A-Za-z0-9_-]{20,}"), HIDDEN),
)

_known: set[str] = set()


def register_secret(value: str) -> None:
    """Redact a value from all messages from now on, regardless of the name of its environment variable."""
    if len(value.strip()) >= SHORTEST:
        _known.add(value.strip())


def is_secret_name(name: str) -> bool:
    """Return whether an environment variable or a field of this name usually holds a secret."""
    return _SECRET_NAME.search(name) is not None


def redact(text: str) -> str:
    """Return a text without secrets, in any of their forms.

    Secrets are those registered, the values of environment variables with names such as `..._KEY` or `..._TOKEN`, the
    passwords of proxies, and what looks like a key or a password in an address.
    """
    text = redact_known(text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact_known(text: str, shortest: int = SHORTEST) -> str:
    """Return a text without known secrets: for texts in which a mere resemblance isn't a reason to redact.

    Args:
        text: any text.
        shortest: minimum length of a secret, in characters.
    """
    pattern = _pattern(frozenset(secret for secret in _secrets(os.environ) if len(secret) >= shortest))
    return pattern.sub(HIDDEN, text) if pattern else text


def redacted(value: Any) -> Any:
    """Return plain data with every text in it redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: redacted(each) for key, each in value.items()}
    return type(value)(map(redacted, value)) if type(value) in (list, tuple, set) else value


def _secrets(environ: Mapping[str, str]) -> Iterator[str]:
    yield from _known
    for name, value in environ.items():
        if name.lower().endswith("_proxy"):
            yield from _passwords(value)
        # Names such as SSH_AUTH_SOCK hold paths.
        elif is_secret_name(name) and not value.startswith(("/", "~")) and len(value.strip()) >= SHORTEST + 2:
            yield value.strip()


def _passwords(url: str) -> Iterator[str]:
    try:
        password = urlsplit(url).password or ""
    except ValueError:
        return
    yield from (each for each in (password, unquote(password)) if len(each) >= SHORTEST)


@lru_cache(maxsize=8)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str] | None:
    forms = {form for secret in secrets for form in _forms(secret)}
    encoded = {form for secret in secrets for form in _base64(secret)}
    parts = [re.escape(form) for form in sorted(forms, key=len, reverse=True)]
    if encoded:
        parts.append(rf"[A-Za-z0-9+/_-]*(?:{'|'.join(map(re.escape, sorted(encoded)))})[A-Za-z0-9+/_=-]*")
    return re.compile("|".join(parts)) if parts else None


def _forms(secret: str) -> Iterable[str]:
    quoted = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
    escaped = secret.encode("unicode_escape").decode()
    urls = (quote(secret), quote(secret, safe=""), quote_plus(secret))
    hexadecimal = secret.encode("utf-8", "surrogatepass").hex()
    return {secret, *quoted, escaped, *urls, *(url.lower() for url in urls), html.escape(secret), hexadecimal}


def _base64(secret: str) -> Iterator[str]:
    """Yield the base64 forms of a secret for every offset in the encoded text, such as after `user:`."""
    data = secret.encode("utf-8", "surrogatepass")
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + data)
        first = (0, 2, 3)[offset]  # characters that depend on what comes before
        last = (len(data) + offset) % 3
        core = encoded[first : len(encoded) - (4 if last else 0)].decode()
        if len(core) >= SHORTEST:
            yield core
            yield core.replace("+", "-").replace("/", "_")
