"""Classifies failures of requests: transient, affecting one answer, or affecting all answers."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from eef_framework.errors import AnswerFailure, EefError, PolicyFailure
from eef_framework.policies.chat_completions.answer import FailedAnswer, UnreadableAnswer
from eef_framework.policies.chat_completions.context_length import is_too_long
from eef_framework.policies.chat_completions.error_response import ErrorResponse, RequestRejected, shortened
from eef_framework.policies.chat_completions.rejections import (
    Explanation,
    explained,
    is_filtered,
    is_passing,
    out_of_credit,
)
from eef_framework.policies.chat_completions.settings import ServerSettings


class AvoidableRejection(Exception):
    """A rejection of a request that might be answered in another form.

    Args:
        failure: the error to raise if there is no other form.
        rejection: the error response.
    """

    def __init__(self, failure: EefError, rejection: ErrorResponse) -> None:
        super().__init__(failure.message)
        self.failure, self.rejection = failure, rejection


class ContextExceeded(AvoidableRejection):
    """The conversation is longer than the model's context."""


class RejectedWithoutReason(AvoidableRejection):
    """A rejection for an unknown reason, perhaps the conversation's length."""


class FieldRejected(AvoidableRejection):
    """A rejection of one field of the request.

    Args:
        failure: as above.
        rejection: as above.
        field: the field.
    """

    def __init__(self, failure: EefError, rejection: ErrorResponse, field: str) -> None:
        super().__init__(failure, rejection)
        self.field = field


class AnswerTimeout(Exception):
    """There was no complete answer within the timeout."""


def is_transient(error: BaseException, answered: bool) -> bool:
    """Return whether a retry of the same request may succeed.

    Args:
        error: its error.
        answered: whether this server has answered anything yet.
    """
    import openai

    if isinstance(error, RequestRejected):
        rejection = error.rejection
        return is_passing(rejection) and not (
            out_of_credit(rejection) or is_filtered(rejection) or is_too_long(rejection)
        )
    if isinstance(error, openai.APIConnectionError):
        # Wrong certificates and misspelt names are permanent; names of servers that answered before may recover.
        return not _find(error, ssl.SSLError) and (answered or not _no_such_host(error))
    return isinstance(error, UnreadableAnswer | AnswerTimeout)


def failure_of(
    error: Exception,
    settings: ServerSettings,
    attempts: int,
    answered: bool,
    fields: Mapping[str, Any],
    models: Sequence[str] = (),
) -> EefError:
    """Return the error for a lost answer.

    Args:
        error: the exception of the last attempt.
        settings: the server's.
        attempts: how many there were.
        answered: whether this server has answered anything yet. One that refuses the very first request would refuse
            all of them.
        fields: of the request, without model and messages.
        models: names in the server's list of models, if it was requested.
    """
    if isinstance(error, EefError):
        return error
    explanation, reason = _explanation(error, settings, answered, fields, models)
    times = f" {attempts} times" if attempts > 1 else ""
    kind = PolicyFailure if explanation.everybody else AnswerFailure
    details = {"model": settings.model, "base_url": settings.endpoint, "attempts": attempts, "reason": reason}
    return kind(
        f"{settings.model!r} at {settings.endpoint} {explanation.what}{times}: {reason}",
        explanation.fix,
        code=explanation.code,
        **{**details, **explanation.details},
    )


def _explanation(
    error: Exception, settings: ServerSettings, answered: bool, fields: Mapping[str, Any], models: Sequence[str]
) -> tuple[Explanation, str]:
    import openai

    if isinstance(error, RequestRejected):
        rejection = error.rejection
        explanation = explained(rejection, settings, answered, fields, models)
        details = {"status": rejection.status, "server_code": rejection.code or rejection.kind, **explanation.details}
        return replace(explanation, details=details), rejection.reason
    if isinstance(error, AnswerTimeout) or (isinstance(error, openai.APITimeoutError) and not _connecting(error)):
        details = {"timeout_s": settings.timeout_s}
        return Explanation(
            f"didn't answer within {settings.timeout_s:g} s",
            "Raise timeout_s if it needs longer.",
            code="answer-timeout",
            details=details,
        ), "no answer"
    if isinstance(error, openai.APIConnectionError):
        return _of_connection(error, settings), shortened(_root_text(error))
    if isinstance(error, FailedAnswer):
        return Explanation("failed", code="server-error"), shortened(str(error))
    if isinstance(error, UnreadableAnswer):
        return Explanation(
            "gave no readable answer", "Check that base_url leads to a chat-completions API.", code="unreadable-answer"
        ), shortened(str(error))
    return Explanation(
        f"couldn't be queried ({type(error).__name__})", code="request-failed", everybody=True
    ), shortened(str(error))


def _of_connection(error: Exception, settings: ServerSettings) -> Explanation:
    if (cause := _find(error, ssl.SSLError)) is not None:
        if "WRONG_VERSION_NUMBER" in str(cause) or "record layer" in str(cause):
            return Explanation(
                "doesn't speak https there",
                "Write http:// in base_url, or give the port at which it speaks https.",
                code="not-https",
                everybody=True,
            )
        return Explanation(
            "has a certificate that isn't trusted",
            (
                "Where the certificate is one of your own, such as a company's, set SSL_CERT_FILE (or "
                "REQUESTS_CA_BUNDLE) to a file with the certificates to trust. Where it isn't, check base_url and the "
                "clock."
            ),
            code="bad-certificate",
            everybody=True,
        )
    if _no_such_host(error):
        return Explanation(
            "wasn't found", "Check the name in base_url, and the network.", code="no-such-host", everybody=True
        )
    if any(type(each).__name__ == "ProxyError" for each in _causes(error)):
        return Explanation(
            "couldn't be reached through the proxy",
            "Check HTTP_PROXY and HTTPS_PROXY, or add the server to NO_PROXY.",
            code="proxy-refused",
            everybody=True,
        )
    if _connecting(error):
        return Explanation(
            "couldn't be reached",
            "Start the server, or correct base_url; then run the command again to continue.",
            code="unreachable",
            everybody=True,
        )
    return Explanation("broke off", code="connection-lost")


def _connecting(error: BaseException) -> bool:
    """Return whether the connection failed."""
    return type(error.__cause__).__name__.startswith("Connect")


def _no_such_host(error: BaseException) -> bool:
    cause = _find(error, socket.gaierror)
    return isinstance(cause, OSError) and cause.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None))


def _find(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    return next((each for each in _causes(error) if isinstance(each, kind)), None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _root_text(error: BaseException) -> str:
    texts = [str(each) or type(each).__name__ for each in _causes(error)]
    return texts[1] if len(texts) > 1 else texts[0]
