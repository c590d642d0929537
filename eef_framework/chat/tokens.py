"""Turns a conversation into tokens and a loss mask, for both acting and training.

A conversation's tokens are concatenated: those of the text that the template writes before an assistant's turn, those
of the turn, those of the text before the next turn, and so on. A turn's tokens are the sampled ones, if they are known.
So a model is trained on exactly the tokens that it was shown and that it answered, and the tokens of a turn are known
without searching for them in the complete text.

All token ids and weights are flat lists, `(seq,)`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from eef_framework.chat.reasoning import is_reasoning_mark
from eef_framework.chat.template import ChatTemplate
from eef_framework.errors import ConfigError
from eef_framework.records import Conversation, Message, fingerprint

_MAX_TOKENS_PER_CHARACTER = 8
"""Upper bound for the number of tokens of one character."""


class TokenizedConversation(NamedTuple):
    """A conversation as tokens."""

    token_ids: list[int]
    """`(seq,)`"""
    loss_weights: list[float]
    """Weight of each token in the loss, 0 for tokens that aren't learned, `(seq,)`."""


class Prompt(NamedTuple):
    """A conversation to be answered."""

    text: str
    """The text that the template renders."""
    ids: tuple[int, ...]
    """The model's input, with the sampled tokens of earlier turns, `(seq,)`."""
    turns: tuple[tuple[int, int], ...]
    """Start and exclusive end of each assistant turn in `ids`."""


class ChatTokenizer:
    """A tokenizer together with its chat template.

    Args:
        tokenizer: a transformers tokenizer with a chat template.

    Attributes:
        tokenizer: the tokenizer.
        fingerprint: identifies the vocabulary: with equal fingerprints, equal token ids mean the same.
        stop_ids: tokens with which the template ends an assistant turn, usually one.
        end_ids: tokens each of which ends a turn when it is sampled.

    Raises:
        ConfigError: the chat template is missing, or doesn't end assistant turns with a special token.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._backend = _backend(tokenizer)
        self.fingerprint = fingerprint("\n".join(f"{i} {t}" for t, i in sorted(tokenizer.get_vocab().items())))
        self._template = ChatTemplate(tokenizer)
        self.stop_ids = tuple(self.tokens(self._template.stop_text))
        self.end_ids = frozenset({self.stop_ids[-1], tokenizer.eos_token_id} - {None})
        self._hidden_ids = self._special_ids() - self._reasoning_ids()
        self._prompt = lru_cache(maxsize=1024)(self._new_prompt)

    def prompt(self, conversation: Conversation) -> Prompt:
        """Return the model's input for answering a conversation's last message.

        Raises:
            ConfigError: the template rewrites earlier messages as the conversation goes on.
        """
        return self._prompt(tuple(conversation))

    def prompt_ids(self, conversation: Conversation) -> list[int]:
        """Return the tokens of `prompt`."""
        return list(self.prompt(conversation).ids)

    def encode(self, messages: Conversation) -> TokenizedConversation:
        """Return tokens and loss weights of a conversation that ends with an assistant's turn.

        A turn's weight applies to its tokens, stop token included, but not to those of its unweighted prefix and
        suffix; a partly unweighted token has the weight. Text that the template puts before a turn has no weight, and
        neither has the stop token that is added to an earlier turn that was cut off.

        Raises:
            ConfigError: the template rewrites earlier messages, or the last turn.
        """
        prompt = self.prompt(messages[:-1])
        full = self._template.render(messages, prompt=False)
        last = self._turn_ids(messages[-1], self._template.split_turn(prompt.text, full)[0])
        ids = [*prompt.ids, *last]
        weights = [0.0] * len(ids)
        answers = [message for message in messages if message.role == "assistant"]
        for message, (start, end) in zip(answers, [*prompt.turns, (len(prompt.ids), len(ids))], strict=True):
            if message.weight:
                first, stop = self._weighted_range(message, ids[start:end])
                weights[start + first : start + stop] = [message.weight] * (stop - first)
        return TokenizedConversation(ids, weights)

    def differs_from_full_tokenization(self, messages: Conversation, ids: Sequence[int]) -> bool:
        """Return whether a conversation's tokens differ from those of the template's complete text.

        Args:
            messages: a conversation that ends with an assistant's turn.
            ids: its tokens, as `encode` returns them.
        """
        whole = self.tokens(self._template.render(messages, prompt=False))
        return list(ids) != whole[: len(ids)]

    def answer_ids(self, text: str) -> list[int]:
        """Return the tokens of an answer as they follow a prompt, without the stop token."""
        return self._continuation_ids(self._template.sample_prompt, self._template.turn(text))

    def escape_special_tokens(self, text: str) -> str:
        """Return a text without special tokens; see `ChatTemplate.escape_special_tokens`."""
        return self._template.escape_special_tokens(text)

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text within a conversation: without tokens for its beginning or end."""
        if self._backend is not None:
            found: list[int] = self._backend.encode(text, add_special_tokens=False).ids
            return found
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def text(self, ids: Sequence[int]) -> str:
        """Decode a turn's tokens, without stop token and other special tokens.

        Special tokens that mark reasoning are kept: without them an answer couldn't be separated from the reasoning
        before it.
        """
        return self._visible(ids).removeprefix(self._template.turn_prefix)

    def _visible(self, ids: Sequence[int]) -> str:
        return self._decode([token for token in ids if token not in self._hidden_ids])

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _new_prompt(self, messages: Conversation) -> Prompt:
        """Build a prompt from the one for the turn before (`_prompt` caches them)."""
        text = self._template.render(messages, prompt=True)
        last = max((index for index, message in enumerate(messages) if message.role == "assistant"), default=None)
        if last is None:
            return Prompt(text, tuple(self.tokens(text)), ())
        earlier = self._prompt(messages[:last])
        rendered, context = self._template.split_turn(earlier.text, text)
        turn = self._turn_ids(messages[last], rendered)
        start, end = len(earlier.ids), len(earlier.ids) + len(turn)
        stop = () if turn and turn[-1] in self.end_ids else self.stop_ids
        ids = (*earlier.ids, *turn, *stop, *self._continuation_ids(self._template.stop_text, context))
        return Prompt(text, ids, (*earlier.turns, (start, end)))

    def _turn_ids(self, message: Message, rendered: str) -> list[int]:
        """Return a turn's tokens, given the text that the template makes of it."""
        if (sampled := self._sampled_ids(message)) is not None:
            return list(sampled)
        if not self._template.keeps(message.content, rendered):
            raise ConfigError(
                f"the chat template turns the answer {message.content!r} into {rendered!r}",
                "Leave out reasoning (format.reasoning: drop) or thoughts (format.thoughts: false), or put another "
                "chat template into its folder.",
                code="template-changes-answer",
                answer=message.content,
                rendered=rendered,
            )
        return [*self._continuation_ids(self._template.sample_prompt, rendered), *self.stop_ids]

    def _weighted_range(self, message: Message, turn: list[int]) -> tuple[int, int]:
        """Return start and exclusive end of the tokens of a turn that have its weight."""
        if not (message.unweighted_prefix_chars or message.unweighted_suffix_chars):
            return 0, len(turn)
        content, read = message.content, self._visible
        # The model may have sampled what the template writes before an answer, such as an empty `<think>` block.
        before = len(self._template.turn_prefix) if read(turn).startswith(self._template.turn_prefix) else 0
        if self._sampled_ids(message) is None:
            read = self._decode
            content = self.escape_special_tokens(content)
            # Templates may strip an answer, and write something before it.
            before = max(0, read(turn).find(content.strip())) - (len(content) - len(content.lstrip()))

        def place(characters: int) -> int:
            start = message.content[:characters]
            return before + len(start if self._sampled_ids(message) is not None else self.escape_special_tokens(start))

        prefix = message.unweighted_prefix_chars
        start = _tokens_within(read, turn, place(prefix)) if prefix else 0
        if not message.unweighted_suffix_chars:
            return start, len(turn)
        # Tokens up to the last weighted character, exclusive, and the one that contains it.
        end = _tokens_within(read, turn, place(len(message.content) - message.unweighted_suffix_chars) - 1) + 1
        return start, max(start, min(end, len(turn)))

    def _sampled_ids(self, message: Message) -> Sequence[int] | None:
        """Return the sampled tokens of a turn, if they are known and of this tokenizer's vocabulary."""
        return message.token_ids if message.tokenizer == self.fingerprint else None

    def _special_ids(self) -> set[int]:
        added = self.tokenizer.added_tokens_decoder.items()
        return {*self.tokenizer.all_special_ids, *(number for number, token in added if token.special)}

    def _reasoning_ids(self) -> set[int]:
        added = self.tokenizer.added_tokens_decoder.items()
        return {number for number, token in added if is_reasoning_mark(token.content)} - self.end_ids

    def _continuation_ids(self, before: str, text: str) -> list[int]:
        """Return a text's tokens as they follow another text.

        They are the text's own tokens where the two texts together would change the tokens of the first one.
        """
        if not text:
            return []
        first, both = self.tokens(before), self.tokens(before + text)
        return both[len(first) :] if both[: len(first)] == first else self.tokens(text)


def _tokens_within(read: Callable[[Sequence[int]], str], turn: Sequence[int], length: int) -> int:
    """Return the number of leading tokens that decode to at most the given number of characters."""
    longer = bisect_left(range(1, len(turn) + 1), True, key=lambda count: len(read(turn[:count])) > length)
    # The number of characters may fall again: an incomplete character can decode to several replacement characters.
    near = range(longer, min(longer + _MAX_TOKENS_PER_CHARACTER, len(turn)) + 1)
    return max(count for count in near if count == longer or len(read(turn[:count])) <= length)


def _backend(tokenizer: Any) -> Any | None:
    """Return the Rust tokenizer, with truncation and padding disabled; None if the tokenizer has none.

    Calling it directly halves the time, and it is called for every turn.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None) if tokenizer.is_fast else None
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
    return backend
