"""Explains rejections of requests: what the server refused, and what to do about it."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eef_framework.policies.chat_completions.error_response import ErrorResponse
from eef_framework.policies.chat_completions.settings import LIMITS, ServerSettings
from eef_framework.validation_messages import nearest

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


@dataclass(frozen=True)
class Explanation:
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


_all = functools.partial(Explanation, everybody=True)
"""Explains a rejection of all requests to this server."""


def is_passing(rejection: ErrorResponse) -> bool:
    """Return whether a server may accept the same request later."""
    return rejection.status in _PASSING or rejection.status >= 500


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


def explained(
    rejection: ErrorResponse, settings: ServerSettings, answered: bool, fields: Mapping[str, Any], models: Sequence[str]
) -> Explanation:
    """Return what a rejection means, and what to do about it.

    Args:
        rejection: the error response.
        settings: the server's.
        answered: whether this server has answered anything yet.
        fields: of the request, without model and messages.
        models: names in the server's list of models, if it was requested.
    """
    status = rejection.status
    if rejection.moved_to:
        return _moved(rejection.moved_to)
    if is_filtered(rejection):
        return Explanation("withheld its answer", code="content-filter")
    if status in (401, 403):
        return _all(
            f"refused ({status})",
            f"Check the key in the environment variable {settings.api_key_env}.",
            code="key-refused",
            details={"variable": settings.api_key_env},
        )
    if status == 407:
        return _all(
            f"refused ({status})", "Check the environment variables HTTP_PROXY and HTTPS_PROXY.", code="proxy-refused"
        )
    if out_of_credit(rejection):
        return _all(
            f"refused ({status})", "Top up the account and run the command again to continue.", code="out-of-money"
        )
    if _lacks_model(rejection):
        if models and settings.model not in models:
            return _no_such_model(settings.model, models)
        return _all(
            f"refused ({status})", "Check model and base_url; most addresses end with /v1.", code="no-such-address"
        )
    if status == 405:
        return _all(f"refused ({status})", "Check base_url; most addresses end with /v1.", code="no-such-address")
    if field := rejected_field(rejection, fields):
        return Explanation(
            f"refused ({status})",
            _advice(field, fields),
            code="field-refused",
            everybody=not answered,
            details={"field": field},
        )
    if is_passing(rejection):
        return Explanation(f"refused ({status})", code="server-busy" if status in (429, 503, 529) else "server-error")
    return Explanation(
        f"refused ({status})",
        "" if answered else "Check stop, token_limit and extra: the server may not know a field.",
        code="request-refused",
        everybody=not answered,
    )


def _lacks_model(rejection: ErrorResponse) -> bool:
    """Return whether the server has no such model, or the address leads to no API."""
    if rejection.names & _NO_MODEL or rejection.status == 404:
        return True
    return rejection.status == 400 and _NO_MODEL_WORDS.search(rejection.text) is not None


def _moved(location: str) -> Explanation:
    to = re.sub(r"/chat/completions/?$", "", location)
    return _all("has moved", f"Set base_url to where it is: {to}", code="redirected", details={"location": location})


def _no_such_model(model: str, models: Sequence[str]) -> Explanation:
    return _all(
        "has no such model",
        f"Set model to one that the server has; {nearest(model, models)}",
        code="no-such-model",
        details={"known": tuple(models)},
    )


def _advice(field: str, fields: Mapping[str, Any]) -> str:
    if field in LIMITS:
        return f"Lower max_tokens: {fields[field]} tokens were requested."
    if field in ("stop", "logprobs"):
        return f"Set {field} to {'[]' if field == 'stop' else 'false'}."
    return f"Leave the field out with extra: {{{field}: null}}, or give it another value there."
