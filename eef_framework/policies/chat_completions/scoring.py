"""Log-probabilities of given answers from vLLM: it echoes a prompt with the log-probabilities of its tokens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from eef_framework.errors import AnswerFailure, PolicyFailure
from eef_framework.interfaces import Sampling
from eef_framework.policies.chat_completions.connection import Connection
from eef_framework.policies.chat_completions.failures import AvoidableRejection
from eef_framework.policies.chat_completions.request_log import RequestLog
from eef_framework.policies.chat_completions.settings import ServerSettings
from eef_framework.records import Conversation, Response

if TYPE_CHECKING:
    from eef_framework.chat.tokens import ChatTokenizer


def require_scores(settings: ServerSettings, sampling: Sampling, vllm: bool) -> None:
    """Check that answers can be scored.

    Raises:
        PolicyFailure: they can't (`scoring-unsupported`).
    """
    if not vllm:
        reason, fix = "only vLLM is known to score given answers", "Set server to 'vllm' if it is one."
    elif not settings.tokenizer:
        reason, fix = "its tokenizer isn't known", "Set tokenizer to the folder or the hub name of its tokenizer."
    elif sampling.constrain or sampling.temperature not in (0.0, 1.0):
        reason = "the server scores answers at temperature 1 without constraints only"
        fix = "Set sampling.temperature to 1 or 0, and sampling.constrain to false."
    else:
        return
    raise PolicyFailure(
        f"{settings.model!r} at {settings.endpoint} can't score answers: {reason}",
        fix,
        code="scoring-unsupported",
        policy=settings.component_name(),
        reason=reason,
    )


async def score_answer(
    connection: Connection, settings: ServerSettings, chat: ChatTokenizer, conversation: Conversation, answer: Response
) -> Response:
    """Return an answer to a conversation with its log-probabilities.

    Args:
        connection: to the server.
        settings: the server's.
        chat: its tokenizer.
        conversation: ends with a user message.
        answer: the answer; its tokens are used if they are this tokenizer's.

    Raises:
        AnswerFailure: the score is lost.
        PolicyFailure: no request will be answered.
    """
    known = answer.token_ids if answer.tokenizer == chat.fingerprint else None
    prompt, ids = chat.prompt_ids(conversation), known or (*chat.answer_ids(answer.text), *chat.stop_ids)
    # One token is generated, because not every version takes 0.
    fields = {"echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0.0}
    log = RequestLog()
    try:
        echoed = await connection.echo([*prompt, *ids], fields, log)
    except AvoidableRejection as rejected:
        raise rejected.failure from None
    logprobs = tuple(echoed[len(prompt) : len(prompt) + len(ids)])
    if len(logprobs) != len(ids) or not all(each is not None and each <= 1e-6 for each in logprobs):
        raise AnswerFailure(
            f"{settings.model!r} at {settings.endpoint} returned {len(echoed)} log-probabilities for a prompt of "
            f"{len(prompt) + len(ids)} tokens",
            "Check that tokenizer is the server's.",
            code="unreadable-answer",
            model=settings.model,
            base_url=settings.endpoint,
        )
    found = [each for each in logprobs if each is not None]
    changed: Response = answer.changed(
        token_ids=tuple(ids),
        tokenizer=chat.fingerprint,
        logprob=round(math.fsum(found), 6),
        logprobs=tuple(found),
        prompt_tokens=len(prompt),
        computed_tokens=len(prompt) + len(ids),
        usd=settings.prices.usd(len(prompt) + len(ids), 0, 1),
    )
    return changed
