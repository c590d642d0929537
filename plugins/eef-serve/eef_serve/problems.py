"""What clients are told about a request that failed: the same over HTTP and over WebSockets."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from eef_framework.errors import ConfigError, EefError
from eef_serve.wire import Problem


def problem_of(error: Exception) -> tuple[int, Problem]:
    """Return the HTTP status of an error, and what to tell the client."""
    if isinstance(error, EefError):
        status = HTTPStatus.BAD_REQUEST if isinstance(error, ConfigError) else HTTPStatus.INTERNAL_SERVER_ERROR
        message = _encodable(error.message)
        return getattr(error, "status", status), Problem(code=error.code, message=message, fix=_encodable(error.fix))
    if isinstance(error, TimeoutError):
        message = "the environment took too long; the session is lost"
        return HTTPStatus.GATEWAY_TIMEOUT, Problem(code="step-timeout", message=message, fix="Restore it.")
    message = _encodable(f"the environment failed: {type(error).__name__}: {error}")
    return HTTPStatus.INTERNAL_SERVER_ERROR, Problem(code="environment-failed", message=message)


def _encodable(text: str) -> str:
    """Return a text that may quote some that isn't valid Unicode as one that can be sent."""
    return text.encode("utf-8", "backslashreplace").decode()


def malformed(errors: Sequence[Any]) -> Problem:
    """Return a problem that names the first invalid field.

    Args:
        errors: the errors of a validation by pydantic.
    """
    place = ".".join(map(str, errors[0]["loc"]))
    return Problem(code="malformed-request", message=f"{place}: {errors[0]['msg']}".removeprefix(": "))
