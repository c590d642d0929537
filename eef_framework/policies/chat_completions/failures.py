"""Classifies failures of requests: transient, affecting one answer, or affecting all answers."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from eef_framework.errors import AnswerFailure, EefError, PolicyFailure, nearest
from eef_framework.policies.chat_completions.answer import FailedAnswer, UnreadableAnswer
from eef_framework.policies.chat_completions.context_length import is_too_long
from eef_framework.policies.chat_completions.error_response import ErrorResponse, RequestRejected, shortened
from eef_framework.policies.chat_completions.settings import LIMITS, ServerSettings

_PASSING = frozenset({408, 409, 425, 429})
_OUT_OF_MONEY = frozenset(
    [
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "insufficient_balance",
        "insufficient_credits",
        "exceeded_current_quota_error",
        "access_terminated",
        "arrearage",
        "1113",
    ]
)
_FILTERS = frozenset(
    [
        "content_filter",
        "content_policy_violation",
        "responsibleaipolicyviolation",
        "data_inspection_failed",
        "datainspectionfailed",
        "invalid_prompt",
        "content_filter_error",
        "moderation_blocked",
        "1301",
    ]
)
_FILTER_WORDS = re.compile(
    r"content.{0,12}(?:filter|policy)|flagged|moderation|inappropriate content|usage polic|safety system", re.IGNORECASE
)
_NO_MODEL = frozenset({"model_not_found", "model_not_exist", "invalid_model", "not_found_model", "1211"})
_NO_MODEL_WORDS = re.compile(r"model\b.{0,80}\b(?:not exist|not found|does not exist|unknown|no such)", re.IGNORECASE)
_NOT_KNOWN = re.compile(
    r"unsupported|unrecognized|unknown|unexpected|not supported|n[o']t support|not permitted|not allowed"
    r"|extra (?:field|inp)|invalid|no such (?:field|parameter)|not recognized"
    r"|must be|only the default|above maximum|too (?:large|many)",
    re.IGNORECASE,
)
"""Matches a server's text about an unknown field or an unsupported value."""


class ContextExceeded(Exception):
    """The conversation is longer than the model's context.

    Args:
        failure: the error to raise if no observation can be dropped.
        rejection: the error response.
    """

    def __init__(self, failure: AnswerFailure, rejection: ErrorResponse) -> None:
        super().__init__(failure.message)
        self.failure, self.rejection = failure, rejection


class RejectedWithoutReason(Exception):
    """A rejection for an unknown reason, perhaps the conversation's length.

    Args:
        failure: the error to raise if it is another reason.
        rejection: the error response.
    """

    def __init__(self, failure: EefError, rejection: ErrorResponse) -> None:
        super().__init__(failure.message)
        self.failure, self.rejection = failure, rejection


class FieldRejected(Exception):
    """A rejection of one field of the request.

    Args:
        failure: the error to raise if the field can't be changed.
        rejection: the error response.
        field: the field.
    """

    def __init__(self, failure: EefError, rejection: ErrorResponse, field: str) -> None:
        super().__init__(failure.message)
        self.failure, self.rejection, self.field = failure, rejection, field


class AnswerTimeout(Exception):
    """There was no complete answer within the timeout."""


@dataclass(frozen=True)
class _Explanation:
    """Explanation of a failure.

    Attributes:
        what: what the server did.
        fix: what to do about it.
        code: of the error.
        everybody: whether it affects all answers, not only one.
        details: of the error.
    """

    what: str
    fix: str = ""
    code: str = field(kw_only=True)
    everybody: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)


def is_transient(error: BaseException, answered: bool) -> bool:
    """Return whether a retry of the same request may succeed.

    Args:
        error: its error.
        answered: whether this server has answered anything yet.
    """
    import openai

    if isinstance(error, RequestRejected):
        rejection = error.rejection
        passing = rejection.status in _PASSING or rejection.status >= 500
        return passing and not (out_of_credit(rejection) or is_filtered(rejection) or is_too_long(rejection))
    if isinstance(error, openai.APIConnectionError):
        # Wrong certificates and misspelt names are permanent; names of servers that answered before may recover.
        return not _find(error, ssl.SSLError) and (answered or not _no_such_host(error))
    return isinstance(error, UnreadableAnswer | AnswerTimeout)


def out_of_credit(rejection: ErrorResponse) -> bool:
    """Return whether the account is out of credit, so that no request will be answered."""
    return rejection.status == 402 or bool(rejection.names & _OUT_OF_MONEY)


def is_filtered(rejection: ErrorResponse) -> bool:
    """Return whether a content filter rejects this input, while others may pass."""
    if rejection.names & _FILTERS:
        return True
    return rejection.status in (400, 403, 422) and _FILTER_WORDS.search(rejection.text) is not None


def rejected_field(rejection: ErrorResponse, fields: Mapping[str, Any]) -> str:
    """Return the refused field of a request; empty if the server doesn't say."""
    if rejection.status not in (400, 422) or not _NOT_KNOWN.search(rejection.text):
        return ""
    if rejection.field in fields:
        return rejection.field
    named = [field for field in fields if re.search(rf"(?<!\w){re.escape(field)}(?!\w)", rejection.text)]
    return named[0] if named else ""


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
    details = {"model": settings.model, "base_url": settings.place, "attempts": attempts, "reason": reason}
    return kind(
        f"{settings.model!r} at {settings.place} {explanation.what}{times}: {reason}",
        explanation.fix,
        code=explanation.code,
        **{**details, **explanation.details},
    )


def _explanation(
    error: Exception, settings: ServerSettings, answered: bool, fields: Mapping[str, Any], models: Sequence[str]
) -> tuple[_Explanation, str]:
    import openai

    if isinstance(error, RequestRejected):
        rejection = error.rejection
        explanation = _of_rejection(rejection, settings, answered, fields, models)
        details = {"status": rejection.status, "server_code": rejection.code or rejection.kind, **explanation.details}
        return replace(explanation, details=details), rejection.reason
    if isinstance(error, AnswerTimeout) or (isinstance(error, openai.APITimeoutError) and not _connecting(error)):
        details = {"timeout_s": settings.timeout_s}
        return _Explanation(
            f"didn't answer within {settings.timeout_s:g} s",
            "Raise timeout_s if it needs longer.",
            code="answer-timeout",
            details=details,
        ), "no answer"
    if isinstance(error, openai.APIConnectionError):
        return _of_connection(error, settings), shortened(_root_text(error))
    if isinstance(error, FailedAnswer):
        return _Explanation("failed", code="server-error"), shortened(str(error))
    if isinstance(error, UnreadableAnswer):
        return _Explanation(
            "gave no readable answer", "Check that base_url leads to a chat-completions API.", code="unreadable-answer"
        ), shortened(str(error))
    return _Explanation(
        f"couldn't be asked ({type(error).__name__})", code="request-failed", everybody=True
    ), shortened(str(error))


def _of_rejection(
    rejection: ErrorResponse, settings: ServerSettings, answered: bool, fields: Mapping[str, Any], models: Sequence[str]
) -> _Explanation:
    status = rejection.status
    if rejection.moved_to:
        to = re.sub(r"/chat/completions/?$", "", rejection.moved_to)
        return _Explanation(
            "has moved",
            f"Set base_url to where it is: {to}",
            code="redirected",
            everybody=True,
            details={"location": rejection.moved_to},
        )
    if is_filtered(rejection):
        return _Explanation("withheld its answer", code="content-filter")
    if status in (401, 403):
        return _Explanation(
            f"refused ({status})",
            f"Check the key in the environment variable {settings.api_key_env}.",
            code="key-refused",
            everybody=True,
            details={"variable": settings.api_key_env},
        )
    if status == 407:
        return _Explanation(
            f"refused ({status})",
            "Check the environment variables HTTP_PROXY and HTTPS_PROXY.",
            code="proxy-refused",
            everybody=True,
        )
    if out_of_credit(rejection):
        return _Explanation(
            f"refused ({status})",
            "Top up the account and run the command again: it goes on from here.",
            code="out-of-money",
            everybody=True,
        )
    if rejection.names & _NO_MODEL or status == 404 or (status == 400 and _NO_MODEL_WORDS.search(rejection.text)):
        if models and settings.model not in models:
            fix = f"Set model to one that the server has; {nearest(settings.model, models)}"
            return _Explanation(
                "has no such model", fix, code="no-such-model", everybody=True, details={"known": tuple(models)}
            )
        return _Explanation(
            f"refused ({status})",
            "Check model and base_url; most addresses end with /v1.",
            code="no-such-address",
            everybody=True,
        )
    if status == 405:
        return _Explanation(
            f"refused ({status})",
            "Check base_url; most addresses end with /v1.",
            code="no-such-address",
            everybody=True,
        )
    field = rejected_field(rejection, fields)
    if field:
        return _Explanation(
            f"refused ({status})",
            _advice(field, fields),
            code="field-refused",
            everybody=not answered,
            details={"field": field},
        )
    if status in _PASSING or status >= 500:
        return _Explanation(f"refused ({status})", code="server-busy" if status in (429, 503, 529) else "server-error")
    return _Explanation(
        f"refused ({status})",
        "" if answered else "Check stop, token_limit and extra: the server may not know a field.",
        code="request-refused",
        everybody=not answered,
    )


def _advice(field: str, fields: Mapping[str, Any]) -> str:
    if field in LIMITS:
        return f"Lower max_tokens: {fields[field]} tokens were asked for."
    if field in ("stop", "logprobs"):
        return f"Set {field} to {'[]' if field == 'stop' else 'false'}."
    return f"Leave the field out with extra: {{{field}: null}}, or give it another value there."


def _of_connection(error: Exception, settings: ServerSettings) -> _Explanation:
    if (cause := _find(error, ssl.SSLError)) is not None:
        if "WRONG_VERSION_NUMBER" in str(cause) or "record layer" in str(cause):
            return _Explanation(
                "doesn't speak https there",
                "Write http:// in base_url, or give the port at which it speaks https.",
                code="not-https",
                everybody=True,
            )
        return _Explanation(
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
        return _Explanation(
            "wasn't found", "Check the name in base_url, and the network.", code="no-such-host", everybody=True
        )
    if any(type(each).__name__ == "ProxyError" for each in _causes(error)):
        return _Explanation(
            "couldn't be reached through the proxy",
            "Check HTTP_PROXY and HTTPS_PROXY, or add the server to NO_PROXY.",
            code="proxy-refused",
            everybody=True,
        )
    if _connecting(error):
        return _Explanation(
            "couldn't be reached",
            "Start the server, or correct base_url; the same command goes on from here.",
            code="unreachable",
            everybody=True,
        )
    return _Explanation("broke off", code="connection-lost")


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
