"""Prompts that fit into a model's context window, and responses from sampled tokens, for any engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from eef_framework.chat.tokens import ChatTokenizer, Prompt
from eef_framework.policies.truncation import truncate_oldest
from eef_framework.records import Conversation, Response


class FittedPrompt(NamedTuple):
    """A prompt that fits."""

    prompt: Prompt
    dropped: int
    """Number of oldest observations that were dropped, each with the turn that answers it."""


def fit_prompt(
    chat: ChatTokenizer,
    conversation: Conversation,
    max_answer_tokens: int,
    context_window: int | None = None,
    max_prompt_tokens: int | None = None,
) -> FittedPrompt:
    """Return the prompt for a conversation, without its oldest observations if it is too long.

    Args:
        chat: the model's tokenizer.
        conversation: the conversation to answer.
        max_answer_tokens: maximum length of the answer, in tokens.
        context_window: maximum length of prompt and answer, in tokens; None if unknown.
        max_prompt_tokens: maximum length of the prompt, in tokens; None for no limit of its own.

    Raises:
        PolicyFailure: the prompt is too long even without any earlier observation (`prompt-too-long`).
    """
    limits = (max_prompt_tokens, context_window - max_answer_tokens if context_window else None)
    longest = min((limit for limit in limits if limit is not None), default=None)
    if longest is None:
        return FittedPrompt(chat.prompt(conversation), 0)
    shown, dropped = truncate_oldest(conversation, longest, lambda messages: len(chat.prompt(messages).ids))
    return FittedPrompt(chat.prompt(shown), dropped)


def sampled_response(chat: ChatTokenizer, fitted: FittedPrompt, ids: Sequence[int], **fields: Any) -> Response:
    """Return the response to a prompt.

    Args:
        chat: the model's tokenizer.
        fitted: the prompt.
        ids: the sampled tokens, with the stop token if one was sampled.
        fields: further fields of the response, such as its log-probability.
    """
    return Response(
        text=chat.text(ids),
        token_ids=tuple(ids),
        tokenizer=chat.fingerprint,
        dropped=fitted.dropped,
        prompt_tokens=len(fitted.prompt.ids),
        **fields,
    )


def scored_response(
    chat: ChatTokenizer,
    fitted: FittedPrompt,
    answer: Response,
    ids: Sequence[int],
    logprobs: Sequence[float],
    **fields: Any,
) -> Response:
    """Return a given answer with the log-probabilities of its tokens.

    Args:
        chat: the model's tokenizer.
        fitted: the prompt.
        answer: the answer.
        ids: its tokens.
        logprobs: the log-probability of each token.
        fields: further fields of the response.
    """
    scored: Response = answer.changed(
        token_ids=tuple(ids),
        tokenizer=chat.fingerprint,
        logprob=round(sum(logprobs), 6),
        logprobs=tuple(round(logprob, 6) for logprob in logprobs),
        dropped=fitted.dropped,
        prompt_tokens=len(fitted.prompt.ids),
        **fields,
    )
    return scored
