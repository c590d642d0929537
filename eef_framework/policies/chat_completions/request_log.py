"""The requests for one answer, and what those of them cost whose answers were lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from eef_framework.policies.chat_completions.answer import Completion, FailedAnswer
from eef_framework.policies.chat_completions.answer_file import AnswerRow
from eef_framework.policies.chat_completions.error_response import RequestRejected
from eef_framework.policies.chat_completions.meter import never_arrived
from eef_framework.policies.chat_completions.settings import Prices
from eef_framework.policies.chat_completions.usage import Usage, usage
from eef_framework.records import Conversation, Response
from eef_framework.records.base import Info


@dataclass
class RequestLog:
    """Records the requests for one answer.

    Attributes:
        requests: number of requests.
        lost: unusable answers with a known cost.
        unknown: lost requests with an unknown cost.
        earlier: requests of earlier attempts at this answer, which the file of answers has.
        earlier_lost: those of them whose answer was lost.
    """

    requests: int = 0
    lost: list[Completion] = field(default_factory=list)
    unknown: int = 0
    earlier: int = 0
    earlier_lost: list[AnswerRow] = field(default_factory=list)

    def add_lost(self, error: BaseException) -> None:
        """Record a lost request. A refused one costs nothing."""
        if isinstance(error, FailedAnswer) and error.completion.usage is not None:
            self.lost.append(error.completion)
        elif not isinstance(error, RequestRejected) and not never_arrived(error):
            self.unknown += 1

    def costs_of_lost(self, conversation: Conversation, prices: Prices) -> dict[str, Any]:
        """Return the known cost of lost answers, as details of an `AnswerFailure`."""
        counted = [usage(each, conversation, None) for each in self.lost]
        known = [tokens for tokens in counted if tokens is not None]
        earlier = [row for row in self.earlier_lost if not row.estimated]
        known += [Usage(row.prompt_tokens, row.cached_tokens, row.completion_tokens) for row in earlier]
        unknown = self.unknown + len(counted) + len(self.earlier_lost) - len(known)
        return {
            "usd": sum(prices.usd(*tokens) for tokens in known),
            "computed_tokens": sum(tokens.prompt - tokens.cached + tokens.completion for tokens in known),
            "unknown_requests": unknown,
            "earlier_requests": self.earlier,
        }

    def charged(self, response: Response, conversation: Conversation, prices: Prices) -> Response:
        """Return an answer with the cost of lost answers before it added."""
        notes: Info = {"requests": self.requests} if self.requests > 1 else {}
        lost = self.costs_of_lost(conversation, prices)
        if self.earlier:
            notes["earlier_requests"] = self.earlier
        if lost["unknown_requests"]:
            notes["unknown_requests"] = lost["unknown_requests"]
        changed: Response = response.changed(
            computed_tokens=response.computed_tokens + lost["computed_tokens"],
            usd=response.usd + lost["usd"],
            info={**response.info, **notes},
        )
        return changed
