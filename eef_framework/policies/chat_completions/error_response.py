"""Parses error responses, in the many formats that servers use."""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eef_framework.redaction import redact

LONGEST_REASON = 300
"""Maximum number of characters of a server's text to show."""

_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class ErrorResponse:
    """A rejection of a request, or a failure that the server reports.

    Attributes:
        status: the HTTP status, or the equivalent of an error within a response.
        text: the reason in the server's words, in full.
        code: its name for programs, in lower case; empty without one.
        kind: what the server calls `type`, in lower case.
        field: the invalid field of the request, if it is named.
        numbers: numbers given with the reason, by name, such as `n_ctx`.
        retry_after_s: the requested wait.
        moved_to: the address that a redirection led to.
    """

    status: int
    text: str = ""
    code: str = ""
    kind: str = ""
    field: str = ""
    numbers: tuple[tuple[str, int], ...] = ()
    retry_after_s: float | None = None
    moved_to: str = ""

    @property
    def reason(self) -> str:
        """The reason, shortened for display, without secrets."""
        return shortened(self.text) or "no reason was given"

    @property
    def names(self) -> frozenset[str]:
        """The server's code and type of the error."""
        return frozenset({self.code, self.kind} - {""})


class RequestRejected(Exception):
    """A server refused a request, or reports a failure within a response."""

    def __init__(self, rejection: ErrorResponse) -> None:
        super().__init__(rejection.reason)
        self.rejection = rejection


def shortened(text: str) -> str:
    """Return a server's text on one line, without tags and secrets, truncated."""
    text = redact(" ".join(_TAGS.sub(" ", text).split()))  # before truncation: half of a key isn't recognised
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."


def read_error_response(status: int, body: str, headers: Mapping[str, str], moved_to: str = "") -> ErrorResponse:
    """Parse a response with a status other than 200.

    Args:
        status: the status.
        body: the response's body.
        headers: its headers, with names in lower case.
        moved_to: the address that it came from, if a redirection led there.
    """
    try:
        document = json.loads(body)
    except ValueError:
        document = body
    wait = _wait(headers, time.time())
    return _error_response(document, status, retry_after_s=wait, moved_to=moved_to)


def error_within(document: Any) -> ErrorResponse | None:
    """Return the error in a response with status 200, instead of a choice or within one; None if there is none."""
    if not isinstance(document, dict):
        return None
    choices = document.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    for holder in (document, first, first.get("message")):
        error = holder.get("error") if isinstance(holder, dict) else None
        if error:
            status = error.get("code", error.get("status")) if isinstance(error, dict) else None
            if isinstance(status, int) and not isinstance(status, bool) and 400 <= status <= 599:
                return _error_response({"error": error}, status)
            return _error_response({"error": error}, 502)
    return None


def _error_response(document: Any, status: int, **more: Any) -> ErrorResponse:
    if isinstance(document, list) and document:  # Gemini's
        document = document[0]
    error = document
    if isinstance(document, dict):
        error = document.get("error") or document.get("errors") or document.get("detail") or document
        if isinstance(error, str | list):
            error = {**document, "message": error}
    if not isinstance(error, dict):
        return ErrorResponse(status, _text(error), **more)
    text = next((_text(error[key]) for key in ("message", "msg", "detail", "error", "reason") if error.get(key)), "")
    metadata = error.get("metadata")
    if isinstance(metadata, dict) and metadata.get("raw"):  # the error of a router's upstream provider
        text = f"{text}: {_text(metadata['raw'])}"
    numbers = {key: value for key, value in error.items() if isinstance(value, int) and not isinstance(value, bool)}
    numbers.pop("code", None)
    return ErrorResponse(
        status=status,
        text=text or _text(error),
        code=_name(error.get("code")),
        kind=_name(error.get("type") or error.get("error_type") or error.get("status")),
        field=_field(error),
        numbers=tuple(numbers.items()),
        **more,
    )


def _name(value: Any) -> str:
    return value.lower() if isinstance(value, str) else str(value) if isinstance(value, int) else ""


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(each, dict) and "msg" in each for each in value):
        # FastAPI's: [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]
        return "; ".join(f"{'.'.join(map(str, _as_list(each.get('loc'))))}: {each['msg']}" for each in value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _field(error: Mapping[str, Any]) -> str:
    if isinstance(error.get("param"), str):
        return str(error["param"]).split(".")[-1]
    message = error.get("message")
    if isinstance(message, list) and message and isinstance(message[0], dict):
        place = _as_list(message[0].get("loc"))
        return str(place[1]) if len(place) > 1 else ""
    return ""


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _wait(headers: Mapping[str, str], now: float) -> float | None:
    """Return how many seconds a server asks to wait for: given in seconds, milliseconds, or as a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if not value:
            continue
        try:
            seconds = float(value) / unit
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - now
            except (ValueError, TypeError, OverflowError):
                continue
        if seconds == seconds and abs(seconds) != float("inf"):  # not NaN
            return max(0.0, seconds)
    return None
